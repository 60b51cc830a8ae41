"""Telling business systems: items become batches, batches become POSTs, in order.

* A batch is 100 items, or what is there 10 s after the first of them.
* The batches of one URL go out one after another: nobody hears "delivered" before
  "submitted". HTTP 200 takes a batch off, anything else is tried again every 50 s,
  three times.
* Then the batch is `held`. Is it the batch that the receiver cannot take, or is the
  receiver down? Every 50 s the batch is tried once more and, when that fails, the next
  one behind it. If that one gets through, the receiver is up: the first one is tried at
  once, and if it fails even now the fault is its own, it is `failed` and out of the
  line. If not, everything keeps waiting, and nothing is lost or out of order when the
  receiver comes back. After an hour a batch is `failed` anyway.
* A failed batch is kept until an operator replays it.

Batches and their leases are rows: a worker that dies while telling leaves a lease that
ends, and the batch is told again. So a receiver may hear an item twice, never not at
all.
"""

import hashlib
import hmac
import json
import logging
import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone, translation

from . import calling, problems
from .models import Delivery, Send, StatusCallback
from .outbox import (
    NOT_RETRACTED,
    ONE_POST,
    OUTCOME_UNKNOWN,
    REJECTED,
    SKIPPED,
    WAIT_S,
    ring_later,
)
from .status_models import CallbackURL, StatusBatch
from .waking import wake, wake_on_commit

log = logging.getLogger(__name__)
State = StatusBatch.State

WAIT: Final = timedelta(seconds=WAIT_S)
RETRY_EVERY = timedelta(seconds=50)
RETRIES: Final = 3
HOLD_FOR = timedelta(hours=1)
# A worker gives one URL this long, then lets others have a turn.
TURN_S: Final = 10.0
ATTEMPTS_KEPT: Final = 20
LOG_KEPT: Final = timedelta(days=30)

UMS, WECHAT_OA = 0, 2  # JUMS' numbers of senders
WITH_ERROR: Final = {1, 3, 5, 8}
MESSAGES: Final = {
    SKIPPED[Delivery.Reason.NO_RECIPIENT]: "no such userid",
    SKIPPED[Delivery.Reason.NO_OPENID]: "no openid bound on this channel",
    SKIPPED[Delivery.Reason.DUPLICATE]: "already a target of this message",
    SKIPPED[Delivery.Reason.FOREIGN_OPENID]: "an openid of another channel",
    SKIPPED[Delivery.Reason.BAD_VALUE]: "a value that WeChat would refuse",
    SKIPPED[Delivery.Reason.BLACKLISTED]: "on the blacklist",
    SKIPPED[Delivery.Reason.NOT_LISTED]: "not on the whitelist",
    SKIPPED[Delivery.Reason.CAPPED]: "has had enough messages today",
    OUTCOME_UNKNOWN: "WeChat's answer was never seen; not repeated, so that nobody "
    "gets the message twice",
    NOT_RETRACTED: "WeChat cannot take back a message that has left",
}


@dataclass(frozen=True)
class _Leased:
    """A batch that is ours until `until`, and what its POST needs."""

    batch: StatusBatch
    until: datetime
    body: bytes


# -- who is to be told -----------------------------------------------------------------


def urls_due() -> list[int]:
    """Return the URLs that have something to be told now."""
    now = timezone.now()
    first = in_line().filter(url=OuterRef("pk")).order_by("pk")
    items = StatusCallback.objects.filter(
        url=OuterRef("pk"), batch=None, at__lte=now - WAIT
    )
    free = Q(leased_until=None) | Q(leased_until__lt=now)
    return list(
        _listening()
        .annotate(
            try_at=Subquery(first.values("try_at")[:1]),
            leased_until=Subquery(first.values("leased_until")[:1]),
        )
        .filter(Q(try_at__lte=now) & free | Q(try_at=None) & Exists(items))
        .order_by("pk")
        .values_list("pk", flat=True)
    )


def tell(url_pk: int) -> None:
    """Tell a URL everything that is due, for at most one turn and the POST at its end.

    Safe to call at any time and from any number of workers at once.
    """
    until = time.monotonic() + TURN_S
    while time.monotonic() < until:
        leased = _take(url_pk)
        if leased is None:
            _ring_for_the_rest(url_pk)
            return
        _record(leased, _post(leased))
    wake("tell_statuses", url_pk)


