"""A few people first: everyone else only once that went well."""

from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from sends import audience, canary, control, preparing, sweeping
from sends.models import Chunk, Delivery, Send
from sends.querysets import HELD, Result
from tests.factories import SendFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]
Status = Delivery.Status


@pytest.fixture
def prepared():
    def make(count=120, verified=True, **fields):
        send = SendFactory(
            status=Send.Status.PREPARING, canary=Send.Canary.WAITING, **fields
        )
        if verified:
            send.channel.callback_verified_at = timezone.now()
            send.channel.save()
        audience.stage(send, [], [("", f"o{n:027}") for n in range(count)])
        preparing.prepare(send.pk)
        send.refresh_from_db()
        return send

    return make


def due(send):
    """How many rows may be sent now."""
    chunks = Chunk.objects.due(timezone.now()).filter(send=send)
    return sum(Delivery.objects.of_chunk(chunk).count() for chunk in chunks)


def ends(send, minutes_ago=0, **statuses):
    """Let the first few end as told; the remainder of them is delivered."""
    chunk = Chunk.objects.due(timezone.now()).get(send=send)
    rows = Delivery.objects.claim(chunk)
    chunk.state = Chunk.State.DONE
    chunk.save()
    words = [word for word, count in statuses.items() for _ in range(count)]
    words += ["delivered"] * (len(rows) - len(words))
    results = [
        Result(row.id, Status[word.upper()])
        for row, word in zip(rows, words, strict=True)
    ]
    at = timezone.now() - timedelta(minutes=minutes_ago)
    moves = Delivery.objects.record(results, at)
    moves[send.pk, Status.WAITING, Status.SENDING] = len(rows)
    Send.objects.move(moves)


@pytest.mark.parametrize(
    ("people", "first"), [(51, 50), (5000, 50), (20_000, 200), (1_000_000, 500)]
)
def test_one_in_a_hundred_goes_first_but_fifty_to_five_hundred(people, first):
    assert canary.size(people) == first


def test_only_the_first_few_are_due(prepared):
    send = prepared(count=1300)

    assert due(send) == 50
    assert send.canary == "waiting"
    assert Chunk.objects.filter(send=send, due_at=HELD).count() == 2
    covered = Counter()
    for chunk in Chunk.objects.filter(send=send):
        covered.update(Delivery.objects.of_chunk(chunk).values_list("pk", flat=True))
    assert len(covered) == 1300
    assert set(covered.values()) == {1}


def test_a_small_send_has_no_first_few(prepared):
    send = prepared(count=50)

    assert (send.canary, due(send)) == ("", 50)


def test_everyone_follows_once_the_first_few_have_their_receipts(prepared):
    send = prepared()
    ends(send, undelivered=10, refused=10)

    sweeping.sends_to_prepare()

    send.refresh_from_db()
    assert (send.status, send.canary, due(send)) == ("running", "passed", 70)
    assert sweeping.channels_to_drain() == [send.channel_id]


@pytest.mark.parametrize("how", ["refused", "undelivered", "unknown"])
def test_a_send_whose_first_few_fail_pauses_and_says_how_many(prepared, how):
    send = prepared()
    ends(send, **{how: 26})

    canary.judge_due()

    send.refresh_from_db()
    assert (send.status, send.pause_code) == ("paused", "canary")
    assert (send.canary, send.pause_detail) == ("failed", "26/50")
    assert due(send) == 0


def test_resumed_by_a_person_it_sends_to_everyone(prepared):
    send = prepared()
    ends(send, refused=50)
    canary.judge_due()

    control.resume(send, by="li")

    send.refresh_from_db()
    assert (send.status, send.brake_released, due(send)) == ("running", True, 70)
    assert canary.judge_due() == 0


def test_receipts_are_waited_for_but_not_for_ever(prepared):
    send = prepared()
    ends(send, accepted=1)
    assert canary.judge_due() == 0
    assert due(send) == 0

    Delivery.objects.filter(send=send, status=Status.ACCEPTED).update(
        sent_at=timezone.now() - timedelta(minutes=6)
    )
    Delivery.objects.filter(send=send, status=Status.DELIVERED).update(
        sent_at=timezone.now() - timedelta(minutes=6)
    )

    assert canary.judge_due() == 1
    assert due(send) == 70


def test_where_no_receipts_come_nobody_waits_for_them(prepared):
    send = prepared(verified=False)
    ends(send, accepted=50)

    assert canary.judge_due() == 1


def test_nothing_is_judged_while_some_are_still_out(prepared):
    send = prepared()
    chunk = Chunk.objects.due(timezone.now()).get(send=send)
    rows = Delivery.objects.claim(chunk)
    Send.objects.move(Counter({(send.pk, Status.WAITING, Status.SENDING): len(rows)}))

    assert canary.judge_due() == 0


def test_canceled_meanwhile_the_held_ones_are_settled_as_well(prepared):
    from sends import sending

    send = prepared()
    control.cancel(send, by="li")

    sending.drain(send.channel_id)

    send.refresh_from_db()
    assert send.n_canceled == 120
