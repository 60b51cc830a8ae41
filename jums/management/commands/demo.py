"""`manage.py demo`: the main job, once, for real, against the stand-in WeChat.

Everything a person would do goes the same roads: the resource API for channel,
templates and upload, the send as the console submits it, receipts as WeChat pushes
them.
"""

import json
import logging
import os
import secrets
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import requests
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from channels_wechat.access_keys import create_access_key
from channels_wechat.models import AccessKey, Channel
from jums.management.commands.up import (
    check_ports,
    children,
    forget_tokens,
    migrate,
    sandbox_url,
    show,
)
from jums.supervising import Supervisor
from sandbox.accounts import DEMO_APPID, demo_account
from sends import control
from sends.models import Send
from templates_mgmt.models import Template

WORKBOOK = settings.BASE_DIR / "docs" / "demo" / "recipients.xlsx"
CODE = "demo"
# Of the template's fields by type; a placeholder is filled in for each person.
VALUES = {
    "thing": "云杉手冲咖啡豆 250g",
    "character_string": "SP2026-{{userid}}",
    "amount": "¥128.00",
    "phrase": "顺丰速运",
}
# Generous: a small machine under load is slow, not broken.
START_S, STEP_S, RECEIPTS_S = 180, 180, 180
UNFINISHED = ("waiting", "sending", "accepted")


class Failed(Exception):
    """The demo cannot go on; the sentence says where it stopped."""


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


