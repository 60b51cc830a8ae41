"""`manage.py create_business_channel NAME [--channel CODE …]`"""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from channels_wechat.business_channels import create_business_channel
from channels_wechat.models import Channel


class Command(BaseCommand):
    help = (
        "Make a business channel, a sender for the REST API. Prints "
        '{"channel_key","master_secret"}.'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the business line, e.g. shop")
        parser.add_argument(
            "--channel",
            action="extend",
            nargs="+",
            default=[],
            metavar="CODE",
            help="channels it may send through, behind NAME; may be given again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        channels = []
        for code in options["channel"]:
            channel = Channel.objects.filter(code=code).first()
            if channel is None:
                raise CommandError(f"There is no channel with the code {code!r}.")
            channels.append(channel)
        try:
            row, secret = create_business_channel(options["name"], channels)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(json.dumps({"channel_key": row.key, "master_secret": secret}))
