"""Receipts: bringing what WeChat pushed to the deliveries it speaks of.

Events are stored as they come (sends.api.callbacks) and applied here, in bulk, later. A
receipt may come before the answer of the send itself is written, twice, late, in any
order, or for a message that somebody else sent; none of that may make a wrong row.

* The delivery with the same openid and msgid is the one.
* Until there is one, the event waits: it is tried again at growing intervals for a day.
* A delivery whose answer was never seen has no msgid, WeChat was seen to push msgid 0,
  and not every answer to a subscribe-notification has one. Then the openid, the
  template and the time decide, if they fit exactly one delivery.
* The first receipt of a delivery is its last word.
* What somebody accepts or rejects goes to the ledger of acceptances.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from channels_wechat.models import Channel
from channels_wechat.wechat import notices
from templates_mgmt.models import Template
from users import followers
from users.models import OpenID

from . import ledger, outbox
from .models import Delivery, InboundEvent, Send
from .querysets import Moves, set_for_now
from .receipt_queries import Change, Waiting, mark_applied, take, write

log = logging.getLogger(__name__)
Status = Delivery.Status

RECEIPT: Final = "templatesendjobfinish"
RECEIPTS: Final = {RECEIPT, notices.SENT}
FOLLOWED: Final = {"subscribe": True, "unsubscribe": False}
# What people say of subscribe-notifications; the ledger knows what it means.
CHOICES: Final = {"accept", "reject"}
APPLICABLE: Final = {RECEIPT, *FOLLOWED}

# A larger batch is quicker, but SQLite lets nobody else write in the meantime.
BATCH: Final = {"postgresql": 5000, "sqlite": 2000}
# So many batches of a backlog at once: while one is in the database, we read another.
LANES: Final = {"postgresql": 2, "sqlite": 1}
GIVE_UP_AFTER: Final = timedelta(hours=24)
# Younger events wait for the send's own answer before anything is guessed.
GUESS_AFTER: Final = timedelta(seconds=15)
# WeChat's clock and ours may differ, and we note the time of the answer.
CLOCKS: Final = timedelta(minutes=5)
# Of several deliveries that fit, one whose message left so shortly before is the one.
NEAR: Final = timedelta(minutes=10)
TERMINAL: Final = {Status.DELIVERED, Status.UNDELIVERED}


class _Candidate(NamedTuple):
    """A delivery without a receipt that an event may be about."""

    id: int
    send_id: int
    openid: str
    status: int
    msgid: int | None
    doubt_since: datetime | None
    sent_at: datetime | None
    kind: str
    template_id: str

    def concerns(self, event: Waiting) -> bool:
        """Whether the event speaks of messages of this kind and template."""
        if event.event == notices.SENT:
            return self.template_id == event.template_id
        return self.kind == Template.Kind.TEMPLATE

    @property
    def is_open(self) -> bool:
        """Whether the answer of a call that may have left is still to come."""
        return self.status == Status.SENDING or (
            self.status == Status.WAITING and self.doubt_since is not None
        )

    def fits(self, event: Waiting) -> bool:
        if event.msgid is not None and self.msgid is not None:
            return False
        if self.status not in {Status.ACCEPTED, Status.UNKNOWN} and (
            self.doubt_since is None
        ):
            return False
        return self._left_within(GIVE_UP_AFTER, event)

    def is_near(self, event: Waiting) -> bool:
        return self._left_within(NEAR, event)

    def _left_within(self, time: timedelta, event: Waiting) -> bool:
        """Whether the message left at most so long before the event was made."""
        left_at = self.doubt_since or self.sent_at
        return left_at is not None and (
            left_at - CLOCKS <= event.created_at <= left_at + time
        )


class _Match(NamedTuple):
    event: Waiting
    delivery_id: int
    send_id: int
    before: int


def channels_waiting() -> list[int]:
    """Return the channels that have events to apply now."""
    due = InboundEvent.objects.waiting().filter(channel=OuterRef("pk"))
    return list(
        Channel.objects.filter(Exists(due)).order_by("pk").values_list("pk", flat=True)
    )


def apply_waiting(channel_pk: int) -> int:
    """Apply every event of a channel that is due; return how many were applied.

    Safe to call at any time and from any number of workers at once.
    """
    limit = BATCH[connection.vendor]
    taken, applied = _apply_batch(channel_pk, limit)
    if taken < limit:
        return applied
    others = LANES[connection.vendor] - 1
    if not others:
        return applied + _apply_batches(channel_pk, limit)
    with ThreadPoolExecutor(others, "receipts") as threads:
        beside = [
            threads.submit(_apply_beside, channel_pk, limit) for _ in range(others)
        ]
        applied += _apply_batches(channel_pk, limit)
        return applied + sum(lane.result() for lane in beside)


def _apply_beside(channel_pk: int, limit: int) -> int:
    """Apply batches in a thread, with a connection of its own."""
    try:
        return _apply_batches(channel_pk, limit)
    finally:
        connection.close()


def _apply_batches(channel_pk: int, limit: int) -> int:
    applied = 0
    while True:
        taken, done = _apply_batch(channel_pk, limit)
        applied += done
        if taken < limit:
            return applied


def _apply_batch(channel_pk: int, limit: int) -> tuple[int, int]:
    """Apply a batch of events; return how many were taken, and applied."""
    with transaction.atomic():
        # A crash would take back all of it: then the events wait again.
        set_for_now("synchronous_commit = off")
        now = timezone.now()
        events = take(channel_pk, now, limit)
        follows = [event for event in events if event.event in FOLLOWED]
        _follow(channel_pk, follows, now)
        receipts = [event for event in events if event.event in RECEIPTS]
        choices = {event.id for event in events if event.event in notices.CHOICES}
        done, left, moves = _apply_receipts(channel_pk, receipts, choices, now)
        done |= choices | {event.id for event in follows}
        mark_applied(done, now)
        _put_back(left, now)
        # At last: until the commit nobody else moves the counters of these sends.
        Send.objects.all().move(moves)
    if events:
        log.info(
            "receipts channel=%s events=%s applied=%s waiting=%s",
            channel_pk,
            len(events),
            len(done),
            len(left),
        )
    return len(events), len(done)


def _apply_receipts(
    channel_pk: int, events: Sequence[Waiting], choices: Collection[int], now: datetime
) -> tuple[set[int], list[Waiting], Moves]:
    """Write receipts and the ledger with people's `choices`; return the ids of events
    done, those left, and what the counters have to be moved by."""
    matches = [
        _Match(event, event.delivery_id, event.send_id, event.status)
        for event in events
        if event.delivery_id is not None
        and event.send_id is not None
        and event.status is not None
    ]
    matches += _guessed(channel_pk, [e for e in events if e.delivery_id is None], now)
    # Two events of one delivery in one batch: the first one counts.
    matches.sort(key=lambda match: (match.event.created_at, match.event.id))
    first: dict[int, _Match] = {}
    for match in matches:
        if match.before not in TERMINAL:
            first.setdefault(match.delivery_id, match)

    # In one order everywhere, so that two workers cannot wait for each other.
    changes = [_change(first[delivery_id]) for delivery_id in sorted(first)]
    changed = write(changes)
    sent = {pk for pk, match in first.items() if match.event.event == notices.SENT}
    ledger.note(deliveries=changed & sent, events=choices)
    moves: Moves = Counter()
    for change in changes:
        if change.id in changed:
            send_id = first[change.id].send_id
            moves[send_id, change.before, change.status] += 1
    outbox.received({send_id for send_id, _before, _after in moves}, changed)

    # Not changed: the row moved on under our hands; the event is tried again soon.
    done = {
        match.event.id
        for match in matches
        if match.before in TERMINAL or match.delivery_id in changed
    }
    return done, [event for event in events if event.id not in done], moves


def _change(match: _Match) -> Change:
    event = match.event
    delivered = event.outcome == "success"
    return Change(
        id=match.delivery_id,
        before=match.before,
        status=Status.DELIVERED if delivered else Status.UNDELIVERED,
        msgid=event.msgid,
        error="" if delivered else event.outcome.removeprefix("failed:"),
        event_id=event.id,
    )


def _guessed(channel_pk: int, events: Sequence[Waiting], now: datetime) -> list[_Match]:
    """Match events by openid and time where exactly one delivery fits."""
    events = [
        event
        for event in events
        if event.openid
        and (event.msgid is None or now - event.received_at >= GUESS_AFTER)
    ]
    if not events:
        return []
    candidates: dict[str, list[_Candidate]] = {}
    for row in (
        Delivery.objects.filter(
            Q(status__in=[Status.SENDING, Status.ACCEPTED, Status.UNKNOWN])
            | Q(doubt_since__isnull=False),
            channel=channel_pk,
            openid__in={event.openid for event in events},
            receipt_at=None,
        )
        .exclude(openid="")
        .values_list(
            "pk",
            "send",
            "openid",
            "status",
            "wechat_msgid",
            "doubt_since",
            "sent_at",
            "send__template__kind",
            "send__template__template_id",
        )
    ):
        candidate = _Candidate(*row)
        candidates.setdefault(candidate.openid, []).append(candidate)

    matches = []
    for event in events:
        found = [c for c in candidates.get(event.openid, []) if c.concerns(event)]
        if any(candidate.is_open for candidate in found):
            continue  # its answer will tell
        fitting = [candidate for candidate in found if candidate.fits(event)]
        near = [candidate for candidate in fitting if candidate.is_near(event)]
        fitting = near or fitting
        if len(fitting) == 1:
            (one,) = fitting
            matches.append(_Match(event, one.id, one.send_id, one.status))
    return matches


def _follow(channel_pk: int, events: Iterable[Waiting], now: datetime) -> None:
    """Note who follows, by everyone's newest event, strangers included: an operator may
    be waiting for one to learn whose openID it is."""
    newest: dict[str, Waiting] = {}
    for event in sorted(events, key=lambda event: (event.created_at, event.id)):
        newest[event.openid] = event
    if not newest:
        return
    followers.heard(
        channel_pk,
        [(e.openid, FOLLOWED[e.event], e.created_at) for e in newest.values()],
    )
    rows = list(
        OpenID.objects.select_for_update()
        .filter(channel=channel_pk, openid__in=newest)
        .order_by("pk")
    )
    changed = []
    for row in rows:
        event = newest[row.openid]
        if row.followed_at is None or row.followed_at <= event.created_at:
            row.followed = FOLLOWED[event.event]
            row.followed_at, row.updated_at = event.created_at, now
            changed.append(row)
    OpenID.objects.bulk_update(
        changed, ["followed", "followed_at", "updated_at"], batch_size=500
    )


def _put_back(events: Iterable[Waiting], now: datetime) -> None:
    """Let events wait about as long again as they have waited, at most an hour."""
    later: dict[int, list[int]] = {}
    given_up = []
    for event in events:
        age = now - event.received_at
        if age >= GIVE_UP_AFTER:
            given_up.append(event.id)
        else:
            # Rounded to powers of two, so that few statements do.
            waited = int(age.total_seconds()).bit_length()
            seconds = min(1 << max(0, waited - 1), 3600)
            later.setdefault(seconds, []).append(event.id)
    for seconds, ids in later.items():
        _mark(ids, try_at=now + timedelta(seconds=seconds))
    _mark(given_up, status=InboundEvent.Status.UNMATCHED)


def _mark(ids: Iterable[int], **fields: object) -> None:
    chosen = sorted(ids)
    if chosen:
        InboundEvent.objects.filter(pk__in=chosen).update(**fields)
