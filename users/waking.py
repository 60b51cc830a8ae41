"""Wake-up calls to workers. One may get lost: the sweep calls again."""

import logging

from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


def wake(upload_pk: int) -> None:
    """Send a call that expires, and do without when the broker is down."""
    _call("import_upload", upload_pk)


def wake_on_commit(upload_pk: int) -> None:
    """The same once the transaction is committed: a worker shall find the row."""
    transaction.on_commit(lambda: wake(upload_pk))


def wake_sync(channel_pk: int) -> None:
    """Call somebody to read a channel's list of followers."""
    transaction.on_commit(lambda: _call("synchronise_followers", channel_pk))


def _call(task: str, pk: int) -> None:
    try:
        current_app.send_task(
            f"users.tasks.{task}",
            (pk,),
            expires=3 * settings.SWEEP_SECONDS,
            retry=False,
        )
    except (OperationalError, OSError) as error:
        log.warning("no wake-up task=%s pk=%s %s", task, pk, type(error).__name__)
