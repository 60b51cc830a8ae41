"""The Celery application. The broker carries wake-up calls; rows are the queue."""

import gc
import os

from celery import Celery
from celery.signals import worker_ready
from kombu.transport import TRANSPORT_ALIASES

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
