"""`manage.py demo`: the main job, once, for real, against the stand-in WeChat."""

import logging
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, TextIO

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from channels_wechat.models import Channel
from jums.demonstrating import CODE, Demo, Failed
from jums.management.commands.up import (
    check_ports,
    children,
    forget_tokens,
    migrate,
    show,
)
from jums.supervising import Supervisor
from sandbox.accounts import DEMO_APPID


class Command(BaseCommand):
    help = (
        "Show the whole product with a stand-in WeChat: one real send, accounted for."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--exit",
            action="store_true",
            help="stop after the summary; 0 only if every message is accounted for",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        check_ports("127.0.0.1", sandbox=True)
        migrate()
        _refuse_real_data()
        forget_tokens()
        # The story is told below; what the code logs on the way would only repeat it.
        logging.getLogger("sends").setLevel(logging.WARNING)
        demo = Demo(self._say)
        log = Log(Path(settings.DATA_DIR) / "demo.log")
        with log, Supervisor(children("127.0.0.1", sandbox=True), log.take) as running:
            demo.tend = running.tend
            try:
                accounted = demo.run()
            except (Failed, requests.RequestException) as error:
                if running.stopping:  # Ctrl-C in the middle: no failure of the demo
                    return
                self.stderr.write("".join(log.last(40)))
                raise CommandError(f"{error}\nThe whole log: {log.path}") from None
            if not options["exit"]:
                log.to_screen = True
                self._say("Running until Ctrl-C.")
                while running.tend(3600):
                    pass
        if not accounted:
            raise CommandError("Not every message is accounted for.")

    def _say(self, sentence: str) -> None:
        self.stdout.write(sentence)
        self.stdout.flush()  # also into a pipe or a file


class Log:
    """What the processes say: kept in a file, shown once the summary is out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.to_screen = False

    def __enter__(self) -> "Log":
        self._file: TextIO = open(self.path, "w", encoding="utf-8")  # noqa: SIM115  # closed in __exit__
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def take(self, name: str, line: str) -> None:
        self._file.write(f"{name:<8}| {line}\n")
        self._file.flush()
        if self.to_screen:
            show(name, line)

    def last(self, lines: int) -> list[str]:
        return self.path.read_text("utf-8").splitlines(keepends=True)[-lines:]


def _refuse_real_data() -> None:
    channels = Channel.objects.all()
    if channels.exists() and not channels.filter(code=CODE, appid=DEMO_APPID).exists():
        raise CommandError(
            "This database holds channels of your own; the demo would show them a "
            "WeChat that is none. Give it a place of its own: "
            "DATA_DIR=data-demo DATABASE_URL= make demo"
        )
