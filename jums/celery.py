"""The Celery application. The broker carries wake-up calls; rows are the queue."""

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jums.settings")

TRANSPORT_ALIASES["filesystem"] = "jums.broker:Transport"
app = Celery("jums")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
