"""The demo's story, told by the product itself against the stand-in WeChat.

Everything a person would do goes the same roads: the resource API for channels,
templates and uploads, the click and the scan of an account's administrator, the sends
as the console submits them, receipts as WeChat pushes them.
"""

import csv
import io
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, urlsplit

import requests
from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone

from channels_wechat import links
from channels_wechat.models import Channel, PlatformLink
from jums.demo_login import Kept
from jums.management.commands.up import sandbox_url
from sandbox.accounts import DEMO_APPID, demo_account
from sandbox.bundled import SECOND_APPID, second_account
from sends import control
from sends.models import Send
from templates_mgmt.models import Template

WORKBOOK = settings.BASE_DIR / "docs" / "demo" / "recipients.xlsx"
CODE, SECOND_CODE = "demo", "property"
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


@dataclass
class Part:
    """One channel's share of the demo: its send and what became of it."""

    code: str
    appid: str
    send: Send
    shown_before: int
    counts: dict[str, int] = field(default_factory=dict)


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
        first = self.serve(CODE, DEMO_APPID, self.upload_workbook)
        self.authorise()
        second = self.serve(SECOND_CODE, SECOND_APPID, self.upload_second)
        for part in (first, second):
            self.watch(part)
        good = self.report(first)
        self.say(f"The second channel, authorised by a scan ({SECOND_CODE}):\n")
        good = self.report(second) and good
        self.say_where(first.send)
        return good

    def is_ready(self) -> bool:
        try:
            up = self.plain.get(f"{sandbox_url()}/sandbox/api/stats", timeout=5).ok
            return up and self.plain.get(f"{self.web}/readyz", timeout=10).ok
        except requests.RequestException:
            return False

    # -- channels ----------------------------------------------------------------------
    def connect(self) -> None:
        """Connect the first account with its AppID and AppSecret."""
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
        answer = self.wechat(
            "POST",
            "callback",
            json={
                "appid": DEMO_APPID,
                "url": f"{self.web}/v1/wechatoa/callback/{CODE}",
                "token": channel.callback_token,
                "encoding_aes_key": channel.encoding_aes_key,
                "mode": channel.callback_mode,
            },
        )
        if not answer.get("passed"):
            raise Failed(f"The sandbox could not verify the callback: {answer}")
        self.say(f"Connected the account {account.name}; its callback is verified.")

    def authorise(self) -> None:
        """Connect the second account by a scan; again, if it is there already."""
        pushed = self.wechat("POST", "tickets")
        if pushed["status"] != 200:
            raise Failed(f"The platform's ticket was not taken: {pushed}")
        link = self.api("POST", "platform/links/", json={"code": SECOND_CODE})
        # A click on our page, which WeChat knows by its Referer, then the scan.
        asked = dict(parse_qsl(urlsplit(link["pc_url"]).query))
        page = self.plain.get(
            link["pc_url"], headers={"Referer": link["page_url"]}, timeout=30
        )
        if not page.ok or "data-refused" in page.text:
            raise Failed(f"WeChat's authorisation page did not open: {page.text}")
        confirmed = {**asked, "appid": SECOND_APPID}
        back = self.wechat("POST", "authorisations", json=confirmed)["redirect"]
        # The browser may know us by another address than this machine does.
        self.plain.get(back.replace(settings.PUBLIC_URL, self.web, 1), timeout=60)

        def done() -> bool:
            row = links.find(link["state"])
            if row is None or row.state == PlatformLink.State.FAILED:
                why = (row.problem or row.errmsg) if row else "the link is gone"
                raise Failed(f"The account was not connected: {why}")
            return row.state == PlatformLink.State.DONE

        self.until("The scan has led to no channel", STEP_S, done)
        status = self.api("GET", f"channels/{SECOND_CODE}/")["status"]
        if status != "ready":
            raise Failed(f"The authorised channel is {status}.")
        self.say(
            f"Authorised the account {second_account().name} by a scan of its "
            "administrator, over the sandbox's third-party platform."
        )

    # -- the main job ------------------------------------------------------------------
    def serve(self, code: str, appid: str, upload: Callable[[], None]) -> Part:
        """Refresh, upload, and submit a send to everyone of one channel."""
        template = self.refresh(code)
        upload()
        shown_before = self.shown(appid)["total"]
        return Part(code, appid, self.send(template), shown_before)

    def refresh(self, code: str) -> Template:
        done = self.api("POST", f"channels/{code}/refresh-templates/")["template"]
        self.say(
            f"Refreshed its templates: {done['added']} added, "
            f"{done['unchanged']} unchanged."
        )
        # The one every field of which is of a known type.
        for template in Template.objects.filter(channel__code=code, removed_at=None):
            if all(f["type"] in {*VALUES, "time"} for f in template.fields):
                return template
        raise Failed("The sandbox's template for the demo is not there.")

    def upload_workbook(self) -> None:
        with open(WORKBOOK, "rb") as file:
            self.upload(CODE, WORKBOOK.name, file)

    def upload_second(self) -> None:
        """Give the first people of the workbook an openID of the second account."""
        text = io.StringIO()
        lines = csv.writer(text)
        lines.writerow(["userid", "wechatoa_openid"])
        people = second_account().people
        lines.writerows([f"u{n:04}", of] for n, of in enumerate(people, start=1))
        self.upload(SECOND_CODE, "second.csv", io.BytesIO(text.getvalue().encode()))

    def upload(self, code: str, name: str, file: BinaryIO) -> None:
        job = self.api(
            "POST",
            "uploads/",
            files={"file": (name, file)},
            data={"channel": code, "mode": "set"},
        )

        def done() -> bool:
            job.update(self.api("GET", f"uploads/{job['id']}/"))
            return job["status"] in {"finished", "failed"}

        self.until(f"The upload is still {job['status']}", STEP_S, done)
        if job["status"] == "failed" or job["rows_failed"] or not job["rows_ok"]:
            raise Failed(f"The upload did not go through: {job}")
        self.say(f"Uploaded {name}: {job['rows_ok']:,} people.")

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

    def watch(self, part: Part) -> None:
        """Wait until the send and its receipts are through; fill in `counts`."""
        seen: dict[str, Any] = {}

        def done() -> bool:
            seen.update(self.api("GET", f"sends/{part.send.msgid}/"))
            ended = seen["status"] in {"finished", "canceled", "paused"}
            return ended and not any(seen["counts"][name] for name in UNFINISHED)

        # What is missing at the end shows in the table.
        self.wait(STEP_S + RECEIPTS_S, done)
        part.counts = dict(seen["counts"])

    def report(self, part: Part) -> bool:
        """Print what became of each message, row by row and by the phones' word."""
        counts = part.counts
        rows: Counter[tuple[str, str]] = Counter()
        path = f"sends/{part.send.msgid}/deliveries/"
        while path:
            page = self.api("GET", path)
            for row in page["results"]:
                rows[(row["status"], _why(row))] += 1
            path = (page["next"] or "").partition("/api/")[2]
        total = sum(counts.values())
        by_status = Counter[str]()
        for (status, _), number in rows.items():
            by_status[status] += number
        shown = self.shown(part.appid)
        reached = shown["total"] - part.shown_before
        unfinished = sum(counts[name] for name in UNFINISHED) + counts["unknown"]
        accounted = total - unfinished
        self.say("")
        self.say(f"  {'became':<13}{'messages':>9}  because")
        for (status, why), number in sorted(rows.items(), key=lambda item: -item[1]):
            self.say(f"  {status:<13}{number:>9,}  {why}")
        self.say(f"  {'-' * 46}\n  {'accounted for':<13}{accounted:>9,}  of {total:,}")
        self.say(
            f"  {'on phones':<13}{reached:>9,}  shown, "
            f"{len(shown['more_than_once']) if not part.shown_before else 0} twice"
        )
        self.say("")
        agree = by_status == Counter({k: n for k, n in counts.items() if n})
        if not agree:
            self.say(f"The counters differ from the rows: {counts} {dict(by_status)}")
        if reached != counts["delivered"]:
            self.say("The phones and the receipts disagree.")
        return (
            total > 0
            and agree
            and accounted == total
            and reached == counts["delivered"]
            and shown["max_per_message"] <= 1
        )

    def say_where(self, send: Send) -> None:
        self.say(
            f"Console  {settings.PUBLIC_URL}/console/\n"
            f"Login    {self.kept.user}   Password  {self.kept.password}\n"
            f"Send     {settings.PUBLIC_URL}/console/sends/send/{send.pk}/\n"
            f"Phones   {sandbox_url()}/sandbox/"
        )
        self.say("")

    # -- the roads ---------------------------------------------------------------------
    def api(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = self.http.request(
            method, f"{self.web}/api/{path}", timeout=60, **options
        )
        if not answer.ok:
            raise Failed(f"{method} /api/{path}: {answer.status_code} {answer.text}")
        return dict(answer.json())

    def wechat(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Do what somebody does at WeChat, over the sandbox's switches."""
        answer = self.plain.request(
            method, f"{sandbox_url()}/sandbox/api/{path}", timeout=30, **options
        )
        if not answer.ok:
            raise Failed(f"{method} {path} of the sandbox: {answer.text}")
        return dict(answer.json())

    def shown(self, appid: str) -> dict[str, Any]:
        return self.wechat("GET", "shown", params={"appid": appid})

    def wait(self, seconds: float, done: Callable[[], bool]) -> bool:
        end = time.monotonic() + seconds
        while not (finished := done()) and time.monotonic() < end:
            if not self.tend(0.3):
                raise Failed("Stopped.")
        return finished

    def until(self, failure: str, seconds: float, done: Callable[[], bool]) -> None:
        if not self.wait(seconds, done):
            raise Failed(f"{failure} after {seconds} s.")


def _why(row: dict[str, Any]) -> str:
    """Say in a few words why a delivery has its status."""
    if row["errcode"]:
        return f"{row['errcode']} {row['error']}"
    return row["error"] or {"delivered": "receipt: success"}.get(row["status"], "")
