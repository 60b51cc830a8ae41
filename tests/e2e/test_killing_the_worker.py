"""A worker that dies in mid-send loses nothing and repeats nothing on any phone."""

import pytest

from tests.e2e.stack import SUBMIT
from tests.sandbox_fixture import SEND

PEOPLE, KILLS = 4000, 10
TOKEN, AES_KEY = "killtest", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

STATE = """
from django.db.models import Count
from sends.models import Delivery, Send

send = Send.objects.get(pk=given["send"])
rows = dict(
    Delivery.objects.filter(send=send).values_list("status").annotate(Count("pk"))
)
print(json.dumps({
    "status": send.status,
    "rows": {Delivery.Status(s).name.lower(): n for s, n in rows.items()},
    "counts": {k: n for k, n in send.counts.items() if n},
}))
"""


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_ten_sigkills_in_mid_send_and_everyone_sees_one_message(stack, sandbox):
    account = sandbox.add_account(followers=PEOPLE)
    sandbox.settings(reply_delay_ms=[50, 250], push_patience_s=120)
    openids = [sandbox.openid(n, account["appid"]) for n in range(1, PEOPLE + 1)]
    stack.start("web", "beat")
    send = stack.ask(
        SUBMIT,
        openids=openids,
        channel={
            "name": "Kill",
            "code": "kill",
            "appid": account["appid"],
            "app_secret": account["secret"],
            "original_id": account["original_id"],
            "callback_token": TOKEN,
            "encoding_aes_key": AES_KEY,
        },
    )
    sandbox.callback(
        f"{stack.url}/v1/wechatoa/callback/kill",
        TOKEN,
        account["appid"],
        mode="safe",
        encoding_aes_key=AES_KEY,
    )

    for kill in range(KILLS):
        before = sandbox.stats()["accepted"]
        stack.start("worker")
        more = before + PEOPLE // (KILLS + 3)
        stack.wait_for(
            lambda more=more: sandbox.stats()["accepted"] >= more,
            120,
            f"nothing was sent after {kill} kills",
        )
        stack.kill("worker")
    assert sandbox.stats()["accepted"] < PEOPLE, (
        "the send was over before the last kill"
    )
    stack.start("worker")
    stack.wait_for(
        lambda: sandbox.stats()["accepted"] >= PEOPLE, 180, "the send did not finish"
    )
    state = stack.wait_for(
        lambda: (
            (now := stack.ask(STATE, send=send))["status"] == "finished"
            and set(now["rows"]) <= {"delivered", "unknown"}
            and now
        ),
        180,
        "the receipts did not arrive",
    )

    shown = sandbox.shown(appid=account["appid"], counts=1)
    assert shown["counts"] == dict.fromkeys(openids, 1)
    assert state["rows"] == state["counts"] == {"delivered": PEOPLE}
    # The kills did catch calls in flight, or this test would prove nothing.
    assert sandbox.stats()["repeated"] > 0
    assert sandbox.stats()["calls"][SEND]["0"] > PEOPLE


