"""Who follows: reading an account's list page by page, and hearing events.

The list has no dates, so the newer word counts: a page belongs to the moment its
reading began, an event to its own. At the end, openIDs of our recipients are marked as
following or not, unless an event said otherwise meanwhile.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q
from django.utils import timezone

from channels_wechat.models import Channel
from channels_wechat.recognising import LIST_PATH
from channels_wechat.wechat.client import Client, FollowerPage
from channels_wechat.wechat.errors import (
    QuotaUsedUp,
    WeChatError,
    WeChatUnavailable,
)

from .models import Follower, FollowerSync, OpenID

log = logging.getLogger(__name__)
Status = FollowerSync.Status

PAGE: Final = 10_000
CHINA: Final = ZoneInfo("Asia/Shanghai")
# WeChat's clock and ours may differ a little.
CLOCKS: Final = timedelta(seconds=10)
# Passing faults in a row before it is given up; the waits double from 10 s.
MAX_FAILURES: Final = 6
# OpenIDs marked in one transaction: SQLite lets nobody else write meanwhile.
MARKED_AT_ONCE: Final = 20_000


class _Superseded(Exception):
    """Another worker took over, or it was begun anew."""


def begin(channel: Channel) -> bool:
    """Queue a synchronisation from the start; False when one is under way."""
    FollowerSync.objects.get_or_create(channel=channel)
    idle = FollowerSync.objects.filter(channel=channel).exclude(
        status__in=[Status.QUEUED, Status.RUNNING]
    )
    return bool(
        idle.update(
            status=Status.QUEUED,
            next_openid="",
            read=0,
            total=0,
            errcode=None,
            errmsg="",
            try_at=None,
            failures=0,
            started_at=None,
        )
    )


def go_on(channel: Channel) -> bool:
    """Queue one that failed or waits, from where it stopped; False if there is none."""
    stopped = FollowerSync.objects.filter(
        channel=channel, status__in=[Status.FAILED, Status.WAITING]
    )
    return bool(stopped.update(status=Status.QUEUED, failures=0, try_at=None))


def due() -> list[int]:
    """Return the channels whose synchronisation waits for a worker."""
    found = FollowerSync.objects.filter(FollowerSync.due(), channel__enabled=True)
    return list(found.values_list("channel", flat=True))


def synchronise(channel_pk: int) -> None:
    """Read the list on from where it stopped. Safe to call twice, and to be killed."""
    now = timezone.now()
    mine = FollowerSync.objects.filter(channel=channel_pk)
    if not mine.filter(FollowerSync.due(now)).update(
        status=Status.RUNNING, heartbeat_at=now, attempt=F("attempt") + 1
    ):
        return
    sync = mine.select_related("channel").get()
    try:
        _read(sync)
        _mark(sync)
    except _Superseded:
        log.info("superseded sync of followers channel=%s", sync.channel.code)
    except WeChatError as error:
        _stop(sync, error)
    else:
        _write(
            sync,
            status=Status.FINISHED,
            finished_at=timezone.now(),
            errcode=None,
            errmsg="",
        )
        log.info("followers read channel=%s count=%s", sync.channel.code, sync.read)


def _read(sync: FollowerSync) -> None:
    """Read every page that is left. Raises WeChatError, _Superseded."""
    client = sync.channel.client()
    if sync.started_at is None:
        _write(sync, started_at=timezone.now(), **_quota(client))
    elif not sync.next_openid and sync.read:
        return  # the last attempt read everything
    assert sync.started_at is not None
    while True:
        page = client.follower_page(sync.next_openid)
        read = sync.read + len(page.openids)
        following = page.next_openid
        # A next_openid is given even when nothing follows.
        if page.total and read >= page.total:
            following = ""
        if not following and read < page.total - page.total // 100:
            # Taken for complete, it would mark the rest as having left. A little is
            # missing at the end of a long list: people leave while it is read.
            raise WeChatUnavailable(
                f"{LIST_PATH}: the list ended after {read} of {page.total}"
            )
        with transaction.atomic():
            Follower.objects.listed(sync.channel_id, page.openids, sync.started_at)
            _write(
                sync,
                read=read,
                total=_total(page, read),
                next_openid=following,
                failures=0,
            )
        if not following:
            return


def _total(page: FollowerPage, read: int) -> int:
    return max(page.total, read)


def _quota(client: Client) -> dict[str, int]:
    try:
        quota = client.quota(LIST_PATH)
    except WeChatError:
        return {}  # worth knowing, no reason to stop
    return {"calls_left": quota.remain, "daily_limit": quota.daily_limit}


def _mark(sync: FollowerSync) -> None:
    """Forget who was not on the list, and mark our recipients' openIDs."""
    began = sync.started_at
    Follower.objects.filter(channel=sync.channel_id, at__lt=began).delete()
    openids = OpenID.objects.filter(channel=sync.channel_id)
    older = Q(followed_at=None) | Q(followed_at__lt=began)
    follows = Follower.objects.following(sync.channel_id).filter(
        openid=OuterRef("openid")
    )
    last = 0
    while True:
        above = openids.filter(pk__gt=last).order_by("pk")
        upto = above.values_list("pk", flat=True)[MARKED_AT_ONCE - 1 : MARKED_AT_ONCE]
        ends = next(iter(upto), None)
        part = openids.filter(older, pk__gt=last)
        if ends is not None:
            part = part.filter(pk__lte=ends)
        with transaction.atomic():
            now = timezone.now()
            part.exclude(followed=True).filter(Exists(follows)).update(
                followed=True, followed_at=began, updated_at=now
            )
            part.exclude(followed=False).filter(~Exists(follows)).update(
                followed=False, followed_at=began, updated_at=now
            )
            _write(sync)
        if ends is None:
            return
        last = ends


