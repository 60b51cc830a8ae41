"""From an audience to deliveries. Runs on SQLite and on PostgreSQL."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from channels_wechat.business_channels import create_business_channel
from sends import audience, control, preparing, problems, querysets, sending, sweeping
from sends.claiming import Claimer
from sends.leases import Lease
from sends.models import Chunk, Delivery, Send
from tests.factories import OpenIDFactory, RecipientFactory, SendFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]

# SQLite writes one thing at a time: whoever prepares writes alone.
on_postgresql = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="what runs beside needs PostgreSQL"
)


def in_own_connection(run, send):
    try:
        run(send, by="li")
    finally:
        connection.close()


@pytest.fixture
def send():
    return SendFactory(status=Send.Status.PREPARING)


def test_each_line_becomes_one_delivery_with_its_reason(send, statuses):
    OpenIDFactory(channel=send.channel, recipient__userid="zhangsan", openid="o1")
    RecipientFactory(userid="lisi")
    audience.stage(
        send, [], [("zhangsan", ""), ("lisi", ""), ("nobody", ""), ("again", "o1")]
    )

    assert preparing.prepare(send.pk)

    assert statuses(send) == {
        "zhangsan": ("waiting", None),
        "lisi": ("skipped", "no_openid"),
        "nobody": ("skipped", "no_recipient"),
        "again": ("skipped", "duplicate"),
    }
    send.refresh_from_db()
    assert send.status == Send.Status.RUNNING
    assert send.counts == dict.fromkeys(send.counts, 0) | {"waiting": 1, "skipped": 3}


def test_bad_values_are_skipped_and_named(send, statuses):
    send.data = {"thing1": "{{topic}}", "time2": "10:00"}
    send.save()
    rows = [("a", "o" * 28, "fine"), ("b", "p" * 28, "x" * 21), ("c", "q" * 28, "")]
    audience.stage(send, ["topic"], rows)

    preparing.prepare(send.pk)

    assert statuses(send) == {
        "a": ("waiting", None),
        "b": ("skipped", "bad_value"),
        "c": ("skipped", "bad_value"),
    }
    error = Delivery.objects.get(send=send, userid="b").error
    assert problems.sentence(problems.read(error)) == (
        "thing1 has 21 characters; WeChat takes 20."
    )


def test_chunks_cover_every_waiting_row_once(send, monkeypatch):
    monkeypatch.setattr(preparing, "LINES_A_RANGE", 700)
    audience.stage(send, [], [("", f"o{n:027d}") for n in range(2201)])

    preparing.prepare(send.pk)

    chunks = Chunk.objects.filter(send=send).order_by("first_id")
    sizes = [Delivery.objects.of_chunk(chunk).count() for chunk in chunks]
    assert sizes == [1000, 1000, 201]
    assert sum(sizes) == Delivery.objects.filter(send=send).count()


@pytest.mark.parametrize("canary", ["", "waiting"])
def test_a_large_send_is_cut_a_little_at_a_time(send, canary, monkeypatch):
    monkeypatch.setattr(querysets, "ROWS_A_CHUNK", 500)
    monkeypatch.setattr(querysets, "ROWS_A_CUT", 700)
    Send.objects.filter(pk=send.pk).update(canary=canary)
    people = [("", f"o{n // 2:027d}") for n in range(2402)]  # each twice
    audience.stage(send, [], people)

    with CaptureQueriesContext(connection) as asked:
        assert preparing.prepare(send.pk)

    cuts = [q for q in asked.captured_queries if "INSERT INTO sends_chunk" in q["sql"]]
    assert len(cuts) == 3  # the third finds nothing more
    chunks = Chunk.objects.filter(send=send).order_by("first_id")
    sizes = [
        Delivery.objects.of_chunk(chunk).filter(status=0).count() for chunk in chunks
    ]
    assert sizes == ([50, 500, 150, 500, 1] if canary else [500, 200, 500, 1])
    due = chunks.due(timezone.now())
    assert due.count() == (1 if canary else 4)


@on_postgresql
def test_each_cut_follows_the_index_to_its_rows(send, monkeypatch):
    monkeypatch.setattr(querysets, "ROWS_A_CUT", 1000)
    audience.stage(send, [], [("", f"o{n:027d}") for n in range(5000)])
    plans = []

    def explain(execute, sql, parameters, many, context):
        if "INSERT INTO sends_chunk" in sql:
            execute(f"EXPLAIN {sql}", parameters, many, context)
            plans.append("\n".join(line for (line,) in context["cursor"].fetchall()))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(explain):
        preparing.prepare(send.pk)

    assert len(plans) == 6
    for plan in plans:
        assert "Index Scan using delivery_page" in plan, plan
        assert "Sort Key: sends_delivery.id" not in plan


def test_a_send_canceled_while_it_is_cut_is_settled_whole(send, monkeypatch):
    monkeypatch.setattr(querysets, "ROWS_A_CHUNK", 500)
    monkeypatch.setattr(querysets, "ROWS_A_CUT", 700)
    audience.stage(send, [], [("", f"o{n:027d}") for n in range(1500)])

    def press(execute, sql, parameters, many, context):
        result = execute(sql, parameters, many, context)
        if "INSERT INTO sends_chunk" in sql:
            Send.objects.filter(pk=send.pk).update(status="canceled")
        return result

    with connection.execute_wrapper(press):
        assert not preparing.prepare(send.pk)
    assert Chunk.objects.filter(send=send).count() == 2
    sending.drain(send.channel_id)

    send.refresh_from_db()
    assert (send.status, send.n_canceled) == ("canceled", 1500)


def test_preparing_goes_on_where_a_killed_worker_stood(send):
    audience.stage(send, [], [("", f"o{n:027d}") for n in range(10)])
    lease = Send.objects.filter(pk=send.pk)

    lease.update(prepare_lease_until=timezone.now() + timedelta(seconds=9))
    assert not preparing.prepare(send.pk)  # somebody is at it

    lease.update(prepare_lease_until=timezone.now() - timedelta(seconds=1))
    assert preparing.prepare(send.pk)
    assert Delivery.objects.filter(send=send).count() == 10


@contextlib.contextmanager
def at_range(number, happens):
    """Something happens when the lines of a range are in, before they are committed."""
    ranges = []

    def look(execute, sql, parameters, many, context):
        result = execute(sql, parameters, many, context)
        if "INSERT INTO sends_delivery" in sql:
            ranges.append(sql)
            if len(ranges) == number:
                happens()
        return result

    with connection.execute_wrapper(look):
        yield


@pytest.mark.django_db(transaction=True)
def test_a_send_paused_while_it_is_prepared_goes_on_as_soon_as_resumed(
    send, monkeypatch
):
    monkeypatch.setattr(preparing, "LINES_A_RANGE", 10)
    audience.stage(send, [], [("", f"o{n:027}") for n in range(30)])

    def press():
        transaction.on_commit(lambda: control.pause(send, by="li"))

    with at_range(1, press):
        assert not preparing.prepare(send.pk)
    send.refresh_from_db()
    assert (send.status, send.total) == ("paused", 10)

    control.resume(send, by="li")
    assert preparing.prepare(send.pk)

    send.refresh_from_db()
    assert (send.status, send.n_waiting) == ("running", 30)


@on_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("action", [control.pause, control.cancel])
def test_whoever_stops_a_send_does_not_wait_for_the_range_under_way(
    send, monkeypatch, action
):
    monkeypatch.setattr(preparing, "LINES_A_RANGE", 10)
    audience.stage(send, [], [("", f"o{n:027}") for n in range(30)])

    def press():
        with ThreadPoolExecutor(1) as console:
            console.submit(in_own_connection, action, send).result(timeout=5)

    with at_range(2, press):
        assert not preparing.prepare(send.pk)

    send.refresh_from_db()
    assert send.status in {"paused", "canceled"}
    assert send.total == 10 == Delivery.objects.filter(send=send).count()


@on_postgresql
def test_who_prepares_the_same_range_late_writes_nothing(send, monkeypatch):
    monkeypatch.setattr(preparing, "LINES_A_RANGE", 10)
    audience.stage(send, [], [("", f"o{n:027}") for n in range(30)])

    def was_taken_over():
        Send.objects.filter(pk=send.pk).update(prepare_cursor=F("prepare_cursor") + 1)

    with at_range(2, was_taken_over):
        assert not preparing.prepare(send.pk)

    assert Delivery.objects.filter(send=send).count() == 10


class Killed(Exception):
    """The worker is gone."""


def die():
    raise Killed


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_what_is_prepared_leaves_before_the_rest_is(send, monkeypatch):
    monkeypatch.setattr(preparing, "LINES_A_RANGE", 10)
    monkeypatch.setattr(preparing, "EARLY_LINES", 10)
    people = [*range(12), *range(8), *range(30)]  # some twice, some three times
    audience.stage(send, [], [("", f"o{n:027}") for n in people])

    with at_range(3, die), contextlib.suppress(Killed):
        preparing.prepare(send.pk)
    send.refresh_from_db()
    assert (send.status, send.prepared_at, send.total) == ("running", None, 20)
    assert send.started_at is not None
    first = Claimer(Lease.take(send.channel_id)).claim(1000, 1000)
    assert len(first.calls) == 10  # of which none may be taken out any more

    # Stopped and resumed, what stands goes on at once, and so does preparing.
    control.pause(send, by="li")
    control.resume(send, by="li")
    send.refresh_from_db()
    assert send.status == "running"
    assert sweeping.sends_to_prepare() == []  # for another moment: a lease
    Send.objects.filter(pk=send.pk).update(prepare_lease_until=None)
    assert sweeping.sends_to_prepare() == [send.pk]
    assert preparing.prepare(send.pk)

    send.refresh_from_db()
    assert send.started_at < send.prepared_at
    assert (send.n_sending, send.n_waiting, send.n_skipped) == (10, 20, 20)
    sent = Delivery.objects.filter(send=send).exclude(reason="duplicate")
    assert sorted(sent.values_list("openid", flat=True)) == [
        f"o{n:027}" for n in range(30)
    ]
    in_chunks = [
        pk
        for chunk in Chunk.objects.filter(send=send)
        for pk in Delivery.objects.of_chunk(chunk)
        .filter(status__in=[0, 1])
        .values_list("pk", flat=True)
    ]
    assert len(in_chunks) == len(set(in_chunks)) == 30


@on_postgresql
@pytest.mark.parametrize("why", ["canary", "business_channel"])
def test_a_send_waits_whole_whose_first_messages_depend_on_everyone(
    send, monkeypatch, why
):
    monkeypatch.setattr(preparing, "LINES_A_RANGE", 10)
    monkeypatch.setattr(preparing, "EARLY_LINES", 10)
    business_channel, _secret = create_business_channel("shop", [send.channel])
    fields = {"canary": "waiting", "business_channel": business_channel}
    Send.objects.filter(pk=send.pk).update(**{why: fields[why]})
    audience.stage(send, [], [("", f"o{n:027}") for n in range(30)])

    with at_range(3, die), contextlib.suppress(Killed):
        preparing.prepare(send.pk)

    send.refresh_from_db()
    assert send.status == "preparing"
    assert not Chunk.objects.filter(send=send).exists()


def test_a_send_paused_meanwhile_is_left_alone(send):
    audience.stage(send, [], [("", "o1")])
    Send.objects.filter(pk=send.pk).update(status=Send.Status.PAUSED)

    assert not preparing.prepare(send.pk)

    assert not Delivery.objects.filter(send=send).exists()


def test_a_send_with_nobody_to_reach_is_finished(send):
    audience.stage(send, [], [("nobody", "")])

    preparing.prepare(send.pk)

    send.refresh_from_db()
    assert send.status == Send.Status.FINISHED


def test_deliveries_keep_only_what_their_texts_use(send):
    audience.stage(send, ["order"], [("", "o1", "A1")])

    preparing.prepare(send.pk)

    assert Delivery.objects.get(send=send).variables is None
