"""Celery's edge. A task is a wake-up call: lost or doubled, rows say what is left."""

import logging

from celery import shared_task
from celery.signals import worker_shutting_down

from . import (
    preflight,
    preparing,
    reading,
    receipts,
    retaining,
    sending,
    sweeping,
    telling,
)
from .waking import wake

log = logging.getLogger(__name__)


@shared_task(ignore_result=True)
def prepare(send_pk: int) -> None:
    """Make a send's deliveries, then send them."""
    if preparing.prepare(send_pk):
        sending.drain_send(send_pk)


@shared_task(ignore_result=True)
def drain(channel_pk: int) -> None:
    """Send what is due on one channel until nothing is left."""
    sending.drain(channel_pk)


@shared_task(ignore_result=True)
def apply_receipts(channel_pk: int) -> None:
    """Bring what WeChat pushed to the deliveries of one channel."""
    receipts.apply_waiting(channel_pk)


@shared_task(ignore_result=True)
def read_audience(send_pk: int) -> None:
    """Read the list or file of a draft into its audience."""
    reading.read(send_pk)


@shared_task(ignore_result=True)
def check_values(send_pk: int) -> None:
    """Check a draft's values for everyone it would go to."""
    preflight.check(send_pk)


@shared_task(ignore_result=True)
def tell_statuses(url_pk: int) -> None:
    """Tell one callback URL what it waits for."""
    telling.tell(url_pk)


@shared_task(ignore_result=True)
def forget_told() -> None:
    """Shorten the log of what business systems were told."""
    while telling.forget():
        pass


@shared_task(ignore_result=True)
def retain() -> None:
    """Let go what is older than the settings allow."""
    try:
        retaining.run()
    except OSError as error:
        log.error("nothing archived: %s", error.strerror)


@shared_task(ignore_result=True)
def sweep() -> None:
    """Wake up whatever should be under way and is not."""
    for send_pk in sweeping.sends_to_prepare():
        wake("prepare", send_pk)
    for channel_pk in sweeping.channels_to_drain():
        wake("drain", channel_pk)
    for channel_pk in receipts.channels_waiting():
        wake("apply_receipts", channel_pk)
    for url_pk in telling.urls_due():
        wake("tell_statuses", url_pk)


@worker_shutting_down.connect
def _stop_sending(**_: object) -> None:
    # A drain may have hours of work: it gives its rows back and ends.
    sending.stopping.set()
