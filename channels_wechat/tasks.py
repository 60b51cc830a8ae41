"""Celery's edge of the channels."""

import logging

from celery import shared_task

from . import tokens
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
