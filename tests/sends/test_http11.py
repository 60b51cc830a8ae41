"""The receiver's HTTP: exact about what it takes, deaf to what it does not know."""

import contextlib
import socket
import threading

import pytest

from sends.api.http11 import Answer, Server

GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"


def post(body, *headers):
    head = ["POST /a?b=c HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


class Echo:
    """Answers each request with its body, or its number; keeps how many came a round.
    `hold` makes it as slow as a commit."""

    def __init__(self):
        self.rounds, self.requests = [], []
        self.hold = threading.Event()
        self.hold.set()
        self.begun = threading.Event()

    def __call__(self, requests):
        self.begun.set()
        assert self.hold.wait(20)
        self.rounds.append(len(requests))
        self.requests += requests
        for number, request in enumerate(requests):
            if request.body == b"forget me":
                continue
            yield number, Answer(200, request.body or b"ok")


class Peer:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.heard = b""

    def say(self, piece):
        self.socket.sendall(piece)
        return self

    def hear(self):
        """Return the next answer's status, body and whether the connection stays."""
        while b"\r\n\r\n" not in self.heard:
            self._more()
        head, _, self.heard = self.heard.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        status = int(lines[0].split()[1])
        if status == 100:
            return self.hear()
        headers = dict(line.split(": ", 1) for line in lines[1:])
        while len(self.heard) < int(headers["content-length"]):
            self._more()
        length = int(headers["content-length"])
        body, self.heard = self.heard[:length], self.heard[length:]
        return status, body, headers.get("connection") != "close"

    def is_closed(self):
        with contextlib.suppress(ConnectionResetError):
            return self.socket.recv(1) == b""
        return True

    def _more(self):
        piece = self.socket.recv(65536)
        assert piece, f"closed after {self.heard!r}"
        self.heard += piece


@pytest.fixture
def serve():
    """Start a server in a thread; `.connect()` to it."""
    started = []

    class Running:
        def __init__(self, **options):
            listener = socket.create_server(("127.0.0.1", 0))
            self.port, self.echo = listener.getsockname()[1], Echo()
            self.server = Server(listener, self.echo, max_body=1000, **options)
            self.thread = threading.Thread(target=self.server.run)
            self.thread.start()
            self.peers = []
            started.append(self)

        def connect(self):
            self.peers.append(Peer(self.port))
            return self.peers[-1]

        def stop(self):
            self.echo.hold.set()
            self.server.stop()
            for peer in self.peers:
                peer.socket.close()
            self.thread.join(20)
            assert not self.thread.is_alive()

    yield Running
    for running in started:
        running.stop()


def test_a_connection_is_kept_and_requests_in_one_piece_are_answered_in_order(serve):
    peer = serve().connect().say(post(b"1") + post(b"22") + GET)

    assert [peer.hear() for _ in range(3)] == [
        (200, b"1", True),
        (200, b"22", True),
        (200, b"ok", True),
    ]
    assert peer.say(post(b"3")).hear() == (200, b"3", True)


def test_a_request_is_told_apart_into_its_parts(serve):
    running = serve()
    running.connect().say(post(b"b" * 500, "X-One:  two ", "X-TWO: a: b")).hear()

    (request,) = running.echo.requests
    assert request[:3] == ("POST", "/a", "b=c")
    assert (request.headers["x-one"], request.headers["x-two"]) == ("two", "a: b")
    assert (request.body, request.address) == (b"b" * 500, "127.0.0.1")


def test_a_request_may_come_in_any_pieces(serve):
    peer = serve().connect()
    for byte in post(b"slowly", "Expect: 100-continue"):
        peer.say(bytes([byte]))

    assert peer.hear() == (200, b"slowly", True)


def test_the_body_is_asked_for(serve):
    peer = serve().connect()
    head = post(b"body", "Expect: 100-continue").removesuffix(b"body")

    assert peer.say(head).socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert peer.say(b"body").hear() == (200, b"body", True)


def test_what_comes_during_a_commit_shares_the_next_one(serve):
    running = serve()
    running.echo.hold.clear()
    first = running.connect().say(post(b"first"))
    assert running.echo.begun.wait(20)
    others = [running.connect().say(post(b"%d" % n)) for n in range(30)]
    gone = running.connect().say(post(b"gone"))
    gone.socket.close()

    running.echo.hold.set()

    assert first.hear() == (200, b"first", True)
    assert [p.hear()[1] for p in others] == [b"%d" % n for n in range(30)]
    # One of the clients left before its answer; nobody else was hurt. How many rounds
    # their connections took to be accepted is the kernel's affair, but not one each.
    assert len(running.echo.requests) in {31, 32}
    assert len(running.echo.rounds) < 10


def test_a_request_that_nobody_answers_is_a_500_and_never_a_success(serve):
    peer = serve().connect()

    assert peer.say(post(b"forget me")).hear()[0] == 500
    assert peer.say(post(b"me not")).hear() == (200, b"me not", True)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET nowhere HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"PUT / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n1", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: \r\n\r\n", 400),
        (post(b"1", "Content-Length: 2"), 400),
        (post(b"x" * 1001), 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 17000, 431),
    ],
)
def test_what_it_does_not_know_is_refused_and_ends_the_connection(serve, said, status):
    running = serve()
    peer = running.connect().say(said)

    assert peer.hear()[::2] == (status, False)
    assert peer.is_closed()
    assert running.echo.requests == []


@pytest.mark.parametrize(
    "said", [post(b"bye", "Connection: close"), b"GET / HTTP/1.0\r\n\r\n"]
)
def test_a_connection_is_closed_when_asked_to(serve, said):
    peer = serve().connect().say(said)

    assert peer.hear()[::2] == (200, False)
    assert peer.is_closed()


def test_whoever_takes_too_long_is_let_go(serve):
    peer = serve(patience_s=0.1).connect().say(b"POST / HT")

    assert peer.is_closed()


def test_an_answer_longer_than_the_socket_takes_arrives_whole(serve):
    running = serve()
    running.server.max_body = 8_000_000
    body = b"0123456789" * 500_000
    peer = running.connect()
    threading.Thread(target=peer.say, args=[post(body) + GET]).start()

    assert peer.hear() == (200, body, True)
    assert peer.hear() == (200, b"ok", True)


def test_stopping_answers_what_has_begun_and_takes_nothing_new(serve):
    running = serve()
    running.echo.hold.clear()
    idle, peer = running.connect(), running.connect().say(post(b"in time"))
    assert running.echo.begun.wait(20)
    half = running.connect().say(post(b"half")[:-2])

    running.server.stop()
    running.echo.hold.set()
    half.say(b"lf")

    assert peer.hear() == (200, b"in time", False)
    assert half.hear() == (200, b"half", False)
    assert idle.is_closed()
    for one in running.peers:
        one.socket.close()
    running.thread.join(20)
    assert not running.thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        running.connect()
