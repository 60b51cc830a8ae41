"""A minimal HTTP/1.1 client for pushes: kept connections, one time limit."""

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

MAX_ANSWER = 1024 * 1024


class Answer(NamedTuple):
    """What came back; status 0 with `error` when nothing readable did."""

    status: int
    body: bytes
    error: str = ""


@dataclass
class _Link:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass
class Poster:
    """Sends requests to any host; idle connections are kept per origin."""

    idle: dict[tuple[str, str, int], list[_Link]] = field(default_factory=dict)

    async def send(
        self, method: str, url: str, body: bytes, content_type: str, timeout_s: float
    ) -> Answer:
        """Send one request; never raises for what the far end does."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        try:
            port = parts.port or (443 if secure else 80)
        except ValueError as wrong:
            return Answer(0, b"", str(wrong))
        origin = (parts.scheme, parts.hostname or "", port)
        target = parts.path or "/"
        if parts.query:
            target += "?" + parts.query
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"User-Agent: Mozilla/4.0\r\nAccept: */*\r\n"
        )
        if method == "POST":
            head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        message = head.encode("latin-1", "replace") + b"\r\n" + body
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(origin, message)
        except TimeoutError:
            return Answer(0, b"", f"no answer within {timeout_s:g} s")
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError) as failed:
            return Answer(0, b"", f"{type(failed).__name__}: {failed}")
        except (ValueError, asyncio.LimitOverrunError):
            return Answer(0, b"", "unreadable answer")

    async def _exchange(self, origin: tuple[str, str, int], message: bytes) -> Answer:
        links = self.idle.setdefault(origin, [])
        while links:
            link = links.pop()
            if link.writer.is_closing() or link.reader.at_eof():
                link.writer.close()
                continue
            try:
                return await self._over(link, links, message)
            except (ConnectionError, asyncio.IncompleteReadError):
                # Closed by the far end while idle: a fresh connection decides.
                continue
        scheme, host, port = origin
        reader, writer = await asyncio.open_connection(
            host, port, ssl=scheme == "https" or None, limit=MAX_ANSWER
        )
        return await self._over(_Link(reader, writer), links, message)

    async def _over(self, link: _Link, idle: list[_Link], message: bytes) -> Answer:
        kept = False
        try:
            link.writer.write(message)
            answer, kept = await _read(link.reader)
            return answer
        finally:
            if kept:
                idle.append(link)
            else:
                link.writer.close()

    def close(self) -> None:
        for links in self.idle.values():
            for link in links:
                link.writer.close()
        self.idle.clear()


async def _read(reader: asyncio.StreamReader) -> tuple[Answer, bool]:
    """Return an answer and whether its connection may be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    status = int(first.split(" ", 2)[1])
    headers = {}
    for line in lines:
        name, _colon, value = line.partition(":")
        headers[name.strip().lower()] = value.strip().lower()
    keep = headers.get("connection", "") != "close" and first.startswith("HTTP/1.1")
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            if len(body) + size > MAX_ANSWER:
                raise ValueError("too large")
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    elif "content-length" in headers:
        size = int(headers["content-length"])
        if size > MAX_ANSWER:
            raise ValueError("too large")
        body = await reader.readexactly(size)
    elif status in (204, 304):
        body = b""
    else:
        body, keep = await reader.read(MAX_ANSWER), False
    return Answer(status, body), keep
