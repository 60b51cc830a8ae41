"""Celery's edge of the channels."""

import logging
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from . import authorising, platform_tokens, platforms, tokens
from .models import IdempotencyKey, Material
from .wechat.errors import WeChatError

log = logging.getLogger(__name__)


@shared_task(ignore_result=True)
def renew_tokens() -> None:
    """Renew access tokens that end soon, so that no message has to wait for one."""
    if platforms.is_set_up():
        try:
            platform_tokens.ComponentSource(platforms.current()).get()
        except WeChatError as error:
            log.warning("no component token error=%s", error)
    for channel in tokens.ending():
        try:
            tokens.source(channel).get()
        except WeChatError as error:
            # Kept on the channel where operators see it; sends try again themselves.
            log.warning("no access token channel=%s error=%s", channel.code, error)


@shared_task(ignore_result=True)
def sweep_platform() -> None:
    """Exchange codes whose first messenger died, and ask for tickets that are late."""
    for pk in authorising.due_codes():
        authorising.redeem(pk)
    try:
        platform_tokens.ask_when_late()
    except WeChatError as error:
        # Kept in the platform's log where operators see it; asked again later.
        log.warning("no tickets asked for error=%s", error)


@shared_task(ignore_result=True)
def tidy() -> None:
    """Drop material that has expired, idempotency keys older than a day, and old lines
    of the platform's log."""
    now = timezone.now()
    for material in Material.objects.filter(expires_at__lt=now):
        material.file.delete(save=False)
        material.delete()
    platforms.forget()
    IdempotencyKey.objects.filter(created_at__lt=now - timedelta(days=1)).delete()
