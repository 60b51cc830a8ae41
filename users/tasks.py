"""Celery's edge of uploads, followers and what works once."""

from celery import shared_task

from . import binding, followers, importing
from .waking import wake, wake_sync


@shared_task(ignore_result=True)
def import_upload(upload_pk: int) -> None:
    """Import one upload. Safe to run twice or to lose."""
    importing.import_upload(upload_pk)


@shared_task(ignore_result=True)
def sweep_uploads() -> None:
    """Wake somebody for each upload that nobody works on."""
    for upload_pk in importing.sweep():
        wake(upload_pk)


@shared_task(ignore_result=True)
def synchronise_followers(channel_pk: int) -> None:
    """Read a channel's list of followers. Safe to run twice or to lose."""
    followers.synchronise(channel_pk)


@shared_task(ignore_result=True)
def sweep_followers() -> None:
    """Wake somebody for each list that nobody reads."""
    for channel_pk in followers.due():
        wake_sync(channel_pk)


@shared_task(ignore_result=True)
def tidy() -> None:
    """Forget tickets and marks that have expired."""
    binding.tidy()