NOTIFIED, ACCEPTING = 1500, 1000
NOTIFY = """
from channels_wechat.models import Channel
from sends import control
from sends.models import Send
from templates_mgmt import refreshing
from templates_mgmt.models import Template
from users.models import OpenID, Recipient

channel = Channel(name="Kill", code="kill", callback_mode="safe", **given["channel"])
channel.full_clean()
channel.save()
refreshing.refresh(channel)
openids = given["openids"]
people = Recipient.objects.bulk_create(
    [Recipient(userid=f"u{n}") for n in range(len(openids))], batch_size=2000
)
OpenID.objects.bulk_create(
    [OpenID(channel=channel, recipient=p, openid=o) for p, o in zip(people, openids)],
    batch_size=2000,
)
print(json.dumps(None))
"""
ACCEPTED = """
from sends.models import Acceptance
print(json.dumps(Acceptance.objects.filter(left=1).count()))
"""
SUBMIT_NOTICE = """
from channels_wechat.models import Channel
from sends import audience, control
from sends.models import Send
from templates_mgmt.models import Template

channel = Channel.objects.get(code="kill")
send = control.new_draft(
    None,
    title="Shipped",
    channel=channel,
    template=Template.objects.get(channel=channel, template_id=given["template"]),
    audience=Send.Audience.ALL,
    data={
        "thing1": "{{userid}}",
        "character_string2": "SP1",
        "time3": "2026年5月8日 10:00",
        "phrase4": "顺丰速运",
    },
)
counts = audience.counts(send)
control.submit(send)
print(json.dumps([send.pk, counts.people, counts.reachable]))
"""
LEDGER = """
from channels_wechat.models import Channel
from sends import ledger
from sends.models import Acceptance, Delivery

channel = Channel.objects.get(code="kill")
delivered = Delivery.objects.filter(status=Delivery.Status.DELIVERED)
unknown = Delivery.objects.filter(status=Delivery.Status.UNKNOWN)
print(json.dumps({
    "drift": ledger.recount(channel, fix=False),
    "delivered": sorted(delivered.values_list("openid", flat=True)),
    "unknown": sorted(unknown.values_list("openid", flat=True)),
    "left": sorted(
        Acceptance.objects.filter(left__gt=0).values_list("openid", flat=True)
    ),
}))
"""


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_sigkills_never_send_a_subscribe_notification_twice(stack, sandbox):
    account = sandbox.add_account(followers=NOTIFIED)
    appid = account["appid"]
    sandbox.settings(reply_delay_ms=[100, 300], push_patience_s=120)
    openids = [sandbox.openid(n, appid) for n in range(1, NOTIFIED + 1)]
    stack.start("web", "beat")
    stack.ask(
        NOTIFY,
        openids=openids,
        channel={
            "appid": appid,
            "app_secret": account["secret"],
            "original_id": account["original_id"],
            "callback_token": TOKEN,
            "encoding_aes_key": AES_KEY,
        },
    )
    sandbox.callback(
        f"{stack.url}/v1/wechatoa/callback/kill",
        TOKEN,
        appid,
        mode="safe",
        encoding_aes_key=AES_KEY,
    )
    listed = sandbox.control("GET", "subscriptions", appid=appid)["notices"]
    shipped = {n["title"]: n["priTmplId"] for n in listed}["订单发货通知"]
    accepting = {"appid": appid, "template_id": shipped, "first": 1, "last": ACCEPTING}
    stack.start("worker")
    sandbox.control("POST", "acceptances", accepting)
    stack.wait_for(
        lambda: stack.ask(ACCEPTED) == ACCEPTING, 120, "the popups did not arrive"
    )
    stack.kill("worker")
    send, people, reachable = stack.ask(SUBMIT_NOTICE, template=shipped)
    assert (people, reachable) == (NOTIFIED, ACCEPTING)

    for kill in range(3):
        before = sandbox.stats()["accepted"]
        stack.start("worker")
        stack.wait_for(
            lambda more=before + 150: sandbox.stats()["accepted"] >= more,
            120,
            f"nothing was sent after {kill} kills",
        )
        stack.kill("worker")
    stack.start("worker")
    stack.wait_for(
        lambda: (
            (now := stack.ask(STATE, send=send))["status"] == "finished"
            and set(now["rows"]) <= {"delivered", "unknown", "skipped"}
            and sandbox.stats()["receipts"]["answered"] >= sandbox.stats()["accepted"]
        ),
        240,
        "the send did not finish",
    )

    shown = sandbox.shown(appid=appid, counts=1)["counts"]
    assert set(shown.values()) == {1}
    # What the kills left unknown and WeChat had taken, its receipts told the truth of.
    state = stack.wait_for(
        lambda: (now := stack.ask(LEDGER))["delivered"] == sorted(shown) and now,
        120,
        "the receipts did not settle what was unknown",
    )
    assert state["drift"] == [0, 0]
    assert set(state["delivered"]) | set(state["unknown"]) == set(openids[:ACCEPTING])
    assert state["left"] == state["unknown"]
    # The kills did catch calls in flight, or this test would prove nothing.
    assert len(state["unknown"]) > 0
    counts = stack.ask(STATE, send=send)["counts"]
    assert counts["skipped"] == NOTIFIED - ACCEPTING
