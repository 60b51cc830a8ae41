"""The reserve: what sends of the console leave of a channel's day to API messages.

A drain asks WeChat what is left when it starts, each minute, and again when nothing
seems left; in between it counts what it starts itself. What is under way when WeChat is
asked counts once more, so that the reserve is never touched by mistake.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from channels_wechat import quotas
from channels_wechat.models import Channel
from channels_wechat.wechat.errors import WeChatError

log = logging.getLogger(__name__)

ASK_EVERY: Final = timedelta(minutes=1)
ASK_AGAIN: Final = timedelta(seconds=2)


@dataclass
class Allowance:
    """How many messages a channel's console sends may still start today, by kind of
    message. Not kept: the next drain asks anew."""

    _left: dict[str, int | None] = field(default_factory=dict)  # None: nobody knows
    _asked_at: dict[str, datetime] = field(default_factory=dict)

    def ask(self, channel: Channel, kind: str, out: int) -> bool:
        """Ask WeChat, unless that was done lately; return whether nothing but the
        reserve is left. `out` messages of the kind are under way."""
        now = timezone.now()
        left = self._left.get(kind)
        wait = ASK_AGAIN if left is not None and left <= 0 else ASK_EVERY
        if kind in self._asked_at and now - self._asked_at[kind] < wait:
            return False
        self._asked_at[kind] = now
        try:
            reading = quotas.read(channel, kind, keep=timedelta(0))
        except WeChatError as error:
            log.info("no quota channel=%s errcode=%s", channel.code, error.errcode)
            self._left[kind] = None
            return False
        spare = reading.remain - channel.api_reserve
        self._left[kind] = spare - out
        return spare <= 0

    def left(self, kind: str) -> int | None:
        """Return how many messages of the kind may be started, None: no limit."""
        left = self._left.get(kind)
        return None if left is None else max(0, left)

    def took(self, kind: str, count: int) -> None:
        """Count messages of the kind that are started, whoever they are from."""
        left = self._left.get(kind)
        if left is not None:
            self._left[kind] = left - count
