"""Counters against rows, acceptances against their entries."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from channels_wechat.models import Channel
from sends import ledger
from sends.models import Send


class Command(BaseCommand):
    help = (
        "Count every send's deliveries and every acceptance's entries again and report "
        "what differs from them; exits with 1 if anything does."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "msgid", nargs="*", help="only these sends, and no acceptances"
        )
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
        self.stdout.write(f"{sends.count()} sends counted, {wrong} counters wrong.")
        if not options["msgid"]:
            wrong += self._acceptances(options["fix"])
        if wrong and not options["fix"]:
            raise CommandError(f"{wrong} counters are wrong; --fix sets them right.")

    def _acceptances(self, fix: bool) -> int:
        """Count every channel's acceptances again; return how much was wrong."""
        wrong = 0
        for channel in Channel.objects.order_by("pk"):
            drift = ledger.recount(channel, fix=fix)
            if any(drift):
                self.stdout.write(
                    f"{channel.code}: {drift.wrong} acceptances differ from their "
                    f"entries, {drift.missing} answers have none"
                )
            wrong += sum(drift)
        return wrong