class Demo:
    """The story. `tend` runs the processes for some seconds, False once to stop."""

    tend: Callable[[float], bool]

    def __init__(self, say: Callable[[str], object]) -> None:
        self.say = say
        self.kept = Kept.load()
        # A proxy of this machine's environment has no business on the loopback.
        self.plain, self.http = requests.Session(), requests.Session()
        self.plain.trust_env = self.http.trust_env = False
        self.http.auth = (self.kept.access_key, self.kept.secret)
        self.web = f"http://127.0.0.1:{settings.PORT}"

    def run(self) -> bool:
        """Do the main job; return whether every message is accounted for."""
        self.say("Starting sandbox, web, worker and schedule ...")
        self.until("/readyz did not answer", START_S, self.is_ready)
        self.connect()
        template = self.refresh()
        self.upload()
        shown_before = self.shown()["total"]
        send = self.send(template)
        counts = self.watch(send)
        return self.report(send, counts, shown_before)

    def is_ready(self) -> bool:
        try:
            up = self.plain.get(f"{sandbox_url()}/sandbox/api/stats", timeout=5).ok
            return up and self.plain.get(f"{self.web}/readyz", timeout=10).ok
        except requests.RequestException:
            return False

    def connect(self) -> None:
        account = demo_account()
        if Channel.objects.filter(code=CODE).exists():
            self.api("GET", f"channels/{CODE}/")
        else:
            self.api(
                "POST",
                "channels/",
                json={
                    "code": CODE,
                    "name": account.name,
                    "appid": account.appid,
                    "app_secret": account.secret,
                    "original_id": account.original_id,
                    "callback_mode": "safe",
                },
            )
        channel = Channel.objects.get(code=CODE)
        # What an administrator pastes into WeChat's server configuration.
        answer = self.plain.post(
            f"{sandbox_url()}/sandbox/api/callback",
            json={
                "appid": DEMO_APPID,
                "url": f"{self.web}/v1/wechatoa/callback/{CODE}",
                "token": channel.callback_token,
                "encoding_aes_key": channel.encoding_aes_key,
                "mode": channel.callback_mode,
            },
            timeout=30,
        ).json()
        if not answer.get("passed"):
            raise Failed(f"The sandbox could not verify the callback: {answer}")
        self.say(f"Connected the account {account.name}; its callback is verified.")

    def refresh(self) -> Template:
        done = self.api("POST", f"channels/{CODE}/refresh-templates/")["template"]
        self.say(
            f"Refreshed its templates: {done['added']} added, "
            f"{done['unchanged']} unchanged."
        )
        # The one every field of which is of a known type.
        for template in Template.objects.filter(channel__code=CODE, removed_at=None):
            if all(f["type"] in {*VALUES, "time"} for f in template.fields):
                return template
        raise Failed("The sandbox's template for the demo is not there.")

    def upload(self) -> None:
        with open(WORKBOOK, "rb") as file:
            job = self.api(
                "POST",
                "uploads/",
                files={"file": (WORKBOOK.name, file)},
                data={"channel": CODE, "mode": "set"},
            )

        def done() -> bool:
            job.update(self.api("GET", f"uploads/{job['id']}/"))
            return job["status"] in {"finished", "failed"}

        self.until(f"The upload is still {job['status']}", STEP_S, done)
        if job["status"] == "failed" or job["rows_failed"] or not job["rows_ok"]:
            raise Failed(f"The upload did not go through: {job}")
        self.say(f"Uploaded {WORKBOOK.name}: {job['rows_ok']:,} people.")

    def send(self, template: Template) -> Send:
        now = timezone.localtime()
        values = {"time": f"{now.year}年{now.month}月{now.day}日 {now:%H:%M}", **VALUES}
        draft = control.new_draft(
            get_user_model().objects.get(username=self.kept.user),
            title=template.title,
            channel=template.channel,
            template=template,
            audience=Send.Audience.ALL,
            data={f["key"]: values[f["type"]] for f in template.fields},
            url=f"{settings.PUBLIC_URL}/",
        )
        control.submit(draft)
        self.say(f'Submitted a send of "{template.title}" to everyone of the channel.')
        return draft

    def watch(self, send: Send) -> dict[str, int]:
        seen: dict[str, Any] = {}

        def done() -> bool:
            seen.update(self.api("GET", f"sends/{send.msgid}/"))
            ended = seen["status"] in {"finished", "canceled", "paused"}
            return ended and not any(seen["counts"][name] for name in UNFINISHED)

        # What is missing at the end shows in the table.
        self.wait(STEP_S + RECEIPTS_S, done)
        return dict(seen["counts"])

    def report(self, send: Send, counts: dict[str, int], shown_before: int) -> bool:
        """Print what became of each message, row by row and by the phones' word."""
        rows: Counter[tuple[str, str]] = Counter()
        path = f"sends/{send.msgid}/deliveries/"
        while path:
            page = self.api("GET", path)
            for row in page["results"]:
                rows[(row["status"], _why(row))] += 1
            path = (page["next"] or "").partition("/api/")[2]
        total = sum(counts.values())
        by_status = Counter[str]()
        for (status, _), number in rows.items():
            by_status[status] += number
        shown = self.shown()
        reached = shown["total"] - shown_before
        unfinished = sum(counts[name] for name in UNFINISHED) + counts["unknown"]
        accounted = total - unfinished
        self.say("")
        self.say(f"  {'became':<13}{'messages':>9}  because")
        for (status, why), number in sorted(rows.items(), key=lambda item: -item[1]):
            self.say(f"  {status:<13}{number:>9,}  {why}")
        self.say(f"  {'-' * 46}\n  {'accounted for':<13}{accounted:>9,}  of {total:,}")
        self.say(
            f"  {'on phones':<13}{reached:>9,}  shown, "
            f"{len(shown['more_than_once']) if not shown_before else 0} twice"
        )
        self.say("")
        agree = by_status == Counter({k: n for k, n in counts.items() if n})
        if not agree:
            self.say(f"The counters differ from the rows: {counts} {dict(by_status)}")
        if reached != counts["delivered"]:
            self.say("The phones and the receipts disagree.")
        password = self.kept.password
        self.say(
            f"Console  {settings.PUBLIC_URL}/console/\n"
            f"Login    {self.kept.user}   Password  {password}\n"
            f"Send     {settings.PUBLIC_URL}/console/sends/send/{send.pk}/\n"
            f"Phones   {sandbox_url()}/sandbox/"
        )
        self.say("")
        return (
            total > 0
            and agree
            and accounted == total
            and reached == counts["delivered"]
            and shown["max_per_message"] <= 1
        )

    # -- the roads ---------------------------------------------------------------------
    def api(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = self.http.request(
            method, f"{self.web}/api/{path}", timeout=60, **options
        )
        if not answer.ok:
            raise Failed(f"{method} /api/{path}: {answer.status_code} {answer.text}")
        return dict(answer.json())

    def shown(self) -> dict[str, Any]:
        answer = self.plain.get(
            f"{sandbox_url()}/sandbox/api/shown",
            params={"appid": DEMO_APPID},
            timeout=30,
        )
        return dict(answer.json())

    def wait(self, seconds: float, done: Callable[[], bool]) -> bool:
        end = time.monotonic() + seconds
        while not (finished := done()) and time.monotonic() < end:
            if not self.tend(0.3):
                raise Failed("Stopped.")
        return finished

    def until(self, failure: str, seconds: float, done: Callable[[], bool]) -> None:
        if not self.wait(seconds, done):
            raise Failed(f"{failure} after {seconds} s.")


class Kept:
    """What a second demo needs of the first: login and access key."""

    def __init__(self, access_key: str, secret: str, user: str, password: str) -> None:
        self.access_key, self.secret = access_key, secret
        self.user, self.password = user, password

    @classmethod
    def load(cls) -> "Kept":
        path = Path(settings.DATA_DIR) / "demo.json"
        if path.is_file():
            kept = cls(**json.loads(path.read_text("utf-8")))
            users = get_user_model().objects
            user = users.filter(username=kept.user).first()
            known = AccessKey.objects.filter(key=kept.access_key).exists()
            if known and user is not None and user.check_password(kept.password):
                return kept
        kept = cls(*_new_access_key(), *_new_login())
        with open(
            os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w"
        ) as f:
            json.dump(vars(kept), f)
        return kept


def _new_access_key() -> tuple[str, str]:
    row, secret = create_access_key(f"demo {secrets.token_hex(3)}")
    return row.key, secret


def _new_login() -> tuple[str, str]:
    password = secrets.token_urlsafe(9)
    user, _ = get_user_model().objects.get_or_create(
        username="demo", defaults={"is_staff": True, "is_superuser": True}
    )
    user.set_password(password)
    user.save()
    return user.get_username(), password


def _refuse_real_data() -> None:
    channels = Channel.objects.all()
    if channels.exists() and not channels.filter(code=CODE, appid=DEMO_APPID).exists():
        raise CommandError(
            "This database holds channels of your own; the demo would show them a "
            "WeChat that is none. Give it a place of its own: "
            "DATA_DIR=data-demo DATABASE_URL= make demo"
        )


def _why(row: dict[str, Any]) -> str:
    """Say in a few words why a delivery has its status."""
    if row["errcode"]:
        return f"{row['errcode']} {row['error']}"
    return row["error"] or {"delivered": "receipt: success"}.get(row["status"], "")
