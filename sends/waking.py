"""Wake-up calls to workers. One may get lost: the sweep calls again."""

import logging
import queue
import threading
from typing import Final, Literal

from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

Task = Literal[
    "prepare",
    "drain",
    "apply_receipts",
    "read_audience",
    "check_values",
    "tell_statuses",
]

# A broker that is down holds each call up for seconds. More need not wait for that:
# they expire.
BESIDE_AT_MOST: Final = 1000
_beside: queue.Queue[tuple[Task, int]] = queue.Queue(BESIDE_AT_MOST)
_starting = threading.Lock()
_thread: threading.Thread | None = None


def wake(task: Task, pk: int, *, delay_s: int = 0) -> None:
    """Send a call that expires, and do without when the broker is down."""
    try:
        current_app.send_task(
            f"sends.tasks.{task}",
            (pk,),
            countdown=delay_s or None,
            expires=delay_s + 3 * settings.SWEEP_SECONDS,
            retry=False,
        )
    except (OperationalError, OSError) as error:
        log.warning("no wake-up task=%s error=%s", task, type(error).__name__)


def wake_on_commit(task: Task, pk: int) -> None:
    """The same once the transaction is committed: a worker shall find its rows."""
    transaction.on_commit(lambda: wake(task, pk))


def wake_beside_on_commit(task: Task, pk: int) -> None:
    """The same by a thread of this process: a caller over the API does not wait for the
    broker, however slow it is."""
    transaction.on_commit(lambda: _put_aside(task, pk))


def _put_aside(task: Task, pk: int) -> None:
    global _thread
    with _starting:
        # Started at the first need, so in each process after it was forked.
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_run, name="waking", daemon=True)
            _thread.start()
    try:
        _beside.put_nowait((task, pk))
    except queue.Full:
        log.warning("no wake-up task=%s error=too many", task)


def _run() -> None:
    while True:
        wake(*_beside.get())
