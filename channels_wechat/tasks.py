"""Celery's edge of the channels."""

import logging
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from . import tokens
from .models import IdempotencyKey, Material
from .wechat.errors import WeChatError

log = logging.getLogger(__name__)


@shared_task(ignore_result=True)
def renew_tokens() -> None:
    """Renew access tokens that end soon, so that no message has to wait for one."""
    for channel in tokens.ending():
        try:
            tokens.source(channel).get()
        except WeChatError as error:
            # Kept on the channel where operators see it; sends try again themselves.
            log.warning("no access token channel=%s error=%s", channel.code, error)


@shared_task(ignore_result=True)
def tidy() -> None:
    """Drop material that has expired, and idempotency keys older than a day."""
    now = timezone.now()
    for material in Material.objects.filter(expires_at__lt=now):
        material.file.delete(save=False)
        material.delete()
    IdempotencyKey.objects.filter(created_at__lt=now - timedelta(days=1)).delete()
