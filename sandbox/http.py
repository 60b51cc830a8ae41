"""A minimal HTTP/1.1 server: keep-alive, Content-Length bodies, nothing else.

A web framework costs more per request than everything the sandbox does with it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import unquote_plus

MAX_HEAD = 64 * 1024
MAX_BODY = 32 * 1024 * 1024
REASONS = {
    200: b"OK",
    204: b"No Content",
    302: b"Found",
    304: b"Not Modified",
    400: b"Bad Request",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    409: b"Conflict",
    411: b"Length Required",
    413: b"Content Too Large",
    422: b"Unprocessable Content",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
}


class Request(NamedTuple):
    method: str
    path: str
    query: str
    head: bytes
    body: bytes
    peer: str

    def argument(self, name: str) -> str:
        """Return a query argument, "" when absent."""
        prefix = name + "="
        for part in self.query.split("&"):
            if part.startswith(prefix):
                value = part[len(prefix) :]
                return unquote_plus(value) if "%" in value or "+" in value else value
        return ""

    def header(self, name: str) -> str:
        """Return a header, "" when absent."""
        wanted = name.lower().encode()
        for line in self.head.split(b"\r\n")[1:]:
            key, _colon, value = line.partition(b":")
            if key.strip().lower() == wanted:
                return value.strip().decode("latin-1")
        return ""


class Reply(NamedTuple):
    """What goes back: `payload` as it stands on the wire, perhaps later or cut."""

    payload: bytes
    delay_s: float = 0.0
    close: bool = False
    after: Awaitable[None] | None = None


Handler = Callable[[Request], "Reply | Awaitable[Reply]"]
_JSON_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; encoding=utf-8\r\n"
    b"Content-Length: %d\r\n\r\n%b"
)


def wechat_json(body: bytes) -> bytes:
    return _JSON_HEAD % (len(body), body)


def payload(
    status: int, body: bytes, content_type: str, headers: tuple[str, ...] = ()
) -> bytes:
    # The doctor of channels compares clocks by this header.
    headers = (f"Date: {formatdate(usegmt=True)}", *headers)
    extra = "".join(f"{line}\r\n" for line in headers).encode("latin-1")
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status,
        REASONS.get(status, b"Status"),
        content_type.encode(),
        len(body),
        extra,
        body,
    )


class Connection(asyncio.Protocol):
    """One client connection; answers in order, one request at a time."""

    def __init__(self, handler: Handler, open_ones: "set[Connection]") -> None:
        self.handler = handler
        self.open_ones = open_ones
        self.buffer = b""
        self.waiting = False
        self.closed = False
        self.peer = ""
        self.transport: asyncio.Transport
        self.later: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if peer else ""
        self.open_ones.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.open_ones.discard(self)
        if self.later:
            self.later.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        if not self.waiting:
            self._serve()

    def _serve(self) -> None:
        """Answer every complete request in the buffer, or stop at a late one."""
        while self.buffer and not self.waiting and not self.closed:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self.buffer) > MAX_HEAD:
                    self._refuse(400)
                return
            head = self.buffer[:end]
            start = _STARTS.get(head) or _start(head)
            if start.refused:
                return self._refuse(start.refused)
            stop = end + 4 + start.length
            if len(self.buffer) < stop:
                if b"100-continue" in head.lower():
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    # Said once; the second half of the body must not hear it again.
                    self.buffer = self.buffer.replace(b"100-continue", b"", 1)
                return
            body = self.buffer[end + 4 : stop]
            self.buffer = self.buffer[stop:]
            last = start.last
            answer = self.handler(
                Request(start.method, start.path, start.query, head, body, self.peer)
            )
            if isinstance(answer, Reply):
                if answer.delay_s or answer.after:
                    self._later(_ready(answer), last)
                else:
                    self._write(answer, last)
            else:
                self._later(answer, last)

    def _later(self, answer: Awaitable[Reply], last: bool) -> None:
        self.waiting = True
        self.later = asyncio.ensure_future(self._answer(answer, last))

    async def _answer(self, answer: Awaitable[Reply], last: bool) -> None:
        try:
            reply = await answer
            if reply.delay_s or reply.after:
                reply = await _ready(reply)
        except BaseException:
            # Our own fault: whoever waits must not wait for ever.
            self.transport.close()
            raise
        self.waiting = False
        self.later = None
        if not self.closed:
            self._write(reply, last)
            self._serve()

    def _write(self, reply: Reply, last: bool) -> None:
        if reply.payload:
            self.transport.write(reply.payload)
        if last or reply.close:
            self.closed = True
            self.transport.close()

    def _refuse(self, status: int) -> None:
        self._write(Reply(payload(status, b"", "text/plain"), close=True), True)


async def _ready(reply: Reply) -> Reply:
    if reply.after:
        await reply.after
    if reply.delay_s:
        await asyncio.sleep(reply.delay_s)
    return Reply(reply.payload, close=reply.close)


class _Start(NamedTuple):
    """What a request's head says: where to, how long the body, the last one or not."""

    method: str
    path: str
    query: str
    length: int
    last: bool
    refused: int = 0


# A bulk client repeats the same few heads a million times.
_STARTS: dict[bytes, _Start] = {}


def _start(head: bytes) -> _Start:
    first, *lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = first.split(" ")
    except ValueError:
        return _Start("", "", "", 0, True, 400)
    headers = {}
    for line in lines:
        name, _colon, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    path, _mark, query = target.partition("?")
    length = headers.get("content-length", "0")
    last = version == "HTTP/1.0" or headers.get("connection", "").lower() == "close"
    if "transfer-encoding" in headers or not length.isdigit():
        return _Start(method, path, query, 0, True, 411)
    if int(length) > MAX_BODY:
        return _Start(method, path, query, 0, True, 413)
    start = _Start(method, path, query, int(length), last)
    if len(_STARTS) >= 1000:
        _STARTS.clear()
    _STARTS[head] = start
    return start


async def listen(
    handler: Handler, host: str, port: int, open_ones: set[Connection]
) -> asyncio.Server:
    """Start listening; a backlog for a thousand connections at once."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: Connection(handler, open_ones), host, port, backlog=2048
    )
