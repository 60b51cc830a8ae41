"""Counters against rows."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from sends.models import Send


class Command(BaseCommand):
    help = (
        "Count every send's deliveries again and report counters that differ from "
        "them; exits with 1 if any does."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("msgid", nargs="*", help="only these sends")
        parser.add_argument(
            "--fix", action="store_true", help="set the counters to what the rows say"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        sends = Send.objects.order_by("pk")
        if options["msgid"]:
            sends = sends.filter(msgid__in=options["msgid"])
        wrong = 0
        # One send at a time and locked: a running one keeps moving.
        for pk in sends.values_list("pk", flat=True):
            with transaction.atomic():
                one = Send.objects.select_for_update().filter(pk=pk)
                list(one)
                for drift in one.drift():
                    wrong += 1
                    self.stdout.write(
                        f"{one.get().msgid}: {drift.status} is counted as "
                        f"{drift.counted}, the rows say {drift.rows}"
                    )
                    if options["fix"]:
                        one.update(**{f"n_{drift.status}": drift.rows})
        if wrong and not options["fix"]:
            raise CommandError(f"{wrong} counters are wrong; --fix sets them right.")
        self.stdout.write(f"{sends.count()} sends counted, {wrong} counters wrong.")
