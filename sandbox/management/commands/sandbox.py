"""`manage.py sandbox`: the stand-in WeChat, as `python -m sandbox` starts it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from sandbox.__main__ import add_arguments, serve


class Command(BaseCommand):
    help = "Run the WeChat sandbox: the API, receipts and a page of phones."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        serve(
            host=options["host"],
            port=options["port"],
            caller_ip=options["ip"],
            receipt_delay_s=tuple(options["receipt_delay"]),
            product_url=options["product_url"],
            ticket_interval_s=options["ticket_interval"],
        )
