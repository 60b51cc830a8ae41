"""The Celery application. The broker carries wake-up calls; rows are the queue."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jums.settings")

app = Celery("jums")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
