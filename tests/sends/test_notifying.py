"""Drains of subscribe-notifications against the sandbox: nothing is ever sent twice."""

from datetime import timedelta

import pytest
from django.utils import timezone

from channels_wechat.models import Channel
from channels_wechat.wechat.bulk import SUBSCRIBE_SEND
from sandbox import people
from sends import audience, ledger, preparing, receipts, sending, sweeping
from sends.brake import SILENCE
from sends.leases import Lease
from sends.models import Acceptance, Chunk, Delivery, Drain, InboundEvent, Send
from templates_mgmt import refreshing
from tests.factories import ChannelFactory, SendFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]

APPID = "wx5a0db0c5e70000ea"
SECRET = "5a0db0c5e70000ea5a0db0c5e70000ea"
DATA = {
    "thing1": "手冲咖啡豆",
    "character_string2": "SP1",
    "time3": "2026年5月8日 10:00",
    "phrase4": "顺丰速运",
}
SENT = "subscribe_msg_sent_event"
POPUP = "subscribe_msg_popup_event"


@pytest.fixture
def channel(sandbox, settings):
    sandbox.add_account(appid=APPID, secret=SECRET, followers=700)
    settings.WECHAT_API_BASE = sandbox.url
    channel = ChannelFactory(appid=APPID, app_secret=SECRET)
    refreshing.refresh(channel)
    return channel


@pytest.fixture
def template(channel):
    return channel.templates.get(kind="subscribe", title="订单发货通知")


@pytest.fixture
def accepted(channel, template, sandbox):
    """Let people accept, at WeChat and as the pushes tell us."""

    def accept(*numbers, times=1):
        openids = [people.openid(APPID, n) for n in numbers]
        body = {"appid": APPID, "template_id": template.template_id, "times": times}
        sandbox.control("POST", "acceptances", {**body, "openids": openids})
        for n in range(times):
            tell(channel, POPUP, openids, template, outcome="accept", age_s=60 + n)

    return accept


def tell(channel, event, openids, template, age_s=0, msgid=None, outcome="success"):
    """Store what WeChat pushed `age_s` seconds ago, and apply it."""
    at = timezone.now() - timedelta(seconds=age_s)
    InboundEvent.objects.bulk_create(
        InboundEvent(
            channel=channel,
            key=f"{event} {openid} {at.isoformat()} {msgid}",
            event=event,
            openid=openid,
            template_id=template.template_id,
            msgid=msgid,
            outcome=outcome,
            created_at=at,
            received_at=at,
            try_at=at,
        )
        for openid in openids
    )
    receipts.apply_waiting(channel.pk)


@pytest.fixture
def prepared(template):
    """Make a prepared send to the sandbox's people number 1 to `count`."""

    def make(count=20, **fields):
        send = SendFactory(
            template=template, status=Send.Status.PREPARING, data=DATA, **fields
        )
        openids = [people.openid(APPID, n) for n in range(1, count + 1)]
        audience.stage(send, [], [("", openid) for openid in openids])
        preparing.prepare(send.pk)
        return send

    return make


def counts(send):
    return {k: v for k, v in Send.objects.get(pk=send.pk).counts.items() if v}


def ledger_left(channel):
    rows = Acceptance.objects.filter(channel=channel)
    return {row.openid: row.left for row in rows if row.left}


def calls(sandbox):
    return sum(sandbox.stats()["calls"].get(SUBSCRIBE_SEND.path, {}).values())


def test_who_accepted_gets_it_once_and_the_others_are_left_alone(
    channel, template, prepared, accepted, sandbox
):
    accepted(*range(1, 13))
    accepted(1, times=2)

    send = prepared(count=20, url="https://example.com/?a=1")
    sending.drain(channel.pk)

    assert counts(send) == {"accepted": 12, "skipped": 8}
    assert Delivery.objects.filter(send=send, reason="no_acceptance").count() == 8
    assert calls(sandbox) == 12
    assert sandbox.shown(appid=APPID)["max_per_openid"] == 1
    assert ledger_left(channel) == {people.openid(APPID, 1): 2}
    message = sandbox.messages(people.openid(APPID, 2), appid=APPID)[0]
    assert message["url"] == "https://example.com/?a=1"


def test_without_skipping_everyone_is_tried_and_43101_is_the_truth(
    channel, prepared, accepted, sandbox
):
    accepted(1, 2)

    send = prepared(count=4, skip_unreachable=False)
    sending.drain(channel.pk)

    assert counts(send) == {"accepted": 2, "refused": 2}
    errcodes = Delivery.objects.filter(send=send).values_list("errcode", flat=True)
    assert sorted(code for code in errcodes if code) == [43101, 43101]
    third = Acceptance.objects.get(openid=people.openid(APPID, 3))
    assert (third.left, third.zeroed, third.confidence) == (0, True, "confirmed")


@pytest.mark.parametrize(
    "kind", ["close", "busy_after", "truncated", "bad_gateway_after"]
)
def test_an_answer_never_seen_is_never_repeated_and_the_receipt_tells_the_truth(
    channel, template, prepared, accepted, sandbox, kind
):
    accepted(*range(1, 21), times=2)
    send = prepared()
    sandbox.faults(kind=kind, calls=7, path=SUBSCRIBE_SEND.path)

    for _ in range(3):
        sending.drain(channel.pk)
        Chunk.objects.update(due_at=timezone.now())
        Drain.objects.update(hold_until=None)

    assert counts(send) == {"accepted": 13, "unknown": 7}
    assert calls(sandbox) == 20
    assert sandbox.shown(appid=APPID)["total"] == 20
    unknown = list(Delivery.objects.filter(send=send, status=Delivery.Status.UNKNOWN))
    assert sum(ledger_left(channel).values()) == 40 - 13

    Delivery.objects.filter(send=send).update(
        sent_at=timezone.now() - timedelta(seconds=40)
    )
    for n, delivery in enumerate(unknown, start=1):
        outcome = "success" if n < 7 else "failed:system error"
        told = {"age_s": 30, "msgid": n, "outcome": outcome}
        tell(channel, SENT, [delivery.openid], template, **told)

    assert counts(send) == {"accepted": 13, "delivered": 6, "undelivered": 1}
    assert sum(ledger_left(channel).values()) == 20
    assert ledger.recount(channel, fix=False) == (0, 0)


