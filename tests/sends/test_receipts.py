"""Receipts, on both databases: every order, every double, and the counters."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sends import receipts
from sends.models import Delivery, InboundEvent, Send
from sends.querysets import COUNTERS
from tests.factories import ChannelFactory, OpenIDFactory, SendFactory
from users.models import Follower

Status = Delivery.Status
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]


@pytest.fixture
def send(db):
    return SendFactory(status=Send.Status.FINISHED)


def deliver(send, openid="o-1", status=Status.ACCEPTED, **fields):
    fields.setdefault("sent_at", timezone.now())
    delivery = Delivery.objects.create(
        send=send, channel=send.channel, openid=openid, status=status, **fields
    )
    Send.objects.all().move({(send.pk, None, status): 1})
    return delivery


def push(channel, openid="o-1", msgid=None, outcome="success", age_s=0, **fields):
    """Store an event as the callback view does, `age_s` seconds ago."""
    at = timezone.now() - timedelta(seconds=age_s)
    fields.setdefault("event", receipts.RECEIPT)
    fields.setdefault("key", f"{openid} {msgid} {InboundEvent.objects.count()}")
    return InboundEvent.objects.create(
        **{"created_at": at, "received_at": at, "try_at": at}
        | {"channel": channel, "openid": openid, "msgid": msgid, "outcome": outcome}
        | fields
    )


def state(row):
    row.refresh_from_db()
    return type(row).Status(row.status).name.lower()


def test_a_receipt_finds_its_delivery_and_moves_the_counters(send):
    good = deliver(send, "o-1", wechat_msgid=1)
    bad = deliver(send, "o-2", wechat_msgid=2)
    event = push(send.channel, "o-1", 1)
    push(send.channel, "o-2", 2, "failed:user block")

    assert receipts.apply_waiting(send.channel_id) == 2

    assert (state(good), state(bad)) == ("delivered", "undelivered")
    assert bad.error == "user block"
    assert good.receipt_at == event.received_at
    send.refresh_from_db()
    assert (send.n_accepted, send.n_delivered, send.n_undelivered) == (0, 1, 1)
    assert state(event) == "applied"
    assert event.applied_at is not None


def test_the_same_numbers_on_another_channel_are_another_message(send):
    delivery = deliver(send, wechat_msgid=1)
    other = ChannelFactory()
    event = push(other, "o-1", 1)

    assert receipts.apply_waiting(other.pk) == 0

    assert state(delivery) == "accepted"
    assert state(event) == "waiting"


def test_an_early_receipt_waits_for_the_answer_of_its_send(send):
    delivery = deliver(send, status=Status.SENDING)
    event = push(send.channel, "o-1", 7)
    assert receipts.apply_waiting(send.channel_id) == 0
    assert state(event) == "waiting"
    assert event.try_at > timezone.now()

    delivery.status, delivery.wechat_msgid = Status.ACCEPTED, 7
    delivery.save()
    Send.objects.all().move({(send.pk, Status.SENDING, Status.ACCEPTED): 1})
    InboundEvent.objects.update(try_at=timezone.now())

    assert receipts.apply_waiting(send.channel_id) == 1
    assert state(delivery) == "delivered"


def test_waiting_grows_longer_and_ends_after_a_day(send):
    waits = {}
    for age_s in (0, 10, 100, 10_000, 86_399, 86_401):
        event = push(send.channel, "o-nobody", 1, age_s=age_s)
        receipts.apply_waiting(send.channel_id)
        status = state(event)
        left_s = (event.try_at - timezone.now()).total_seconds()
        waits[age_s] = round(left_s) if status == "waiting" else status
        event.delete()

    assert waits == {
        0: 1,
        10: 8,
        100: 64,
        10_000: 3600,
        86_399: 3600,
        86_401: "unmatched",
    }


def test_the_first_receipt_is_the_last_word(send):
    delivery = deliver(send, wechat_msgid=1)
    late = push(send.channel, "o-1", 1, "failed:system failed", age_s=1)
    push(send.channel, "o-1", 1, "success", age_s=5)

    receipts.apply_waiting(send.channel_id)
    push(send.channel, "o-1", 1, "failed:user block")
    receipts.apply_waiting(send.channel_id)

    assert state(delivery) == "delivered"
    assert state(late) == "applied"
    assert not InboundEvent.objects.waiting().exists()


@pytest.mark.parametrize("before", [Status.REFUSED, Status.CANCELED, Status.UNKNOWN])
def test_what_arrived_is_delivered_whatever_we_believed(send, before):
    delivery = deliver(
        send, status=before, wechat_msgid=9, errcode=45009, error="reach max api limit"
    )
    push(send.channel, "o-1", 9)

    receipts.apply_waiting(send.channel_id)

    assert state(delivery) == "delivered"
    assert (delivery.errcode, delivery.error) == (None, "")


class TestWithoutAMsgid:
    """The openid and the time decide, when they fit exactly one delivery."""

    def test_an_unknown_delivery_learns_its_msgid(self, send):
        delivery = deliver(send, status=Status.UNKNOWN, doubt_since=timezone.now())
        push(send.channel, "o-1", 77, age_s=20)

        receipts.apply_waiting(send.channel_id)

        assert state(delivery) == "delivered"
        assert delivery.wechat_msgid == 77

    def test_a_refused_repeat_whose_first_call_had_arrived(self, send):
        delivery = deliver(
            send, status=Status.REFUSED, errcode=45009, doubt_since=timezone.now()
        )
        push(send.channel, "o-1", 77, age_s=20)

        receipts.apply_waiting(send.channel_id)

        assert state(delivery) == "delivered"

    def test_msgid_zero_takes_the_only_accepted_one(self, send):
        delivery = deliver(send, wechat_msgid=5)
        push(send.channel, "o-1", None)

        receipts.apply_waiting(send.channel_id)

        assert state(delivery) == "delivered"
        assert delivery.wechat_msgid == 5

    def test_two_that_fit_are_left_alone(self, send):
        both = [deliver(send, status=Status.UNKNOWN) for _ in range(2)]
        event = push(send.channel, "o-1", 77, age_s=20)

        receipts.apply_waiting(send.channel_id)

        assert [state(one) for one in both] == ["unknown", "unknown"]
        assert state(event) == "waiting"

    def test_nothing_is_guessed_while_an_answer_is_out(self, send):
        unknown = deliver(send, status=Status.UNKNOWN)
        deliver(send, status=Status.SENDING)
        push(send.channel, "o-1", 77, age_s=20)

        receipts.apply_waiting(send.channel_id)

        assert state(unknown) == "unknown"

    def test_nothing_is_guessed_at_once(self, send):
        unknown = deliver(send, status=Status.UNKNOWN)
        push(send.channel, "o-1", 77, age_s=1)

        receipts.apply_waiting(send.channel_id)

        assert state(unknown) == "unknown"

    def test_another_message_is_not_taken_for_ours(self, send):
        accepted = deliver(send, wechat_msgid=5)
        refused = deliver(send, status=Status.REFUSED, errcode=43004)
        push(send.channel, "o-1", 77, age_s=20)

        receipts.apply_waiting(send.channel_id)

        assert (state(accepted), state(refused)) == ("accepted", "refused")

    def test_a_time_before_the_call_does_not_fit(self, send):
        delivery = deliver(send, status=Status.UNKNOWN)
        push(send.channel, "o-1", 77, age_s=600)

        receipts.apply_waiting(send.channel_id)

        assert state(delivery) == "unknown"


def test_the_newest_word_on_following_wins(send):
    one = OpenIDFactory(channel=send.channel, openid="o-1")
    other = OpenIDFactory(openid="o-1")
    events = [
        push(send.channel, event="unsubscribe", outcome="", age_s=10),
        push(send.channel, event="subscribe", outcome="", age_s=60),
    ]
    stranger = push(send.channel, "o-2", event="subscribe", outcome="")

    assert receipts.apply_waiting(send.channel_id) == 3
    late = push(send.channel, event="subscribe", outcome="", age_s=30)
    receipts.apply_waiting(send.channel_id)

    one.refresh_from_db()
    other.refresh_from_db()
    assert (one.followed, other.followed) == (False, None)
    assert one.followed_at == events[0].created_at
    assert (state(late), state(stranger)) == ("applied", "applied")
    follows = {row.openid: row.followed for row in Follower.objects.all()}
    assert follows == {"o-1": False, "o-2": True}


def test_channels_with_something_due_are_named(send):
    push(ChannelFactory(), try_at=timezone.now() + timedelta(seconds=5))
    push(send.channel)

    assert receipts.channels_waiting() == [send.channel_id]


def test_more_than_one_batch_in_few_queries(
    send, django_assert_max_num_queries, monkeypatch
):
    monkeypatch.setattr(receipts, "BATCH", {"postgresql": 40, "sqlite": 40})
    for n in range(100):
        deliver(send, f"o-{n}", wechat_msgid=n + 1)
        push(send.channel, f"o-{n}", n + 1)

    # A batch: savepoint, how it commits, take, write, one send and its callbacks,
    # events, release.
    with django_assert_max_num_queries(3 * 8):
        assert receipts.apply_waiting(send.channel_id) == 100

    send.refresh_from_db()
    assert send.n_delivered == 100


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["o-0", "o-1", "o-2", "o-9"]),
        st.sampled_from([None, 1, 2, 3, 4, 99]),
        st.sampled_from(["success", "failed:user block", "failed:system failed"]),
        st.integers(0, 100_000),
    ),
    max_size=12,
)
ROWS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(list(Status)),
        st.sampled_from([None, 1, 2, 3, 4]),
        st.booleans(),
    ),
    max_size=6,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=ROWS, first=EVENTS, second=EVENTS)
def test_counters_equal_rows_after_any_events(send, rows, first, second):
    Delivery.objects.all().delete()
    InboundEvent.objects.all().delete()
    Send.objects.update(**{f"n_{name}": 0 for name in COUNTERS})
    now = timezone.now()
    for person, status, msgid, doubt in rows:
        deliver(
            send,
            f"o-{person}",
            status,
            wechat_msgid=msgid,
            doubt_since=now if doubt else None,
        )
    ended = {one.pk: one.status for one in Delivery.objects.filter(status__in=(3, 4))}

    for events in (first, second):
        for openid, msgid, outcome, age_s in events:
            push(send.channel, openid, msgid, outcome, age_s)
        receipts.apply_waiting(send.channel_id)
        InboundEvent.objects.filter(status=0).update(try_at=now)
        receipts.apply_waiting(send.channel_id)

        assert Send.objects.all().drift() == []
    for pk, status in ended.items():
        assert Delivery.objects.get(pk=pk).status == status


@pytest.mark.django_db(transaction=True)
def test_a_backlog_is_applied_a_few_batches_at_a_time(send, monkeypatch):
    monkeypatch.setattr(receipts, "BATCH", {"postgresql": 20, "sqlite": 20})
    other = SendFactory(channel=send.channel, template=send.template)
    for n in range(300):
        deliver([send, other][n % 2], f"o-{n}", wechat_msgid=n + 1)
        push(send.channel, f"o-{n}", n + 1)
    push(send.channel, "o-stranger", 9999)

    assert receipts.apply_waiting(send.channel_id) == 300

    send.refresh_from_db()
    other.refresh_from_db()
    assert send.n_delivered == other.n_delivered == 150
    assert Send.objects.all().drift() == []
    assert list(InboundEvent.objects.filter(status=0).values_list("msgid")) == [(9999,)]


@pytest.mark.django_db(transaction=True)
def test_workers_at_the_same_time_apply_each_event_once(send):
    for n in range(300):
        deliver(send, f"o-{n}", wechat_msgid=n + 1)
        push(send.channel, f"o-{n}", n + 1)
        push(send.channel, f"o-{n}", n + 1, "failed:user block")

    def work():
        try:
            return receipts.apply_waiting(send.channel_id)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        counts = [pool.submit(work) for _ in range(4)]
    done = sum(count.result() for count in counts)
    # What another worker had locked or changed under our hands is tried again.
    InboundEvent.objects.filter(status=0).update(try_at=timezone.now())
    done += receipts.apply_waiting(send.channel_id)

    assert done == 600
    send.refresh_from_db()
    assert send.n_delivered + send.n_undelivered == 300
    assert Send.objects.all().drift() == []
