"""A WeChat that follows a script: real sockets, so that everything can go wrong."""

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Request:
    connection: int
    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]


Step = Callable[[socket.socket], bool]


def http(
    body: bytes | str, status: str = "200 OK", headers: str = "", keep: bool = True
) -> Step:
    """Answer in full; without `keep` close the connection after it."""
    body = body.encode() if isinstance(body, str) else body
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json; encoding=utf-8\r\n"
        f"{headers}Content-Length: {len(body)}\r\n\r\n"
    )

    def step(connection: socket.socket) -> bool:
        connection.sendall(head.encode() + body)
        return keep

    return step


def accepted(msgid: int = 3487542469355618313) -> Step:
    return http(json.dumps({"errcode": 0, "errmsg": "ok", "msgid": msgid}))


def raw(data: bytes, keep: bool = False) -> Step:
    """Send bytes as they are, then close."""

    def step(connection: socket.socket) -> bool:
        connection.sendall(data)
        return keep

    return step


def cut(_connection: socket.socket) -> bool:
    """The request was read; close without a word."""
    return False


def silent(seconds: float) -> Step:
    def step(_connection: socket.socket) -> bool:
        time.sleep(seconds)
        return False

    return step


class ScriptedServer:
    """Answers each request with the next step of `script`, then with `otherwise`."""

    def __init__(self) -> None:
        self.script: deque[Step] = deque()
        self.otherwise: Step = accepted()
        self.requests: list[Request] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop_listening(self) -> None:
        # shutdown wakes the thread inside accept; close alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(
                target=self._serve, args=(connection, self.connections), daemon=True
            ).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while request := self._read(stream, number):
                    self.requests.append(request)
                    step = self.script.popleft() if self.script else self.otherwise
                    if not step(connection):
                        connection.shutdown(socket.SHUT_RDWR)
                        break
            except OSError:
                return

    def _read(self, stream, number: int) -> Request | None:
        line = stream.readline().decode("latin-1").strip()
        if not line:
            return None
        headers = {}
        while header := stream.readline().decode("latin-1").strip():
            name, _colon, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        return Request(number, line, headers, body)