def test_a_call_that_never_left_is_tried_again(
    channel, prepared, accepted, sandbox, settings
):
    accepted(*range(1, 6))
    send = prepared(count=5)
    settings.WECHAT_API_BASE = "http://127.0.0.1:9"
    Channel.objects.get(pk=channel.pk).client()

    sending.drain(channel.pk)
    assert counts(send) == {"waiting": 5}

    settings.WECHAT_API_BASE = sandbox.url
    Chunk.objects.update(due_at=timezone.now())
    sending.drain(channel.pk)
    assert counts(send) == {"accepted": 5}
    assert calls(sandbox) == 5


def test_a_dead_worker_leaves_unknown_ones_and_no_second_call(
    channel, template, prepared, accepted, sandbox
):
    accepted(*range(1, 21))
    send = prepared()
    dead = Lease.take(channel.pk)
    chunk = Chunk.objects.get(send=send)
    chunk.state, chunk.fence = Chunk.State.CLAIMED, dead.fence
    chunk.claimed_at = timezone.now() - timedelta(minutes=1)
    chunk.save()
    Delivery.objects.claim(chunk)
    Send.objects.filter(pk=send.pk).update(n_waiting=0, n_sending=20)
    Drain.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    assert sweeping.channels_to_drain() == [channel.pk]
    sending.drain(channel.pk)

    assert counts(send) == {"unknown": 20}
    assert calls(sandbox) == 0
    send.refresh_from_db()
    assert send.status == Send.Status.FINISHED
    # Two of them had reached WeChat before the worker died.
    reached = [people.openid(APPID, n) for n in (1, 2)]
    tell(channel, SENT, reached, template, age_s=45, msgid=9)
    assert counts(send) == {"unknown": 18, "delivered": 2}
    assert sum(ledger_left(channel).values()) == 18


def test_few_are_under_way_at_a_time(channel, prepared, accepted, sandbox):
    accepted(*range(1, 301))
    Channel.objects.filter(pk=channel.pk).update(connections=20)
    send = prepared(count=300)

    sending.drain(channel.pk)

    assert counts(send) == {"accepted": 300}
    # What a death would leave unknown: twice the connections.
    claimed = [c.last_id - c.first_id + 1 for c in Chunk.objects.filter(send=send)]
    assert max(claimed) <= 40


def test_unseen_answers_in_a_row_let_the_send_rest(
    channel, prepared, accepted, sandbox
):
    accepted(*range(1, 401))
    send = prepared(count=400)
    sandbox.faults(kind="busy", path=SUBSCRIBE_SEND.path)

    sending.drain(channel.pk)

    send.refresh_from_db()
    assert (send.status, send.pause_code) == (Send.Status.PAUSED, "silence")
    assert send.resume_at > timezone.now() + timedelta(minutes=5)
    assert SILENCE <= send.n_unknown <= SILENCE + 4 * channel.connections
    assert send.n_waiting == 400 - send.n_unknown


@pytest.mark.parametrize(("errcode", "code"), [(45009, "quota"), (48001, "channel")])
def test_a_refusal_of_one_interface_stops_its_own_kind_alone(
    channel, prepared, accepted, sandbox, errcode, code
):
    accepted(*range(1, 11))
    notices = prepared(count=10)
    meeting = channel.templates.get(title="会议预约提醒")
    values = {"thing": "周会", "time": "2026年5月8日 10:00"}
    messages = SendFactory(
        template=meeting,
        priority=3,
        status=Send.Status.PREPARING,
        data={f["key"]: values.get(f["type"], "A1") for f in meeting.fields},
    )
    audience.stage(messages, [], [("", people.openid(APPID, 1))])
    preparing.prepare(messages.pk)
    sandbox.faults(kind="errcode", errcode=errcode, path=SUBSCRIBE_SEND.path)

    sending.drain(channel.pk)

    notices.refresh_from_db()
    assert (notices.status, notices.pause_code) == (Send.Status.PAUSED, code)
    assert counts(notices) == {"waiting": 10}
    assert counts(messages) == {"accepted": 1}


def test_a_reply_without_a_msgid_finds_its_receipt(
    channel, template, prepared, accepted, sandbox
):
    accepted(1, 2)
    send = prepared(count=2)
    sandbox.faults(kind="no_msgid", path=SUBSCRIBE_SEND.path)
    sending.drain(channel.pk)
    assert not Delivery.objects.filter(send=send, wechat_msgid__isnull=False).exists()
    Delivery.objects.update(sent_at=timezone.now() - timedelta(seconds=40))
    other = channel.templates.get(title="停水通知")

    # Of another template: not about this message.
    tell(channel, SENT, [people.openid(APPID, 1)], other, age_s=31, msgid=8)
    tell(channel, SENT, [people.openid(APPID, 2)], template, age_s=30, msgid=9)

    assert counts(send) == {"accepted": 1, "delivered": 1}
    delivered = Delivery.objects.get(send=send, status=Delivery.Status.DELIVERED)
    assert delivered.wechat_msgid == 9
