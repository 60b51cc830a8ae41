"""WeChat's pushes at volume: see `sends.api.receiver`."""

import socket
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from channels_wechat.wechat.callbacks import MAX_BODY_BYTES
from sends.api.http11 import Server
from sends.api.receiver import Receiver


class Command(BaseCommand):
    help = (
        "Receive WeChat's pushes at volume: many share a commit, and each is answered "
        "after it. Point the callback addresses of the web server in front here; "
        "everything else stays with the web process."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8002, help="default: 8002")
        parser.add_argument(
            "--bind",
            default="127.0.0.1",
            metavar="ADDRESS",
            help="address to listen on (default: %(default)s)",
        )

    def handle(self, *args: Any, port: int, bind: str, **options: Any) -> None:
        family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        try:
            listener = socket.create_server((bind, port), family=family, backlog=1024)
        except OSError as error:
            raise CommandError(
                f"Port {port} of {bind} cannot be used ({error.strerror}). Choose "
                "another one with --port."
            ) from None
        server = Server(listener, Receiver(), MAX_BODY_BYTES)
        self.stdout.write(f"Receiving on {bind}:{port} (Ctrl-C stops)")
        self.stdout.flush()
        server.run_until_signal()
