"""How many messages WeChat still takes of an account today.

WeChat counts per kind of message, from midnight to midnight in China. It is asked with
`quota/get`; not every account may ask (test accounts, missing permission sets), and a
quota that nobody knows stands in nobody's way.
"""

from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from django.db.models import F
from django.utils import timezone

from .models import Channel, QuotaReading
from .protection import CHINA
from .wechat.bulk import SUBSCRIBE_SEND, TEMPLATE_SEND
from .wechat.errors import WeChatError

PATHS: Final = {"template": TEMPLATE_SEND.path, "subscribe": SUBSCRIBE_SEND.path}
KEPT: Final = timedelta(seconds=30)
# So many days of a plan are told; the account of a plan that is longer is too small.
DAYS_TOLD: Final = 366


class Day(NamedTuple):
    """One day of a plan, in China, and how many messages leave on it."""

    day: date
    messages: int


class Plan(NamedTuple):
    """How a send is spread over days; `beyond` messages find no place in a year."""

    days: list[Day]
    beyond: int

    @property
    def today(self) -> date:
        return china_day()

    @property
    def last(self) -> date:
        """The day on which the last message leaves that finds a place."""
        return self.days[-1].day if self.days else china_day()

    @property
    def takes_days(self) -> bool:
        """Whether it takes more than what is left of today."""
        return bool(self.beyond) or any(day > china_day() for day, _ in self.days)


def china_day(moment: datetime | None = None) -> date:
    return (moment or timezone.now()).astimezone(CHINA).date()


def next_midnight() -> datetime:
    """Return when WeChat's counters start anew: a little after midnight in China."""
    tomorrow = timezone.now().astimezone(CHINA) + timedelta(days=1)
    return tomorrow.replace(hour=0, minute=5, second=0, microsecond=0)


def known(channel: Channel, kind: str) -> QuotaReading | None:
    """Return what WeChat said today, None if it has said nothing yet."""
    found = QuotaReading.objects.filter(channel=channel, kind=kind).first()
    if found is None or china_day(found.read_at) != china_day():
        return None
    return found


def read(channel: Channel, kind: str, keep: timedelta = KEPT) -> QuotaReading:
    """Return what WeChat says, asked anew if it was not within `keep`. Raises
    WeChatError."""
    found = known(channel, kind)
    if found is not None and timezone.now() - found.read_at < keep:
        return found
    quota = channel.client().quota(PATHS[kind])
    if not quota.daily_limit:
        raise WeChatError("quota/get: no daily_limit in the answer")
    return QuotaReading.objects.update_or_create(
        channel=channel,
        kind=kind,
        defaults={
            "daily_limit": quota.daily_limit,
            "used": max(0, quota.used),
            "remain": max(0, quota.remain),
            "read_at": timezone.now(),
        },
    )[0]


def used_up(channel: Channel, kind: str) -> None:
    """Note that WeChat takes no more messages of a kind today."""
    QuotaReading.objects.filter(channel=channel, kind=kind).update(
        used=F("daily_limit"), remain=0, read_at=timezone.now()
    )


def plan(
    messages: int, reading: QuotaReading, reserve: int = 0, ahead: int = 0
) -> Plan:
    """Spread `messages` over today and the days after, behind `ahead` others; of each
    day `reserve` messages are not for them."""
    today = china_day()
    days: list[Day] = []
    room = max(0, reading.remain - reserve)
    for number in range(DAYS_TOLD):
        ahead, room = max(0, ahead - room), max(0, room - ahead)
        if taken := min(messages, room):
            days.append(Day(today + timedelta(days=number), taken))
            messages -= taken
        if not messages:
            break
        room = max(0, reading.daily_limit - reserve)
    return Plan(days, messages)
