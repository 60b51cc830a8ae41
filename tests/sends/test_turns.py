"""More busy channels than a worker has seats: each has its turn."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sends.turns import TURN, Turns

NOW, BEFORE = timedelta(0), TURN + timedelta(seconds=1)


def ago(how_long):
    return timezone.now() - how_long


def test_who_finds_no_seat_is_called_when_one_is_free():
    turns = Turns(2)
    assert turns.take(1)
    assert turns.take(2)
    assert not turns.take(3)
    assert not turns.take(4)

    assert turns.end(1, again=False) == [3, 4]
    assert turns.take(3)
    assert not turns.take(4)
    assert turns.end(2, again=False) == [4]


def test_a_seat_is_kept_until_somebody_waits_and_the_turn_is_over():
    turns = Turns(1)
    turns.take(1)
    assert not turns.is_over(ago(BEFORE))

    turns.take(2)

    assert not turns.is_over(ago(NOW))
    assert turns.is_over(ago(BEFORE))
    assert turns.end(1, again=True) == [2, 1]  # behind those who waited


def test_a_drain_that_hangs_does_not_keep_the_next_one_out():
    turns = Turns(2)

    assert turns.take(1)
    assert turns.take(1)
    turns.end(1, again=False)
    assert turns.take(2)
    assert not turns.take(3)


def test_a_channel_that_has_a_seat_makes_nobody_get_up():
    turns = Turns(1)
    turns.take(1)

    assert not turns.take(1)

    assert not turns.is_over(ago(BEFORE))
    # Whatever it was called for may have come after its last look.
    assert turns.end(1, again=False) == [1]
    assert turns.end(1, again=False) == []


@pytest.mark.parametrize(("threads", "seats"), [(8, 6), (2, 1), (1, 1)])
def test_a_worker_keeps_two_threads_for_everything_else(threads, seats, monkeypatch):
    from sends import turns

    monkeypatch.setattr(turns, "turns", Turns(0))

    class Worker:
        concurrency = threads

    turns.celeryd_after_setup.send(sender="worker@host", instance=Worker, conf=None)

    assert turns.turns.seats == seats