def _ring_for_the_rest(url_pk: int) -> None:
    """Come back when items that are too few and too young are old enough."""
    items = StatusCallback.objects.filter(url=url_pk, batch=None).order_by("pk")
    oldest = items.values_list("at", flat=True).first()
    if oldest is None or in_line().filter(url=url_pk).exists():
        return  # nothing, or not before the line moves on: the sweep looks after that
    waits = (oldest + WAIT - timezone.now()).total_seconds()
    if waits > 0:  # else somebody else is at it, or callbacks are switched off
        ring_later(url_pk, math.ceil(waits))


def replay(batches: QuerySet[StatusBatch]) -> int:
    """Put failed and held batches back into their lines; return how many."""
    chosen = batches.filter(state__in=[State.FAILED, State.HELD])
    with transaction.atomic():
        urls = list(chosen.order_by().values_list("url", flat=True).distinct())
        count = chosen.update(
            state=State.WAITING, tries=0, try_at=timezone.now(), ended_at=None
        )
        for url_pk in urls:
            wake_on_commit("tell_statuses", url_pk)
    return count


def forget() -> int:
    """Delete the log of batches that were delivered long ago; return how many."""
    old = StatusBatch.objects.filter(
        state=State.DELIVERED, ended_at__lt=timezone.now() - LOG_KEPT
    ).values_list("pk", flat=True)[:1000]
    return StatusBatch.objects.filter(pk__in=list(old)).delete()[0]


# -- the line --------------------------------------------------------------------------


def in_line() -> QuerySet[StatusBatch]:
    """Batches that are still to be told by themselves."""
    return StatusBatch.objects.filter(state__in=[State.WAITING, State.HELD])


def _listening() -> QuerySet[CallbackURL]:
    return CallbackURL.objects.filter(
        verified_at__isnull=False, business_channel__callbacks_enabled=True
    )


def _take(url_pk: int) -> _Leased | None:
    """Lease the batch whose turn it is; None: nothing is due, or somebody is at it."""
    with transaction.atomic():
        # Batches are made and leased by one worker at a time.
        url = (
            _listening()
            .select_for_update(of=("self",), no_key=True)
            .select_related("business_channel")
            .filter(pk=url_pk)
            .first()
        )
        if url is None:
            return None
        now = timezone.now()
        line = list(in_line().filter(url=url).order_by("pk")[:2])
        while len(line) < 2 and (made := _form(url, now)) is not None:
            line.append(made)
        batch = _next(line, now)
        if batch is None:
            return None
        batch.url = url
        batch.leased_until = now + timedelta(seconds=settings.CLAIM_SECONDS)
        batch.save(update_fields=["leased_until"])
        body = json.dumps(_items(url, batch), separators=(",", ":")).encode()
        return _Leased(batch, batch.leased_until, body)


def _form(url: CallbackURL, now: datetime) -> StatusBatch | None:
    """Make a batch of the oldest items, if there are enough or they waited enough."""
    items = list(
        StatusCallback.objects.filter(url=url, batch=None)
        .order_by("pk")
        .values_list("pk", "at")[:ONE_POST]
    )
    if not items:
        return None
    if len(items) < ONE_POST and min(at for _pk, at in items) > now - WAIT:
        return None
    batch = StatusBatch.objects.create(url=url, size=len(items), try_at=now)
    StatusCallback.objects.filter(pk__in=[pk for pk, _at in items]).update(batch=batch)
    return batch


def _next(line: list[StatusBatch], now: datetime) -> StatusBatch | None:
    """Return the first batch if it is due; the second one right after a held first one
    has failed again, because only then it says something about the receiver."""
    if not line or any(b.leased_until and b.leased_until > now for b in line):
        return None
    first = line[0]
    if first.try_at <= now:
        return first
    just_failed = first.state == State.HELD and (first.try_at - now > 0.8 * RETRY_EVERY)
    if just_failed and len(line) > 1 and line[1].try_at <= now:
        return line[1]
    return None


# -- the POST --------------------------------------------------------------------------


def _post(leased: _Leased) -> dict[str, Any]:
    """POST the batch; return the attempt as the log keeps it."""
    url = leased.batch.url
    started, at = time.monotonic(), timezone.now()
    headers: tuple[str, ...] = ()
    if url.business_channel.sign_callbacks:
        headers = (
            signature(
                url.business_channel.master_secret, leased.body, int(time.time())
            ),
        )
    status, kind, error = None, "", ""
    try:
        answer = calling.call(
            url.url, url.business_channel, body=leased.body, headers=headers
        )
        status = answer.status
        if status != 200:
            error = f"HTTP {status}"
    except calling.CallFailed as failed:
        kind, error = failed.kind, failed.reason
    return {
        "at": at.isoformat(),
        "status": status,
        "kind": kind,
        "error": error,
        "took_ms": round((time.monotonic() - started) * 1000),
    }


