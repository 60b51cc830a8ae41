"""Waking a worker up from a callback, without making WeChat wait for the broker.

An unreachable broker holds a call up for seconds, and WeChat waits five. So a thread of
the web process calls: at once, then at most once a second for as long as events come.
A call that is lost is made up for by the sweep.
"""

import threading
import time

from sends.waking import wake

PAUSE_S = 1.0

_lock = threading.Condition()
_channels: set[int] = set()
_thread: threading.Thread | None = None


def ring(channel_pk: int) -> None:
    """Have a worker apply the events of a channel. Returns at once."""
    global _thread
    with _lock:
        _channels.add(channel_pk)
        # Started at the first need, so in each process after it was forked.
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="ringing", daemon=True)
            _thread.start()
        _lock.notify()


def _run() -> None:
    while True:
        with _lock:
            while not _channels:
                _lock.wait()
            due = sorted(_channels)
            _channels.clear()
        for channel_pk in due:
            wake("apply_receipts", channel_pk)
        time.sleep(PAUSE_S)
