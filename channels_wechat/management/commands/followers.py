"""`manage.py followers CODE [--save FILE] [--compare FILE]`"""

import os
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from channels_wechat.checking import refusal
from channels_wechat.models import Channel
from channels_wechat.wechat.errors import WeChatError


class Command(BaseCommand):
    help = (
        "Print the openID of every follower of a channel, one a line. Save the list, "
        "let a phone follow the account, compare: the new openID is that phone's."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("code", help="the channel's code")
        parser.add_argument(
            "--save", type=Path, metavar="FILE", help="write all of them to FILE too"
        )
        parser.add_argument(
            "--compare",
            type=Path,
            metavar="FILE",
            help="print only those that FILE lacks",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        channel = Channel.objects.filter(code=options["code"]).first()
        if channel is None:
            raise CommandError(f"There is no channel with the code {options['code']}.")
        known = _read(options["compare"]) if options["compare"] else set()
        try:
            openids = list(dict.fromkeys(channel.client().followers()))
        except WeChatError as error:
            told = refusal(error)
            raise CommandError(f"{told.detail} {told.fix}".strip()) from None
        for openid in openids:
            if openid not in known:
                self.stdout.write(openid)
        # Last: the same file may be compared and saved.
        if options["save"]:
            _write(options["save"], openids)


def _read(path: Path) -> set[str]:
    try:
        return set(path.read_text(encoding="utf-8").split())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None


def _write(path: Path, openids: Iterable[str]) -> None:
    # Whole or not at all, so that a full disk does not lose the earlier list.
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.write_text("".join(f"{each}\n" for each in openids), encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
