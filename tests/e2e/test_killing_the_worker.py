"""A worker that dies in mid-send loses nothing and repeats nothing on any phone."""

import pytest

from tests.sandbox_fixture import SEND

PEOPLE, KILLS = 4000, 10
TOKEN, AES_KEY = "killtest", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

SUBMIT = """
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
send = control.new_draft(
    None,
    title="Meeting",
    channel=channel,
    template=Template.objects.get(channel=channel, title="会议预约提醒"),
    audience=Send.Audience.ALL,
    data={"thing1": "{{userid}}", "time2": "2026年5月8日 10:00", "thing3": "三楼"},
)
control.submit(send)
print(json.dumps(send.pk))
"""
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
