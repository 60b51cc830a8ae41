"""Many people, a third of them without an acceptance."""

import random
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from channels_wechat.wechat.bulk import SUBSCRIBE_SEND
from sandbox import people
from sends import audience, forecasting, ledger, preparing, receipts, sending
from sends.models import Acceptance, Delivery, InboundEvent, Send
from templates_mgmt import refreshing
from tests.factories import ChannelFactory, SendFactory
from users.models import OpenID, Recipient

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]

APPID = "wx5a0db0c5e70000eb"
SECRET = "5a0db0c5e70000eb5a0db0c5e70000eb"
DATA = {
    "thing1": "手冲咖啡豆",
    "character_string2": "SP1",
    "time3": "2026年5月8日 10:00",
    "phrase4": "顺丰速运",
}
# As many as a suite has time for; the statements are the same for any number.
PEOPLE = {"postgresql": 6_000, "sqlite": 6_000}


def push(channel, template, told, event):
    """Store events (openid, msgid, outcome, age in seconds) doubled and shuffled, as
    WeChat pushes them, and apply them."""
    now = timezone.now()
    events = [
        InboundEvent(
            channel=channel,
            key=f"{event} {openid} {msgid} {outcome} {age_s}",
            event=event,
            openid=openid,
            template_id=template.template_id,
            msgid=msgid,
            outcome=outcome,
            created_at=now - timedelta(seconds=age_s),
            received_at=now,
            try_at=now,
        )
        for openid, msgid, outcome, age_s in told
    ]
    for chance in (random.Random(1), random.Random(2)):
        chance.shuffle(events)
        InboundEvent.objects.bulk_create(events, 5000, ignore_conflicts=True)
        receipts.apply_waiting(channel.pk)


def plan_of(work):
    """How the database, which nobody has given statistics of these tables, goes about
    what `work` asks for."""
    with CaptureQueriesContext(connection) as asked:
        work()
    explain = {"postgresql": "EXPLAIN ", "sqlite": "EXPLAIN QUERY PLAN "}
    plan = []
    with connection.cursor() as cursor:
        for query in [each["sql"] for each in asked if "JOIN" in each["sql"]]:
            cursor.execute(explain[connection.vendor] + query)
            plan += [str(line) for line in cursor.fetchall()]
    return "\n".join(plan)


@pytest.mark.timeout(900)
def test_the_forecast_is_exact_and_only_the_right_people_are_called(sandbox, settings):
    count = PEOPLE[connection.vendor]
    used_up, rejected = count // 6, count // 6
    reachable = count - used_up - rejected - 100
    sandbox.add_account(appid=APPID, secret=SECRET, followers=count)
    settings.WECHAT_API_BASE = sandbox.url
    channel = ChannelFactory(appid=APPID, app_secret=SECRET)
    refreshing.refresh(channel)
    template = channel.templates.get(kind="subscribe", title="订单发货通知")
    openids = [people.openid(APPID, n) for n in range(1, count + 1)]
    persons = Recipient.objects.bulk_create(
        [Recipient(userid=f"u{n}") for n in range(count)], 5000
    )
    OpenID.objects.bulk_create(
        [
            OpenID(channel=channel, recipient=person, openid=openid)
            for person, openid in zip(persons, openids, strict=True)
        ],
        5000,
    )
    # The first ones accept; then some rejected, some used theirs up long ago, and a
    # hundred were never seen.
    body = {"appid": APPID, "template_id": template.template_id, "push": False}
    sandbox.control("POST", "acceptances", {**body, "first": 1, "last": reachable})
    accepting = openids[: count - 100]
    rejecting = openids[reachable : reachable + rejected]
    using = openids[reachable + rejected : count - 100]
    told = [(openid, None, "accept", 900) for openid in accepting]
    told += [(openid, None, "reject", 600) for openid in rejecting]
    random.Random(3).shuffle(told)
    push(channel, template, told, "subscribe_msg_popup_event")
    old = SendFactory(template=template, status=Send.Status.FINISHED)
    Delivery.objects.bulk_create(
        [
            Delivery(
                send=old,
                channel=channel,
                openid=openid,
                status=Delivery.Status.REFUSED,
                errcode=43101,
                sent_at=timezone.now() - timedelta(seconds=300),
            )
            for openid in using
        ],
        5000,
    )
    Send.objects.filter(pk=old.pk).update(n_refused=len(using))
    refused = Delivery.objects.filter(send=old).values_list("pk", flat=True)
    ledger.note(deliveries=list(refused))
    # Of some, an acceptance is heard of only now: older than the refusal.
    late = [(openid, None, "accept", 700) for openid in using[:50]]
    push(channel, template, late, "subscribe_msg_popup_event")

    send = SendFactory(template=template, status=Send.Status.PREPARING, data=DATA)
    counts = audience.counts(send)
    assert (counts.people, counts.reachable) == (count, reachable)
    assert (counts.used_up, counts.rejected) == (used_up, rejected)
    assert (counts.never_accepted, counts.to_send) == (100, reachable)
    assert "acceptance_openid" in plan_of(lambda: audience.counts(send))
    assert forecasting.reach(template).reachable == reachable
    assert forecasting.growth(template)[-1].reachable == reachable

    preparing.prepare(send.pk)
    sending.drain(channel.pk)

    send.refresh_from_db()
    assert send.n_accepted == reachable
    assert send.n_skipped == count - reachable
    assert sandbox.stats()["calls"][SUBSCRIBE_SEND.path] == {"0": reachable}
    shown = sandbox.shown(appid=APPID, counts=1)["counts"]
    assert shown == dict.fromkeys(openids[:reachable], 1)
    answers = Delivery.objects.filter(send=send, wechat_msgid__isnull=False)
    some = list(answers.values_list("pk", flat=True)[:200])
    # Each flush of a drain does this: never by reading the whole send.
    assert "delivery_page" not in plan_of(lambda: ledger.note(deliveries=some))
    push(
        channel,
        template,
        [(d.openid, d.wechat_msgid, "success", 0) for d in answers.iterator()],
        "subscribe_msg_sent_event",
    )
    send.refresh_from_db()
    assert send.n_delivered == reachable
    totals = Acceptance.objects.aggregate(left=Sum("left"), used=Sum("used"))
    assert totals == {"left": 0, "used": reachable}
    assert ledger.recount(channel, fix=False) == (0, 0)
