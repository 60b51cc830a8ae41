"""The third-party platform of this installation: which one, and its log."""

import hashlib
import logging
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from .models import Channel, Platform, PlatformEvent
from .wechat.errors import (
    AUTHORISE_AGAIN,
    ChannelRefused,
    TicketMissing,
    WeChatError,
    requested_ip,
)

log = logging.getLogger(__name__)
Kind = PlatformEvent.Kind

# WeChat pushes one every ten minutes; each is good for twelve hours.
TICKET_LATE: Final = timedelta(minutes=30)
TICKET_DEAD: Final = timedelta(hours=12)
# How often WeChat may be asked to push again.
ASK_EVERY: Final = timedelta(minutes=10)
KEEP_EVENTS: Final = timedelta(days=90)
# A flood of the same refused push costs one write a second.
SAME_EVERY: Final = timedelta(seconds=1)

# The permission sets we use; the other id does as well where WeChat has split one.
SETS: Final[dict[int, tuple[int, ...]]] = {
    7: (7, 100),
    89: (89,),
    8: (8,),
    11: (11, 101),
    1: (1,),
    2: (2, 100),
    4: (4,),
}
REQUIRED: Final = (7, 89)
RECOMMENDED: Final = (8, 11)
OPTIONAL: Final = (1, 2, 4)


def missing_settings() -> list[str]:
    """Return which of the four settings are empty; [] means a platform is set up."""
    values = {
        "WECHATTPP_COMPONENT_APP_ID": settings.WECHATTPP_COMPONENT_APP_ID,
        "WECHATTPP_COMPONENT_APP_SECRET": settings.WECHATTPP_COMPONENT_APP_SECRET,
        "WECHATTPP_ENCODING_TOKEN": settings.WECHATTPP_ENCODING_TOKEN,
        "WECHATTPP_ENCODING_AES_KEY": settings.WECHATTPP_ENCODING_AES_KEYS,
    }
    return [name for name, value in values.items() if not value]


def is_set_up() -> bool:
    """Whether this installation has a platform of its own."""
    return not missing_settings()


def credentials() -> str:
    """Return a fingerprint of AppID and AppSecret, to see whether they changed."""
    pair = (
        settings.WECHATTPP_COMPONENT_APP_ID,
        settings.WECHATTPP_COMPONENT_APP_SECRET,
    )
    return hashlib.sha256(" ".join(pair).encode()).hexdigest()


def current() -> Platform:
    """Return the row of the platform that the settings name."""
    row, _made = Platform.objects.get_or_create(
        component_appid=settings.WECHATTPP_COMPONENT_APP_ID
    )
    return row


def missing_sets(granted: list[int], wanted: tuple[int, ...]) -> list[int]:
    """Return which of `wanted` an account has not granted."""
    return [one for one in wanted if not set(SETS[one]) & set(granted)]


def take_ticket(platform: Platform, ticket: str, created_at: datetime) -> None:
    """Keep a pushed ticket; it is in the database when this returns."""
    now = timezone.now()
    rows = Platform.objects.filter(pk=platform.pk)
    newest = rows.filter(ticket_created_at=None) | rows.filter(
        ticket_created_at__lte=created_at
    )
    # Pushes may overtake each other: the newest stays.
    if newest.update(
        ticket=ticket, ticket_created_at=created_at, ticket_received_at=now
    ):
        note(platform, Kind.TICKET)


def note(
    platform: Platform,
    kind: Kind,
    *,
    appid: str = "",
    errcode: int | None = None,
    detail: str = "",
    ip: str | None = None,
    key: str | None = None,
) -> bool:
    """Write a line of the platform's log; return whether this `key` was new."""
    now = timezone.now()
    line = {
        "kind": kind,
        "appid": appid[:32],
        "errcode": errcode,
        "detail": detail[:300],
        "ip": ip,
    }
    events = PlatformEvent.objects.filter(platform=platform)
    if key is None:
        newest = events.order_by("-last_at", "-pk").first()
        if newest and newest.key is None:
            same = all(getattr(newest, name) == line[name] for name in line)
            if same:
                if newest.last_at <= now - SAME_EVERY:
                    events.filter(pk=newest.pk).update(
                        count=F("count") + 1, last_at=now
                    )
                return True
    event = PlatformEvent(platform=platform, **line, key=key, first_at=now, last_at=now)
    with transaction.atomic():
        PlatformEvent.objects.bulk_create([event], ignore_conflicts=True)
        # SQLite and PostgreSQL both tell nothing of an ignored row.
        stored = key is None or events.filter(key=key, first_at=now).exists()
    return stored


def heard(error: WeChatError, appid: str = "") -> None:
    """Note what WeChat said to a call for the platform or the account `appid`.

    Only what an operator can mend; 61004 with the address that WeChat saw.
    """
    if not isinstance(error, ChannelRefused | TicketMissing):
        return
    ip = requested_ip(error.errmsg)
    log.warning(
        "refused platform=%s account=%s errcode=%s ip=%s errmsg=%s",
        settings.WECHATTPP_COMPONENT_APP_ID,
        appid,
        error.errcode,
        ip,
        error.errmsg,
    )
    note(
        current(),
        Kind.ERROR,
        appid=appid,
        errcode=error.errcode,
        detail=error.errmsg,
        ip=ip,
    )


def heard_of(channel: Channel, error: WeChatError) -> None:
    """The same of a call with an account's own token; the channel's state follows."""
    if not channel.is_authorised:
        return
    heard(error, channel.appid)
    if error.errcode in AUTHORISE_AGAIN:
        refuse(channel, error)


def refuse(channel: Channel, error: WeChatError) -> None:
    """Mark a channel as refused by WeChat, with WeChat's words."""
    Channel.objects.filter(pk=channel.pk).update(
        refused_at=timezone.now(),
        refused_errcode=error.errcode,
        refused_errmsg=error.errmsg[:500],
    )


def forget() -> None:
    """Shorten the log."""
    old = timezone.now() - KEEP_EVENTS
    PlatformEvent.objects.filter(last_at__lt=old).delete()
