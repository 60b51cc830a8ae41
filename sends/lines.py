"""A line to WeChat: a bulk sender in a thread of its own, so that reading and writing
the database overlap with sending. Lines stay open between drains, as long as they are
used, and their connections with them.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from channels_wechat.wechat.bulk import Answer, BulkSender, Call

from .brake import Tripwire

log = logging.getLogger(__name__)

IDLE_S: Final = 60.0
TURN_S: Final = 0.05


Order = Callable[[BulkSender], None]


class LineBroken(Exception):
    """The line's thread died; nothing it had not answered is known."""


class Line:
    """Sends calls in the background. One user at a time; not for several threads."""

    def __init__(self, base_url: str) -> None:
        self._sender = BulkSender(base_url, tripwire=Tripwire())
        # The answers read so far say that nothing more must be started: nothing is,
        # until what waits is withdrawn.
        self.halted = False
        # What to do with the sender in its thread; None: close.
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        # Answers, and whether they halted the sender.
        self._answers: queue.SimpleQueue[tuple[list[Answer], bool]] = (
            queue.SimpleQueue()
        )
        self._withdrawn: queue.SimpleQueue[list[Call]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def latency_s(self) -> float:
        """How long WeChat takes to answer of late; 0.0 before the first answer."""
        return self._sender.latency_s

    def pace(self, connections: int, rate_per_s: float | None) -> None:
        def order(sender: BulkSender) -> None:
            sender.connections, sender.rate_per_s = connections, rate_per_s

        self._orders.put(order)

    def submit(self, calls: Sequence[Call], access_token: str) -> None:
        self._orders.put(lambda sender: sender.submit(calls, access_token))

    def answers(self, timeout_s: float) -> list[Answer]:
        """Return what was answered since; wait up to `timeout_s` for the first.

        Raises LineBroken.
        """
        found: list[Answer] = []
        try:
            answers, self.halted = self._answers.get(timeout=timeout_s)
            found += answers
            while not self.halted:
                answers, self.halted = self._answers.get_nowait()
                found += answers
        except queue.Empty:
            if not found and not self.is_alive:
                raise LineBroken from None
        return found

    def withdraw(self) -> list[Call]:
        """Take back every call that has not left; end a halt. Raises LineBroken."""
        self.halted = False
        self._orders.put(lambda sender: self._withdrawn.put(sender.withdraw()))
        while True:
            try:
                return self._withdrawn.get(timeout=1)
            except queue.Empty:
                if not self.is_alive:
                    raise LineBroken from None

    def close(self) -> None:
        self._orders.put(None)

    def _run(self) -> None:
        sender = self._sender
        used = time.monotonic()
        try:
            while True:
                idle = sender.halted or not sender.queued
                busy = bool(sender.in_flight) or not idle
                try:
                    order = self._orders.get(block=not busy, timeout=1)
                except queue.Empty:
                    if busy:
                        if answers := sender.poll(TURN_S):
                            self._answers.put((answers, sender.halted))
                    elif time.monotonic() - used > IDLE_S:
                        return
                    continue
                if order is None:
                    return
                used = time.monotonic()
                order(sender)
        finally:
            sender.close()


_idle: dict[str, list[Line]] = {}
_lock = threading.Lock()


def take(base_url: str) -> Line:
    """Return an open line, a kept one if there is any."""
    with _lock:
        lines = _idle.get(base_url, [])
        while lines:
            line = lines.pop()
            if line.is_alive:
                return line
    return Line(base_url)


def keep(line: Line, base_url: str) -> None:
    """Give back a line on which nothing is under way."""
    with _lock:
        _idle.setdefault(base_url, []).append(line)
