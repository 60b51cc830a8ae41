"""A load of ready-made HTTP requests over many connections, as cheap as can be."""

import select
import socket
import time
from collections.abc import Sequence

SECONDS_AT_MOST = 300


def post_all(port: int, requests: Sequence[bytes], connections: int) -> float:
    """Send each request once, each to be answered 200; return the seconds it took.

    A connection has one request under way, and sends the next when that is answered.
    A server that closes one after its answer finds it opened again.
    """
    waiting = iter(requests)
    answered = 0
    poll = select.epoll()
    peers: dict[int, socket.socket] = {}
    under_way: dict[int, bytes] = {}
    received: dict[int, bytes] = {}

    def connect() -> socket.socket:
        peer = socket.create_connection(("127.0.0.1", port))
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peers[peer.fileno()] = peer
        received[peer.fileno()] = b""
        poll.register(peer, select.EPOLLIN)
        return peer

    def ask(peer: socket.socket, request: bytes | None) -> None:
        if request is not None:
            under_way[peer.fileno()] = request
            peer.sendall(request)

    def drop(peer: socket.socket) -> None:
        poll.unregister(peer)
        del peers[peer.fileno()], received[peer.fileno()]
        peer.close()

    started = time.perf_counter()
    for _ in range(min(connections, len(requests))):
        ask(connect(), next(waiting, None))
    while answered < len(requests):
        if time.perf_counter() - started > SECONDS_AT_MOST:
            raise TimeoutError(f"{answered} of {len(requests)} were answered")
        for fd, _events in poll.poll(1):
            peer = peers[fd]
            data = peer.recv(65536)
            if not data:
                # Closed in mid-request: asked again, as WeChat would.
                drop(peer)
                if request := under_way.pop(fd, None):
                    ask(connect(), request)
                continue
            received[fd] += data
            answer = received[fd]
            end = answer.find(b"\r\n\r\n")
            if end < 0:
                continue
            head = answer[:end].lower()
            at = head.find(b"content-length:")
            if at >= 0:
                length = int(head[at + 15 :].split(b"\r\n", 1)[0])
                is_whole = len(answer) >= end + 4 + length
            else:
                is_whole = answer.endswith(b"\r\n0\r\n\r\n")  # in chunks
            if not is_whole:
                continue
            if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
                raise RuntimeError(answer[:500].decode(errors="replace"))
            answered += 1
            received[fd] = b""
            del under_way[fd]
            if b"connection: close" in head:
                drop(peer)
                peer = connect()
            ask(peer, next(waiting, None))
    seconds = time.perf_counter() - started
    for peer in list(peers.values()):
        drop(peer)
    poll.close()
    return seconds
