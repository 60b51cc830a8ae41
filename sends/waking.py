"""Wake-up calls to workers. One may get lost: the sweep calls again."""

import logging
from typing import Literal

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
