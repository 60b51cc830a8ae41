"""What a business channel may not do: too many calls, too many broadcasts, words and
hours that it chose itself. Each limit is off while its field is empty."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from .models import BusinessChannel, Usage

CHINA: Final = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True)
class Rate:
    """What X-Rate-Limit-* tell: calls a minute, calls left, seconds until all of them
    are there again. `allowed` is whether this call was one of them."""

    limit: int
    remaining: int
    reset_s: int
    allowed: bool


# A number that every client's `int` holds: programs read the headers of every answer.
NO_LIMIT: Final = Rate(2**31 - 1, 2**31 - 1, 0, True)


def count_call(row: BusinessChannel, at: datetime | None = None) -> Rate:
    """Count a call against the calls a minute; NO_LIMIT without a limit.

    A token bucket on one locked row, so that it holds over all processes: it fills
    evenly and holds a minute's worth at most.
    """
    limit = row.calls_per_minute
    if not limit:
        return NO_LIMIT
    now = at or timezone.now()
    with transaction.atomic():
        usage = _usage(row)
        left = float(limit)
        if usage.counted_at is not None:
            passed = max(0.0, (now - usage.counted_at).total_seconds())
            left = min(limit, usage.calls_left + passed * limit / 60)
        allowed = left >= 1
        left -= allowed
        usage.calls_left, usage.counted_at = left, now
        usage.save(update_fields=["calls_left", "counted_at"])
    return Rate(limit, int(left), math.ceil((limit - left) * 60 / limit), allowed)


def count_broadcast(row: BusinessChannel, at: datetime | None = None) -> bool:
    """Count a broadcast against the broadcasts of China's day; False if it is one too
    many. Call it in the transaction that stores the send."""
    if row.broadcasts_per_day is None:
        return True
    day = (at or timezone.now()).astimezone(CHINA).date()
    usage = _usage(row)
    made = usage.broadcasts if usage.day == day else 0
    if made >= row.broadcasts_per_day:
        return False
    usage.day, usage.broadcasts = day, made + 1
    usage.save(update_fields=["day", "broadcasts"])
    return True


def is_quiet(row: BusinessChannel, at: datetime | None = None) -> bool:
    """Whether it is in the quiet hours (China time); they may go over midnight."""
    if not row.quiet_hours:
        return False
    now = (at or timezone.now()).astimezone(CHINA).strftime("%H:%M")
    begin, _dash, end = row.quiet_hours.partition("-")
    if begin <= end:
        return begin <= now < end
    return now >= begin or now < end


def sensitive_word(row: BusinessChannel, texts: list[str]) -> str:
    """Return the first of the channel's words that is in one of the texts, or ""."""
    for text in texts:
        folded = text.casefold()
        for word in row.sensitive_words:
            if word and word.casefold() in folded:
                return str(word)
    return ""


def today(at: datetime | None = None) -> datetime:
    """Return when China's day began."""
    now = (at or timezone.now()).astimezone(CHINA)
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _usage(row: BusinessChannel) -> Usage:
    Usage.objects.get_or_create(business_channel=row)
    return Usage.objects.select_for_update().get(business_channel=row)
