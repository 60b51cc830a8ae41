"""The Celery application. The broker carries wake-up calls; rows are the queue."""

import gc
import logging
import os
import time
from typing import Any, Final

from celery import Celery
from celery.signals import task_revoked, worker_ready
from kombu.transport import TRANSPORT_ALIASES

log = logging.getLogger(__name__)
# Where wake-ups come too late, all of them do.
SILENT_S: Final = 60.0

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jums.settings")

TRANSPORT_ALIASES["filesystem"] = "jums.broker:Transport"
app = Celery("jums")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def _leave_the_program_alone(**_: object) -> None:
    # What is loaded stays: the collector would look through all of it again and again,
    # 90 ms at a time in which no thread of the worker moves.
    gc.collect()
    gc.freeze()


class _Late:
    """Tells, at most once a minute, that wake-ups come when they are worth nothing:
    such a worker does nothing at all, and looks well."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def heard(self, sender: Any, expired: bool = False, **_: object) -> None:
        now = time.monotonic()
        if not expired or now < self._silent_until:
            return
        self._silent_until = now + SILENT_S
        log.warning(
            "wake-up too late task=%s: there is more to do than this worker can, or "
            "its clock is ahead of the one where beat runs",
            sender.name,
        )


late = _Late()
task_revoked.connect(late.heard)
