"""The cheapest far end: takes any POST, answers as WeChat would, remembers nothing.

The sandbox checks every message as WeChat does and so costs more than the sender. Here
the sender shall be the limit, so a request costs a search for the blank line and a
fixed answer. `--latency-ms` holds every answer back as a distant WeChat would.
"""

import argparse
import contextlib
import itertools
import select
import socket
import time
from collections import deque

MSGIDS = itertools.count(3_487_542_469_355_618_313)
TOKEN = b'{"access_token":"' + b"t" * 136 + b'","expires_in":7200}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; encoding=utf-8\r\n"


class FarEnd:
    """One thread, one epoll loop."""

    def __init__(self, port: int, latency_s: float) -> None:
        self.latency_s = latency_s
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.poll = select.epoll()
        self.poll.register(self.listener, select.EPOLLIN)
        self.open: dict[int, socket.socket] = {}
        self.pending: dict[int, bytes] = {}
        # All are held back equally long, so that the first is the next one due.
        self.held: deque[tuple[float, socket.socket, bytes]] = deque()

    def serve(self) -> None:
        listener, held = self.listener.fileno(), self.held
        while True:
            wait_s = max(0.0, held[0][0] - time.monotonic()) if held else -1
            for fd, _events in self.poll.poll(wait_s):
                if fd == listener:
                    self.accept()
                else:
                    self.read(fd)
            now = time.monotonic()
            while held and held[0][0] <= now:
                _due, peer, answer = held.popleft()
                with contextlib.suppress(OSError):  # it has gone
                    peer.send(answer)

    def accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                peer, _address = self.listener.accept()
                peer.setblocking(False)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.open[peer.fileno()] = peer
                self.poll.register(peer, select.EPOLLIN)

    def read(self, fd: int) -> None:
        peer = self.open[fd]
        try:
            data = peer.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.poll.unregister(fd)
            del self.open[fd]
            self.pending.pop(fd, None)
            peer.close()
            return
        if fd in self.pending:
            data = self.pending.pop(fd) + data
        answers = b""
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:end]
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(data) < end + 4 + length:
                if b"100-continue" in head:
                    answers += b"HTTP/1.1 100 Continue\r\n\r\n"
                break
            data = data[end + 4 + length :]
            if b"stable_token" in head:
                body = TOKEN
            else:
                body = b'{"errcode":0,"errmsg":"ok","msgid":%d}' % next(MSGIDS)
            answers += HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
        if data:
            self.pending[fd] = data
        if answers and self.latency_s:
            self.held.append((time.monotonic() + self.latency_s, peer, answers))
        elif answers:
            with contextlib.suppress(OSError):
                peer.send(answers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0)
    arguments = parser.parse_args()
    FarEnd(arguments.port, arguments.latency_ms / 1000).serve()
