"""Celery's edge of uploads."""

from celery import shared_task

from . import importing
from .waking import wake


@shared_task(ignore_result=True)
def import_upload(upload_pk: int) -> None:
    """Import one upload. Safe to run twice or to lose."""
    importing.import_upload(upload_pk)


@shared_task(ignore_result=True)
def sweep_uploads() -> None:
    """Wake somebody for each upload that nobody works on."""
    for upload_pk in importing.sweep():
        wake(upload_pk)
