"""Telling a business system on a real port. Runs on SQLite and on PostgreSQL."""

import hashlib
import hmac
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from channels_wechat.business_channels import create_business_channel
from sends import callback_urls, calling, outbox, preparing, telling
from sends.models import CallbackURL, StatusBatch, StatusCallback
from tests.factories import SendFactory

from .receiver import Receiver, pair

pytestmark = pytest.mark.django_db
State = StatusBatch.State


@pytest.fixture
def receiver(settings):
    settings.STATUS_CALLBACK_ALLOW_PRIVATE = True
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def business():
    return create_business_channel("Orders")[0]


@pytest.fixture
def url(receiver, business) -> CallbackURL:
    return callback_urls.add(business, f"{receiver.url}/status")


@pytest.fixture
def send(business):
    return SendFactory(business_channel=business, callback_params={"order": "A1"})


@pytest.fixture
def put(url, send):
    """Put items into the outbox, written `ago_s` ago."""

    def write(*items: tuple[str, int], ago_s: float = 11, **fields) -> None:
        for number, (userid, type_) in enumerate(items):
            StatusCallback.objects.create(
                **{
                    "url": url,
                    "send": send,
                    "delivery_id": number,
                    "type": type_,
                    "userid": userid,
                    "openid": "o" + userid,
                    "at": timezone.now() - timedelta(seconds=ago_s),
                }
                | fields
            )

    return write


def later(seconds: float = 50) -> None:
    """Let so much time pass for every batch."""
    by = timedelta(seconds=seconds)
    for batch in StatusBatch.objects.all():
        batch.try_at -= by
        batch.ended_at = batch.ended_at and batch.ended_at - by
        batch.leased_until = batch.leased_until and batch.leased_until - by
        batch.save()


def states() -> list[str]:
    return list(StatusBatch.objects.order_by("pk").values_list("state", flat=True))


def test_items_look_as_the_reference_prints_them(put, url, receiver, send, business):
    at = timezone.now() - timedelta(seconds=30)
    put(("zhangsan", 0), at=at)
    put(("zhangsan", 2), at=at)
    put(("lisi", 3), at=at, error_code=43004, error="require subscribe")

    telling.tell(url.pk)

    ((items, headers, _body),) = receiver.posts
    common = {
        "channelkey": business.key,
        "msgid": send.msgid,
        "sent_time": int(at.timestamp()),
        "params": {"order": "A1"},
    }
    assert items == [
        {"type": 0, "userid": "zhangsan", "sender": 0, **common},
        {
            "type": 2,
            "userid": "zhangsan",
            "sender": 2,
            "sender_id": "ozhangsan",
            **common,
        },
        {
            "type": 3,
            "userid": "lisi",
            "sender": 2,
            "sender_id": "olisi",
            "error": {"code": 43004, "message": "require subscribe"},
            **common,
        },
    ]
    assert pair(headers) == f"{business.key}:{business.master_secret}"
    assert headers["Content-Type"] == "application/json"
    assert "X-JUMS-Signature" not in headers
    assert states() == [State.DELIVERED]
    assert not StatusCallback.objects.exists()


def test_a_part_is_told_under_the_msgid_of_its_request(put, url, receiver, send):
    head = SendFactory(callback_params={"from": "head"})
    send.part_of, send.callback_params = head, None
    send.save()
    put(("zhangsan", 4))

    telling.tell(url.pk)

    (item,) = receiver.items
    assert (item["msgid"], item["params"]) == (head.msgid, {"from": "head"})


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (9002, "", "no openid bound on this channel"),
        (9005, "too_long|thing1|20|21", "thing1 has 21 characters; WeChat takes 20."),
        (9100, "", telling.MESSAGES[9100]),
        (9201, "user block", "user block"),
        (9000, "", "no further word"),
        (9400, "wrong price", "rejected in review: wrong price"),
    ],
)
def test_every_error_has_a_sentence(put, url, receiver, code, error, message):
    put(("zhangsan", 1), error_code=code, error=error)

    telling.tell(url.pk)

    assert receiver.items[0]["error"] == {"code": code, "message": message}


def test_a_hundred_go_at_once_and_fewer_wait(put, url, receiver):
    put(*[(f"u{n}", 0) for n in range(203)], ago_s=1)

    telling.tell(url.pk)
    assert [len(items) for items, *_rest in receiver.posts] == [100, 100]
    assert telling.urls_due() == []

    StatusCallback.objects.update(at=timezone.now() - timedelta(seconds=10))
    assert telling.urls_due() == [url.pk]
    telling.tell(url.pk)
    assert [item["userid"] for item in receiver.items] == [f"u{n}" for n in range(203)]


