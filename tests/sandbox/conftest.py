"""Shared by the sandbox's own tests: a receiver of pushes, and messages to send."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.sandbox.component_fixture import Component
from tests.sandbox_fixture import SEND


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A pusher that has stopped waiting is part of the tests."""


class Receiver:
    """An HTTP server that keeps every push it gets and answers as told."""

    def __init__(self):
        self.pushes = []
        self.status = 200
        self.before_answer = lambda push: None
        self.reply = lambda push: "success"
        self.echo = True
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                query = dict(parse_qsl(urlsplit(self.path).query))
                self._send(200, query["echostr"] if receiver.echo else "hello")

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                query = dict(parse_qsl(urlsplit(self.path).query))
                push = SimpleNamespace(
                    path=urlsplit(self.path).path,
                    query=query,
                    body=body,
                    type=self.headers["Content-Type"],
                )
                receiver.pushes.append(push)
                receiver.before_answer(push)
                self._send(receiver.status, receiver.reply(push))

            def _send(self, status, text):
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/callback"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def send(sandbox):
    """Send the meeting template to person `to` (a number or an openid)."""
    token = sandbox.token()
    template = sandbox.templates()["会议预约提醒"]["template_id"]

    def send(to=1, *, values=None, **changed):
        data = {"thing1": "周会", "time2": "2026年5月8日 10:00", "thing3": "三楼"}
        body = {
            "touser": sandbox.openid(to) if isinstance(to, int) else to,
            "template_id": template,
            "data": {k: {"value": v} for k, v in {**data, **(values or {})}.items()},
            **changed,
        }
        return sandbox.post(SEND, body, access_token=token)

    send.token = token
    send.template_id = template
    return send


@pytest.fixture
def component(sandbox, receiver):
    """A third-party platform whose addresses are the receiver's."""
    return Component(sandbox, receiver)
