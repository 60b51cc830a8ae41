"""`python -m sandbox --port N`: start the stand-in WeChat."""

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable

from . import inside
from .authorising import PAGES
from .control import Control
from .http import Connection, Reply, Request, listen, payload
from .pages import PICTURES, Pages
from .platform import Platform
from .pushing import Pusher
from .settings import Settings
from .wechat import WeChat
from .world import World


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--ip",
        default="",
        help="the address callers seem to come from (default: theirs)",
    )
    parser.add_argument(
        "--receipt-delay",
        type=float,
        nargs=2,
        metavar=("MIN", "MAX"),
        default=(0.5, 3.0),
        help="seconds from acceptance to receipt (default: 0.5 3)",
    )
    parser.add_argument(
        "--product-url",
        default="",
        metavar="URL",
        help="the JUMS that the third-party platform pushes to (default: none)",
    )
    parser.add_argument(
        "--ticket-interval",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="how often the platform is pushed a ticket (default: 600)",
    )


class Sandbox:
    """One process: WeChat's calls, the control API and the page on one port."""

    def __init__(self, settings: Settings, product_url: str = "") -> None:
        given = settings.listing()

        def fresh() -> Settings:
            made = Settings()
            made.change(given)
            return made

        def platform() -> Platform:
            made = Platform()
            if product_url:
                made.connect(product_url)
            return made

        self.world = World(fresh, platform)
        self.pusher = Pusher(self.world)
        self.wechat = WeChat(self.world, self.pusher)
        self.control = Control(self.world, self.pusher)
        self.pages = Pages()
        self.inside = inside.Inside(self.control, self.pages)
        self.connections: set[Connection] = set()

    def handle(self, request: Request) -> Reply | Awaitable[Reply]:
        path = request.path
        if path in PAGES or path.startswith(PICTURES):
            return self.pages.of_wechat(request, self.world)
        if path in inside.PAGES:
            return self.inside.answer(request)
        if path.startswith(("/cgi-bin/", "/wxaapi/", "/sns/")):
            return self.wechat.answer(request)
        if path.startswith("/sandbox/api/"):
            return self.control.answer(request)
        if path == "/" or path.startswith("/sandbox"):
            return self.pages.answer(request)
        return Reply(payload(404, b"", "text/plain"))

    async def run(self, host: str, port: int) -> None:
        """Serve until SIGINT or SIGTERM."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, stop.set)
        server = await listen(self.handle, host, port, self.connections)
        self.pusher.start()
        bound = server.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        print(f"WeChat sandbox on http://{shown}:{bound}/sandbox/", flush=True)
        await stop.wait()
        server.close()
        await self.pusher.stop()
        for connection in list(self.connections):
            connection.transport.close()
        await asyncio.sleep(0)


def serve(
    host: str,
    port: int,
    caller_ip: str,
    receipt_delay_s: tuple[float, float],
    product_url: str = "",
    ticket_interval_s: float = 600.0,
) -> None:
    """Run a sandbox until it is told to stop. Raises SystemExit if it cannot listen."""
    # A million remembered messages are no garbage; look for cycles rarely.
    gc.set_threshold(100_000, 50, 100)
    settings = Settings()
    try:
        settings.change(
            {
                "caller_ip": caller_ip,
                "receipt_delay_s": list(receipt_delay_s),
                "ticket_interval_s": ticket_interval_s,
            }
        )
        asyncio.run(Sandbox(settings, product_url).run(host, port))
    except (OSError, ValueError) as refused:
        sys.exit(f"sandbox: {refused}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="sandbox", description="A stand-in for WeChat's servers."
    )
    add_arguments(parser)
    given = parser.parse_args()
    serve(
        given.host,
        given.port,
        given.ip,
        tuple(given.receipt_delay),
        given.product_url,
        given.ticket_interval,
    )


if __name__ == "__main__":
    main()
