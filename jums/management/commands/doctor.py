"""`manage.py doctor [CODE]`"""

import os
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from channels_wechat.checking import check
from channels_wechat.findings import Finding
from channels_wechat.models import Channel
from channels_wechat.platform_checking import check_platform
from channels_wechat.platforms import missing_settings
from channels_wechat.secrets import SecretUnreadable, is_stale
from jums.health import broker_state, database_state, worker_state
from sends import retaining


class Command(BaseCommand):
    help = (
        "Check a channel, or the whole installation with all channels: one line per "
        "finding, exit status 1 if any is bad."
    )
    # A database that is down is a finding, not a reason to stop.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("code", nargs="?", help="a channel's code")

    def handle(self, *args: Any, **options: Any) -> None:
        self.bad: set[str] = set()
        if options["code"]:
            channel = self._channels().get(options["code"])
            if channel is None:
                raise CommandError(
                    f"There is no channel with the code {options['code']}."
                )
            self._tell(channel.code, check(channel))
        else:
            bad = self._tell("jums", self._installation())
            # A missing worker or broker says nothing about the channels.
            if not bad & {"database", "migrations", "secrets"}:
                if len(missing_settings()) < 4:  # most have no platform
                    self._tell("platform", check_platform())
                for code, channel in self._channels().items():
                    self._tell(code, check(channel))
        if self.bad:
            raise SystemExit(1)

    def _channels(self) -> dict[str, Channel]:
        try:
            return {channel.code: channel for channel in Channel.objects.all()}
        except (SecretUnreadable, DatabaseError) as error:
            raise CommandError(str(error)) from None

    def _tell(self, where: str, findings: Iterable[Finding]) -> set[str]:
        """Print a line for each finding; return which checks are bad."""
        bad = set()
        for finding in findings:
            if finding.level == "bad":
                bad.add(finding.check)
            style = {
                "ok": self.style.SUCCESS,
                "warn": self.style.WARNING,
                "bad": self.style.ERROR,
            }[finding.level]
            text = f"{finding.detail} {finding.fix}".strip()
            line = f"{where:<12} {finding.check:<10} {text}"
            self.stdout.write(f"{style(f'{finding.level:<4}')} {line}")
        self.bad |= bad
        return bad

    def _installation(self) -> Iterator[Finding]:
        database = _state("database", database_state(), "Look at DATABASE_URL.")
        yield database
        if database.level == "ok":
            yield _migrations()
            yield from _secrets()
        broker = _state("broker", broker_state(), "Look at CELERY_BROKER_URL.")
        yield broker
        if broker.level == "ok":
            yield _state("worker", worker_state(), "Start a worker, or `make run`.")
        yield from _kept_keys()
        yield _retention()
        if settings.DEBUG:
            yield Finding(
                "debug", "warn", "DEBUG is on: errors show their insides.", "Unset it."
            )


def _state(name: str, state: str, fix: str) -> Finding:
    if state == "ok":
        return Finding(name, "ok", f"The {name} answers.", "")
    return Finding(name, "bad", f"The {name} does not answer: {state}.", fix)


def _migrations() -> Finding:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if waiting:
        return Finding(
            "migrations",
            "bad",
            f"{len(waiting)} migrations were not applied.",
            "Run: python manage.py migrate",
        )
    return Finding("migrations", "ok", "The tables are up to date.", "")


def _secrets() -> Iterator[Finding]:
    """Whether every stored secret opens, and with the ring's first key."""
    try:
        list(Channel.objects.all())  # reading decrypts
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT app_secret FROM channels_wechat_channel WHERE app_secret <> ''"
            )
            stale = sum(is_stale(stored) for (stored,) in cursor.fetchall())
    except SecretUnreadable as error:
        yield Finding("secrets", "bad", str(error), "Put that key back.")
        return
    except DatabaseError:
        return  # no tables yet: the migrations say so
    if stale:
        yield Finding(
            "secrets",
            "warn",
            f"The secrets of {stale} channels are under an older key.",
            "Run: python manage.py rotate_keys",
        )
    else:
        yield Finding("secrets", "ok", "Every stored secret opens.", "")


def _retention() -> Finding:
    """How long rows are kept, and whether their files can be written here."""
    kept = [
        f"{what} {f'{days} days' if days else 'for ever'}"
        for what, days in (
            ("events", settings.KEEP_EVENTS_DAYS),
            ("deliveries", settings.KEEP_DELIVERIES_DAYS),
        )
    ]
    detail = f"Kept: {', '.join(kept)}."
    place = retaining.folder()
    if settings.ARCHIVE and not os.access(
        place if place.exists() else place.parent, os.W_OK
    ):
        return Finding(
            "retention",
            "bad",
            f"{detail} {place} cannot be written: nothing old is let go.",
            "Let the worker's user write there, or set ARCHIVE=false.",
        )
    return Finding("retention", "ok", detail, "")


def _kept_keys() -> Iterator[Finding]:
    for name, is_kept, file in (
        ("SECRET_KEY", settings.SECRET_KEY_IS_KEPT, "secret_key"),
        ("FIELD_KEYS", settings.FIELD_KEYS_ARE_KEPT, "field_keys"),
    ):
        if is_kept:
            yield Finding(
                "keys",
                "warn",
                f"{name} is not set; it was made up and is kept in "
                f"{settings.DATA_DIR / file}.",
                "Back that file up, or set the variable on every host.",
            )
        else:
            yield Finding("keys", "ok", f"{name} is set.", "")