def signature(master_secret: str, body: bytes, unix: int) -> str:
    """Return the header line that lets a receiver check where `body` comes from."""
    signed = hmac.new(
        master_secret.encode(), f"{unix}.".encode() + body, hashlib.sha256
    )
    return f"X-JUMS-Signature: t={unix},v1={signed.hexdigest()}"


def _record(leased: _Leased, attempt: dict[str, Any]) -> None:
    """Write what became of the POST, unless the lease ended meanwhile."""
    batch, now = leased.batch, timezone.now()
    batch.attempts = [*batch.attempts, attempt][-ATTEMPTS_KEPT:]
    batch.tries += 1
    if not attempt["error"]:
        batch.state, batch.ended_at = State.DELIVERED, now
    else:
        batch.try_at = now + RETRY_EVERY
        if batch.tries > RETRIES and batch.state == State.WAITING:
            batch.state, batch.ended_at = State.HELD, now
        elif batch.state == State.HELD and _is_at_fault(batch, now):
            batch.state = State.FAILED
    with transaction.atomic():
        mine = StatusBatch.objects.filter(pk=batch.pk, leased_until=leased.until)
        if not mine.update(
            leased_until=None,
            attempts=batch.attempts,
            tries=batch.tries,
            state=batch.state,
            try_at=batch.try_at,
            ended_at=batch.ended_at,
        ):
            return
        if batch.state == State.DELIVERED:
            StatusCallback.objects.filter(batch=batch).delete()
            # The receiver is up again, perhaps since it refused the one before a moment
            # ago: that one gets its chance now.
            StatusBatch.objects.filter(
                url=batch.url, state=State.HELD, pk__lt=batch.pk
            ).update(try_at=now)
    if attempt["error"]:
        log.log(
            logging.ERROR if batch.state == State.FAILED else logging.WARNING,
            "not told batch=%s url=%s try=%s error=%s",
            batch.pk,
            batch.url_id,
            batch.tries,
            attempt["error"],
        )


def _is_at_fault(batch: StatusBatch, now: datetime) -> bool:
    """Whether a held batch that failed once more is out of the line: one behind it got
    through meanwhile, or it was held for long enough."""
    held_at = batch.ended_at or now
    return (
        now - held_at >= HOLD_FOR
        or StatusBatch.objects.filter(
            url=batch.url, state=State.DELIVERED, pk__gt=batch.pk, ended_at__gte=held_at
        ).exists()
    )


# -- what an item says -----------------------------------------------------------------


def _items(url: CallbackURL, batch: StatusBatch) -> list[dict[str, Any]]:
    items = list(StatusCallback.objects.filter(batch=batch).order_by("pk"))
    sends = (
        Send.objects.select_related("part_of")
        .filter(pk__in={item.send_id for item in items})
        .in_bulk()
    )
    with translation.override("en"):
        return [
            _told(url.business_channel.key, sends[item.send_id], item) for item in items
        ]


def _told(channel_key: str, send: Send, item: StatusCallback) -> dict[str, Any]:
    """Return the item as chapter 9 of the JUMS reference prints it."""
    head = send.part_of or send
    told: dict[str, Any] = {
        "type": item.type,
        "channelkey": channel_key,
        "msgid": head.msgid,
        "userid": item.userid,
    }
    dispatched = item.type > 1
    if item.openid and (dispatched or not item.userid):
        told["sender_id"] = item.openid
    told["sender"] = WECHAT_OA if dispatched else UMS
    told["sent_time"] = int(item.at.timestamp())
    if item.type in WITH_ERROR:
        told["error"] = {"code": item.error_code, "message": _message(item)}
    told["params"] = send.callback_params or head.callback_params or {}
    return told


def _message(item: StatusCallback) -> str:
    if item.error_code == SKIPPED[Delivery.Reason.BAD_VALUE]:
        problem = problems.read(item.error)
        if problem is not None:
            return problems.sentence(problem)
    if item.error_code == REJECTED:
        return f"rejected in review: {item.error}"
    return MESSAGES.get(item.error_code or 0) or item.error or "no further word"