@pytest.mark.parametrize("status", [201, 204, 301, 307, 400, 500])
def test_anything_but_200_is_a_failure_and_not_followed(put, url, receiver, status):
    receiver.answers = [status]
    put(("zhangsan", 0))

    telling.tell(url.pk)

    assert states() == [State.WAITING]
    batch = StatusBatch.objects.get()
    (attempt,) = batch.attempts
    assert (attempt["status"], attempt["error"]) == (status, f"HTTP {status}")
    assert 49 < (batch.try_at - timezone.now()).total_seconds() <= 50
    assert len(receiver.posts) == 1
    assert telling.urls_due() == []


def test_three_retries_then_it_is_held_and_kept(put, url, receiver):
    receiver.answers = [500] * 9
    put(("zhangsan", 0))

    for tries in range(1, 5):
        telling.tell(url.pk)
        telling.tell(url.pk)  # too early
        assert len(receiver.posts) == tries
        assert states() == [State.HELD if tries == 4 else State.WAITING]
        later()

    assert StatusCallback.objects.count() == 1
    assert len(StatusBatch.objects.get().attempts) == 4


def test_a_receiver_down_for_five_minutes_gets_everything_in_order(put, url, receiver):
    for number in range(7):
        put(*[(f"u{n}", number) for n in range(100)])
    receiver.refuses = lambda items: True
    for _minute in range(6):
        telling.tell(url.pk)
        later()
    assert StatusCallback.objects.count() == 700
    assert State.FAILED not in states()

    receiver.posts.clear()
    receiver.refuses = lambda items: False
    telling.tell(url.pk)

    assert [receiver.types(f"u{n}") for n in range(100)] == [list(range(7))] * 100
    assert states() == [State.DELIVERED] * 7


def test_a_batch_that_the_receiver_cannot_take_stops_nobody(put, url, receiver):
    put(*[("bad", 0)] * 100)
    put(*[("good", 0)] * 200)
    receiver.refuses = lambda items: items[0]["userid"] == "bad"

    for _try in range(4):
        telling.tell(url.pk)
        later()

    assert states() == [State.FAILED, State.DELIVERED, State.DELIVERED]
    assert telling.urls_due() == []

    receiver.refuses = lambda items: False
    assert telling.replay(StatusBatch.objects.all()) == 1
    assert telling.urls_due() == [url.pk]
    telling.tell(url.pk)
    assert states() == [State.DELIVERED] * 3
    assert receiver.types("bad")[-100:] == [0] * 100


def test_a_receiver_that_is_back_between_two_tries_gets_both(put, url, receiver):
    put(*[("first", 0)] * 100)
    put(*[("second", 0)] * 100)
    receiver.answers = [500] * 4  # held with the fourth, and then it is back

    for _try in range(4):
        telling.tell(url.pk)
        later()

    assert states() == [State.DELIVERED] * 2
    told = [items[0]["userid"] for items, *_rest in receiver.posts]
    assert told == ["first"] * 4 + ["second", "first"]
    assert not StatusCallback.objects.exists()


def test_after_an_hour_a_batch_gives_its_place_up(put, url, receiver):
    put(("zhangsan", 0))
    receiver.answers = [500] * 5
    for _try in range(4):
        telling.tell(url.pk)
        later()
    later(3600)

    telling.tell(url.pk)

    assert states() == [State.FAILED]
    assert StatusCallback.objects.count() == 1
    assert telling.urls_due() == []


def test_a_batch_of_a_dead_worker_is_told_again_after_its_lease(put, url, receiver):
    put(("zhangsan", 0))
    leased = telling._take(url.pk)  # and then it died
    assert leased is not None

    telling.tell(url.pk)
    assert receiver.posts == []
    assert telling.urls_due() == []

    later(61)
    assert telling.urls_due() == [url.pk]
    telling.tell(url.pk)
    assert receiver.types("zhangsan") == [0]


