"""The cheapest far end: takes any POST, answers as WeChat would, remembers nothing.

The sandbox checks every message as WeChat does and so costs more than the sender. Here
the sender shall be the limit, so a request costs a search for the blank line and a
fixed answer. `--latency-ms` holds every answer back as a distant WeChat would.
"""

import argparse
import asyncio
import itertools

MSGIDS = itertools.count(3_487_542_469_355_618_313)
TOKEN = b'{"access_token":"' + b"t" * 136 + b'","expires_in":7200}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; encoding=utf-8\r\n"


class FarEnd(asyncio.Protocol):
    latency_s = 0.0

    def __init__(self) -> None:
        self.pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while (end := self.pending.find(b"\r\n\r\n")) >= 0:
            head = self.pending[:end]
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.pending) < end + 4 + length:
                if b"100-continue" in head:
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            self.pending = self.pending[end + 4 + length :]
            if b"stable_token" in head:
                body = TOKEN
            else:
                body = b'{"errcode":0,"errmsg":"ok","msgid":%d}' % next(MSGIDS)
            answer = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
            if self.latency_s:
                loop = asyncio.get_running_loop()
                loop.call_later(self.latency_s, self.transport.write, answer)
            else:
                self.transport.write(answer)


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(FarEnd, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0)
    arguments = parser.parse_args()
    FarEnd.latency_s = arguments.latency_ms / 1000
    asyncio.run(serve(arguments.port))
