"""Turns: how many channels a worker process sends for at once.

A drain keeps its thread for as long as its channel has something to send, which may be
hours. Some threads are never given to drains, so that sends are prepared, lists read
and receipts applied whatever is being sent. While more channels are busy than there are
seats, each gives up its seat after a while.
"""

import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Final

from celery.signals import celeryd_after_setup
from django.utils import timezone

TURN: Final = timedelta(seconds=10)
# Of a worker's threads, for everything else.
OTHERS: Final = 2


class Turns:
    """Seats for drains, and who waits for one."""

    def __init__(self, seats: int) -> None:
        self.seats = seats
        self._lock = threading.Lock()
        self._seated: Counter[int] = Counter()
        self._called: dict[int, None] = {}  # in the order of their calls

    def take(self, channel_pk: int) -> bool:
        """Take a seat for a channel. False: none is free, and it is called once one is.

        A channel that has one may take another: the lease says who sends for it, and
        the drain that sits there may hang.
        """
        with self._lock:
            if self._seated.total() >= self.seats:
                self._called[channel_pk] = None
                return False
            self._seated[channel_pk] += 1
            return True

    def is_over(self, since: datetime) -> bool:
        """Whether a drain that sat down at `since` has to let another one in."""
        with self._lock:
            others = self._called.keys() - self._seated.keys()
        return bool(others) and timezone.now() - since >= TURN

    def end(self, channel_pk: int, *, again: bool) -> list[int]:
        """Give up the seat, to come `again` or not; return which channels to call now,
        those that wait before this one."""
        with self._lock:
            self._seated -= Counter([channel_pk])
            again = self._called.pop(channel_pk, False) is None or again
            called = [pk for pk in self._called if pk not in self._seated]
            for pk in called:
                del self._called[pk]
        return [*called, channel_pk] if again else called


# Of this process. A worker has more or fewer of them as it has threads.
turns = Turns(6)


@celeryd_after_setup.connect
def _count_seats(instance: Any, **_: object) -> None:
    turns.seats = max(1, int(instance.concurrency or 1) - OTHERS)
