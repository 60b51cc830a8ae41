"""A business system's end of status callbacks, on a real port."""

import base64
import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Receiver:
    """Echoes the echostr and takes items; `echo`, `answers` and `slow_s` change that.

    `answers` are the statuses of the next POSTs; 200 when they are used up.
    """

    def __init__(self) -> None:
        self.gets: list[tuple[str, dict]] = []
        self.posts: list[tuple[list, dict, bytes]] = []
        self.answers: list[int] = []
        self.echo = lambda echostr: (200, echostr)
        self.slow_s = 0.0
        self.refuses = lambda items: False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                receiver.gets.append((self.path, dict(self.headers)))
                time.sleep(receiver.slow_s)
                echostr = parse_qs(parts.query).get("echostr", [""])[0]
                self.reply(*receiver.echo(echostr))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                items = json.loads(body)
                time.sleep(receiver.slow_s)
                status = receiver.answers.pop(0) if receiver.answers else 200
                status = 500 if receiver.refuses(items) else status
                receiver.posts.append((items, dict(self.headers), body))
                self.reply(status, "taken")

            def reply(self, status: int, text: str) -> None:
                self.send_response(status)
                if status in {301, 302, 307, 308}:
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def items(self) -> list[dict]:
        """Every item of every POST, in order."""
        return [item for items, _headers, _body in self.posts for item in items]

    def types(self, userid: str) -> list[int]:
        return [item["type"] for item in self.items if item["userid"] == userid]


def pair(headers: dict) -> str:
    scheme, _space, encoded = headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(encoded).decode()
