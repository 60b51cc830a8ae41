"""`manage.py create_access_key NAME`"""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from channels_wechat.access_keys import create_access_key


class Command(BaseCommand):
    help = (
        'Make an access key for the resource API. Prints {"access_key","secret"}; the '
        "secret cannot be shown again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="who will use it, e.g. crm")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            row, secret = create_access_key(options["name"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(json.dumps({"access_key": row.key, "secret": secret}))