def _write(sync: FollowerSync, **fields: object) -> None:
    """Note progress, if the synchronisation is still this worker's."""
    mine = FollowerSync.objects.filter(
        pk=sync.pk, status=Status.RUNNING, attempt=sync.attempt
    )
    if not mine.update(heartbeat_at=timezone.now(), **fields):
        raise _Superseded
    for name, value in fields.items():
        setattr(sync, name, value)


def _stop(sync: FollowerSync, error: WeChatError) -> None:
    """Wait and go on later, or end: whose move is next decides."""
    failures = sync.failures + 1
    try_at: datetime | None = None
    if isinstance(error, QuotaUsedUp):
        try_at, failures = next_midnight(), 0
    elif isinstance(error, WeChatUnavailable) and failures < MAX_FAILURES:
        patience = error.retry_after_s or 10
        try_at = timezone.now() + timedelta(seconds=patience * 2 ** (failures - 1))
    log.warning("followers not read channel=%s error=%s", sync.channel.code, error)
    FollowerSync.objects.filter(pk=sync.pk, attempt=sync.attempt).update(
        status=Status.WAITING if try_at else Status.FAILED,
        try_at=try_at,
        failures=failures,
        errcode=error.errcode,
        errmsg=error.errmsg[:500],
    )


def next_midnight(at: datetime | None = None) -> datetime:
    """Return when China's next day begins, and with it WeChat's quotas."""
    today = (at or timezone.now()).astimezone(CHINA).date()
    return datetime.combine(today + timedelta(days=1), time(0, 1), CHINA)


# -- events ----------------------------------------------------------------------------


def heard(channel_pk: int, events: Iterable[tuple[str, bool, datetime]]) -> None:
    """Note follow and unfollow events: (openid, follows, when), one per openid."""
    Follower.objects.heard(channel_pk, events)


# -- follow now and watch --------------------------------------------------------------


def watch(channel: Channel) -> FollowerSync:
    """Begin to watch for new followers: from now on, after those there are."""
    sync, _made = FollowerSync.objects.get_or_create(channel=channel)
    newest = Follower.objects.filter(channel=channel).aggregate(last=Max("pk"))["last"]
    sync.watched_at = timezone.now()
    sync.watched_from = (newest or 0) if sync.finished_at else None
    sync.save(update_fields=["watched_at", "watched_from"])
    return sync


def arrivals(sync: FollowerSync, limit: int) -> list[Follower]:
    """Return who followed since the watch began, newest first.

    Events tell at once. Without them a list read again tells, but only against one that
    was complete before: else everybody would seem new.
    """
    if sync.watched_at is None:
        return []
    since = sync.watched_at - CLOCKS
    found = Follower.objects.following(sync.channel_id)
    if sync.watched_from is None:
        found = found.filter(event_at__gte=since)
    else:
        found = found.new_since(sync.watched_from, since)
    return list(found.order_by("-pk")[:limit])


def pages_needed(total: int) -> int:
    """Return how many calls a list of so many takes."""
    return max(1, -(-total // PAGE))
