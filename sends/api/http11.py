"""A small HTTP/1.1 server for many small requests that are answered together.

One thread, one loop: it reads what has arrived, hands every complete request of the
round to one function, writes the answers, and reads what came in the meantime, which
the kernel has kept. So work that costs the same for one and for many, such as a commit,
is done once a round, and nothing needs a lock.

It speaks as much HTTP as a proxy in front or WeChat itself needs: GET and POST,
keep-alive, pipelining, `Expect: 100-continue`. What it does not know it refuses and
closes the connection. A request without an answer gets a 500, never a success.
"""

import contextlib
import logging
import re
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from types import FrameType
from typing import Final, NamedTuple

log = logging.getLogger(__name__)

MAX_HEAD: Final = 16 * 1024
PIECE: Final = 64 * 1024
MAX_CONNECTIONS: Final = 900  # of the 1024 files that a process may usually open
# How long a request may take to arrive, and its answer to leave.
PATIENCE_S: Final = 10.0
# Between two requests. nginx lets go after 60 s, and it should be the one to close.
IDLE_S: Final = 75.0
# After a refusal we read on a while, as a reset would take our answer back; and asked
# to stop, we wait so long for a request that has begun to arrive.
LINGER_S: Final = 2.0
# The same for one that may be on its way.
LAST_CALL_S: Final = 0.2

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
# A control character, or half of a line's end: what two readers understand differently
# is how requests are smuggled.
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")
_ONCE: Final = {"content-length", "transfer-encoding", "host"}
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Request(NamedTuple):
    """`path` and `query` as they came; names of headers in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    address: str


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "text/plain"),)


FAULT: Final = Answer(500, b"error")
# Answers what it can, in any order: (number of the request, answer).
Handle = Callable[[Sequence[Request]], Iterable[tuple[int, Answer]]]


class _Refused(Exception):
    """A request that is no HTTP of ours."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Connection:
    """One client: what it has said, and what it has still to hear."""

    def __init__(self, server: "Server", peer: socket.socket, address: str) -> None:
        self.server, self.peer, self.address = server, peer, address
        self.heard = bytearray()
        self.need = 0  # nothing to look for before so many bytes are there
        self.said_continue = False
        self.busy = False  # its request waits for the answer
        self.unsaid = b""
        self.keeps_alive = True
        self.lingers = False
        self.until = time.monotonic() + server.patience_s

    def read(self) -> None:
        try:
            piece = self.peer.recv(PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            piece = b""
        if not piece:
            self.close()
        elif not self.lingers:
            if not self.heard:
                self.until = time.monotonic() + self.server.patience_s
            self.heard += piece
            self.look()

    def look(self) -> None:
        """Hand over a request as soon as it is complete."""
        if self.busy or len(self.heard) < self.need:
            return
        try:
            request = self._request()
        except _Refused as refusal:
            self.keeps_alive = False
            phrase = HTTPStatus(refusal.status).phrase.lower().replace(" ", "_")
            self.say(Answer(refusal.status, phrase.encode()))
            return
        if request is not None:
            self.busy = True
            self.server.waiting.append((self, request))

    def _request(self) -> Request | None:
        end = self.heard.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            if len(self.heard) >= MAX_HEAD:
                raise _Refused(431)
            return None
        head = self.heard[:end].decode("latin-1")
        if _NO_TEXT.search(head):
            raise _Refused(400)
        first, *lines = head.split("\r\n")
        method, target, version = _start(first)
        headers = _headers(lines)
        if "transfer-encoding" in headers:
            raise _Refused(411)
        length = headers.get("content-length", "0")
        if not re.fullmatch(r"[0-9]{1,18}", length):
            raise _Refused(400)
        if int(length) > self.server.max_body:
            raise _Refused(413)
        begin = end + 4
        self.need = begin + int(length)
        if len(self.heard) < self.need:
            if headers.get("expect", "").lower() == "100-continue" and (
                not self.said_continue
            ):
                self.said_continue = True
                self._send(_CONTINUE)
            return None
        body = bytes(self.heard[begin : self.need])
        del self.heard[: self.need]
        self.need, self.said_continue = 0, False
        self.keeps_alive = version == "HTTP/1.1" and (
            "close" not in headers.get("connection", "").lower()
        )
        path, _mark, query = target.partition("?")
        return Request(method, path, query, headers, body, self.address)

    def say(self, answer: Answer) -> None:
        self.busy = False
        if self.server.stopping:
            self.keeps_alive = False
        self.until = time.monotonic() + self.server.patience_s
        self._send(_written(answer, self.server.date(), self.keeps_alive))

    def _send(self, piece: bytes) -> None:
        self.unsaid += piece
        self.write()

    def write(self) -> None:
        try:
            sent = self.peer.send(self.unsaid)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            # Gone before it heard us: what it brought is stored, and it comes again.
            self.close()
            return
        self.unsaid = self.unsaid[sent:]
        if self.unsaid:
            # Nothing more is read from who does not listen.
            self.server.listen(self, selectors.EVENT_WRITE)
            return
        self.server.listen(self, selectors.EVENT_READ)
        if not self.keeps_alive and not self.lingers:
            self._hang_up()

    def after_answer(self) -> None:
        """Go on with what came behind the request that was just answered."""
        if self.peer.fileno() < 0 or self.lingers or self.unsaid:
            return
        if self.heard:
            self.look()
        else:
            self.until = time.monotonic() + IDLE_S

    def _hang_up(self) -> None:
        self.lingers = True
        self.until = time.monotonic() + LINGER_S
        self.heard.clear()
        try:
            self.peer.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()

    def close(self) -> None:
        self.server.forget(self)
        self.peer.close()


class Server:
    """Serves `listener` with `handle` until SIGTERM or SIGINT, then finishes what has
    begun to arrive. Use it in the main thread, or call `stop` yourself."""

    def __init__(
        self,
        listener: socket.socket,
        handle: Handle,
        max_body: int = 256 * 1024,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.max_body, self.patience_s, self.stopping = max_body, patience_s, False
        self.waiting: list[tuple[_Connection, Request]] = []
        self._handle, self._listener = handle, listener
        self._connections: dict[_Connection, int] = {}
        self._date, self._date_until = "", 0.0
        self._sweep_at, self._pause_s = 0.0, min(1.0, patience_s)
        self._selector = selectors.DefaultSelector()
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        self._waker, self._wake = socket.socketpair()
        for end in (self._waker, self._wake):
            end.setblocking(False)
        self._selector.register(self._waker, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until `stop`."""
        while not self.stopping or self._connections:
            self._round()
        self._listener.close()
        self._selector.close()
        self._waker.close()
        self._wake.close()

    def run_until_signal(self) -> None:
        """Serve until the process is asked to end."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            self.run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Take no new connection; end when those that are open have had their answer.
        From any thread."""
        self.stopping = True
        with contextlib.suppress(OSError):
            self._wake.send(b"x")

    def _round(self) -> None:
        ready = self._selector.select(0 if self.waiting else self._pause_s)
        began = time.monotonic()
        for key, _ in ready:
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._waker:
                self._last_call()
            elif key.data.unsaid:
                key.data.write()
                key.data.after_answer()
            else:
                key.data.read()
        if self.waiting:
            self._answer()
        now = time.monotonic()
        if now - began > 1:
            # We were slow, not they: first look at what has arrived meanwhile.
            self._sweep_at = now + 1.0
        if now >= self._sweep_at:
            self._sweep_at = now + self._pause_s
            for connection in [c for c in self._connections if c.until <= now]:
                connection.close()

    def _answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        unanswered = dict(enumerate(waiting))
        try:
            for number, answer in self._handle([request for _, request in waiting]):
                unanswered.pop(number)[0].say(answer)
        finally:
            for connection, _request in unanswered.values():
                connection.say(FAULT)
        for connection, _request in waiting:
            connection.after_answer()

    def _accept(self) -> None:
        for _ in range(100):
            try:
                peer, address = self._listener.accept()
            except OSError:  # nobody else is there, or they have gone again
                return
            if len(self._connections) >= MAX_CONNECTIONS:
                peer.close()
                continue
            peer.setblocking(False)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(self, peer, address[0])
            self._connections[connection] = selectors.EVENT_READ
            self._selector.register(peer, selectors.EVENT_READ, connection)

    def _last_call(self) -> None:
        """Begin to end: connections on which nothing has begun are soon closed."""
        self._accept()  # whom the kernel has let in already
        self._selector.unregister(self._waker)
        self._selector.unregister(self._listener)
        self._listener.close()
        now = time.monotonic()
        for connection in self._connections:
            has_begun = connection.heard or connection.unsaid
            patience_s = LINGER_S if has_begun else LAST_CALL_S
            connection.until = min(connection.until, now + patience_s)
        self._sweep_at, self._pause_s = 0.0, LAST_CALL_S

    def listen(self, connection: _Connection, events: int) -> None:
        if self._connections.get(connection, events) != events:
            self._connections[connection] = events
            self._selector.modify(connection.peer, events, connection)

    def forget(self, connection: _Connection) -> None:
        if self._connections.pop(connection, None) is not None:
            self._selector.unregister(connection.peer)

    def date(self) -> str:
        now = time.time()
        if now >= self._date_until:
            self._date, self._date_until = formatdate(now, usegmt=True), now // 1 + 1
        return self._date


def _start(line: str) -> tuple[str, str, str]:
    parts = line.split(" ")
    if len(parts) != 3 or not parts[1].startswith("/"):
        raise _Refused(400)
    method, target, version = parts
    if version not in {"HTTP/1.1", "HTTP/1.0"}:
        raise _Refused(505)
    if method not in {"GET", "POST"}:
        raise _Refused(405)
    return method, target, version


def _headers(lines: Iterable[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        # A folded line and a blank before the colon end here, too.
        if (
            not colon
            or not _HEADER_NAME.match(name)
            or (name in headers and name in _ONCE)
        ):
            raise _Refused(400)
        headers[name] = value.strip(" \t")
    return headers


def _written(answer: Answer, date: str, keeps_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines += [f"Date: {date}", f"Content-Length: {len(answer.body)}"]
    if not keeps_alive:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body
