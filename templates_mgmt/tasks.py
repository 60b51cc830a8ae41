"""Celery's edge of refreshing."""

import logging

from celery import shared_task

from channels_wechat.models import Channel
from channels_wechat.wechat.errors import WeChatError

from . import refreshing

logger = logging.getLogger(__name__)


@shared_task(ignore_result=True)
def refresh_templates(channel_pk: int) -> None:
    """Refresh one channel's templates. Safe to run twice or to lose: the next refresh
    brings the same."""
    channel = Channel.objects.filter(pk=channel_pk, enabled=True).first()
    if channel is None:
        return
    try:
        refreshing.refresh(channel)
    except WeChatError as refused:
        # The operator reads it when pressing Refresh, and on the channel's check.
        logger.warning(
            "templates not refreshed channel=%s errcode=%s errmsg=%s rid=%s",
            channel.code,
            refused.errcode,
            refused.errmsg,
            refused.rid,
        )


@shared_task(ignore_result=True)
def refresh_all() -> None:
    """Refresh every enabled channel's templates, a task for each."""
    for pk in Channel.objects.filter(enabled=True).values_list("pk", flat=True):
        refresh_templates.delay(pk)
