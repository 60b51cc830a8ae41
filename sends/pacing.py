"""How much of its pace a channel is given: less at once when WeChat groans, more again
step by step (AIMD, as TCP does).

The pace is kept on the channel's Drain, so that the next drain, on whatever host, goes
on with it, and the console can show it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from channels_wechat.models import Channel
from channels_wechat.wechat import errors

from .models import Drain

LOWEST: Final = 0.02
# A whole window of calls fails together: that is one sign of trouble, not fifty.
ONE_SIGN_S: Final = 2.0
FASTER_A_SECOND: Final = 0.02
# WeChat's answers take so many times as long as at best, and so much longer at least.
SLOW_TIMES: Final = 4.0
SLOW_BY_S: Final = 0.5
# Too many messages to one recipient: not passing, but a sign to go slower, too.
TOO_MANY: Final = 43117


def is_trouble(error: errors.WeChatError) -> bool:
    """Whether an answer asks for a slower pace: -1, 45011, 43117 and their like."""
    return isinstance(error, errors.WeChatUnavailable) or error.errcode == TOO_MANY


@dataclass
class Pace:
    """A share of the channel's connections and rate, between LOWEST and 1."""

    share: float
    at: datetime
    reason: str = ""
    slowed_at: datetime | None = None
    best_s: float | None = None  # the shortest latency seen

    @classmethod
    def of(cls, drain: Drain, now: datetime) -> Self:
        """Go on with what the drain before kept, grown since."""
        pace = cls(drain.pace, drain.paced_at or now, drain.pace_reason)
        pace.faster(now)
        return pace

    def slower(self, now: datetime, reason: str) -> None:
        """Halve the pace, at most once in ONE_SIGN_S."""
        if self.slowed_at and (now - self.slowed_at).total_seconds() < ONE_SIGN_S:
            return
        self.share = max(LOWEST, self.share / 2)
        self.at = self.slowed_at = now
        self.reason = reason[:200]

    def faster(self, now: datetime) -> None:
        """Grow by the time that has passed since the pace last changed."""
        grown = FASTER_A_SECOND * (now - self.at).total_seconds()
        self.share, self.at = min(1.0, self.share + max(0.0, grown)), now
        if self.share == 1.0:
            self.reason = ""

    def watch(self, latency_s: float, now: datetime) -> None:
        """Slow down when answers take much longer than they did at best."""
        if not latency_s:
            return
        self.best_s = min(self.best_s or latency_s, latency_s)
        if latency_s > SLOW_TIMES * self.best_s and latency_s > self.best_s + SLOW_BY_S:
            self.slower(now, f"{latency_s:.1f} s")

    def limits(self, channel: Channel) -> tuple[int, float | None]:
        """Return how many connections, and messages a second, the share allows."""
        rate = channel.rate_per_s
        return (
            max(1, round(channel.connections * self.share)),
            max(1.0, rate * self.share) if rate else None,
        )

    def keep(self, channel_pk: int) -> None:
        Drain.objects.filter(channel=channel_pk).update(
            pace=self.share, paced_at=self.at, pace_reason=self.reason
        )