def test_a_worker_that_comes_back_too_late_changes_nothing(put, url, receiver):
    put(("zhangsan", 0))
    leased = telling._take(url.pk)
    later(61)
    telling.tell(url.pk)

    attempt = {"at": "", "status": 500, "error": "HTTP 500", "took_ms": 1}
    telling._record(leased, attempt)

    assert states() == [State.DELIVERED]


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_tell_everything_once_and_in_order(put, url, receiver):
    put(*[(f"u{n}", 0) for n in range(1000)])

    def work() -> None:
        for _turn in range(30):
            telling.tell(url.pk)
        connection.close()

    workers = [threading.Thread(target=work) for _worker in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [item["userid"] for item in receiver.items] == [f"u{n}" for n in range(1000)]
    assert states() == [State.DELIVERED] * 10


def test_no_answer_in_time_is_a_failure(put, url, receiver, monkeypatch):
    monkeypatch.setattr(calling, "TIMEOUT_S", 0.3)
    receiver.slow_s = 1
    put(("zhangsan", 0))

    started = time.monotonic()
    telling.tell(url.pk)

    assert time.monotonic() - started < 0.9
    (attempt,) = StatusBatch.objects.get().attempts
    assert attempt["status"] is None
    assert attempt["error"].startswith("no answer within")


def test_a_receiver_that_is_gone_is_a_failure(put, url, receiver):
    receiver.close()
    put(("zhangsan", 0))

    telling.tell(url.pk)

    (attempt,) = StatusBatch.objects.get().attempts
    assert (attempt["status"], bool(attempt["error"])) == (None, True)


def test_the_address_is_judged_again_at_each_post(put, url, receiver, settings):
    put(("zhangsan", 0))
    settings.STATUS_CALLBACK_ALLOW_PRIVATE = False  # as if the name led here now

    telling.tell(url.pk)

    assert receiver.posts == []
    (attempt,) = StatusBatch.objects.get().attempts
    assert attempt["error"] == "not called: 127.0.0.1 is no public address"


def test_the_signature_is_of_the_time_and_the_body(put, url, receiver, business):
    business.sign_callbacks = True
    business.save()
    put(("zhangsan", 0))

    telling.tell(url.pk)

    ((_items, headers, body),) = receiver.posts
    fields = dict(part.split("=") for part in headers["X-JUMS-Signature"].split(","))
    assert abs(int(fields["t"]) - time.time()) < 5
    signed = fields["t"].encode() + b"." + body
    expected = hmac.new(business.master_secret.encode(), signed, hashlib.sha256)
    assert fields["v1"] == expected.hexdigest()


def test_while_switched_off_nothing_is_told_and_nothing_lost(
    put, url, receiver, business
):
    put(("zhangsan", 0))
    business.callbacks_enabled = False
    business.save()
    assert telling.urls_due() == []
    telling.tell(url.pk)
    assert receiver.posts == []

    business.callbacks_enabled = True
    business.save()
    telling.tell(url.pk)
    assert receiver.types("zhangsan") == [0]


def test_a_slow_url_holds_up_no_other(put, url, receiver, business, monkeypatch):
    monkeypatch.setattr(calling, "TIMEOUT_S", 0.2)
    other = Receiver()
    try:
        quick = callback_urls.add(business, other.url)
        receiver.slow_s = 1
        put(*[("slow", 0)] * 300)
        put(("quick", 0), url=quick)
        assert telling.urls_due() == [url.pk, quick.pk]

        telling.tell(url.pk)  # ends at the first failure, however much waits
        telling.tell(quick.pk)

        assert other.types("quick") == [0]
        assert telling.urls_due() == []
    finally:
        other.close()


def test_a_send_is_told_from_its_rows_to_the_receiver(url, receiver, send):
    from sends import audience
    from sends.models import Send

    Send.objects.filter(pk=send.pk).update(status=Send.Status.PREPARING)
    audience.stage(send, [], [("zhangsan", "o1"), ("nobody", "")])
    preparing.prepare(send.pk)
    StatusCallback.objects.update(at=timezone.now() - outbox_wait())

    telling.tell(url.pk)

    assert [(i["userid"], i["type"]) for i in receiver.items] == [
        ("zhangsan", 0),
        ("nobody", 1),
    ]


def outbox_wait() -> timedelta:
    return timedelta(seconds=outbox.WAIT_S)


def test_the_log_of_what_was_delivered_long_ago_is_forgotten(put, url, receiver):
    put(("old", 0))
    telling.tell(url.pk)
    put(("new", 0))
    telling.tell(url.pk)
    first = StatusBatch.objects.order_by("pk").first()
    StatusBatch.objects.filter(pk=first.pk).update(
        ended_at=timezone.now() - timedelta(days=31)
    )

    assert telling.forget() == 1

    assert StatusBatch.objects.get() != first
