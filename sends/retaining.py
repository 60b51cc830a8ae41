"""Retention: what is old leaves the database, into gzipped CSV files first.

Events go when they are applied or nobody waits for them; deliveries go send by send,
when a send has ended long ago. A send's own row stays, with its counters and why some
did not get it. Everything happens in small steps, so that nobody waits for it, and can
be killed between any two: a file is complete before the first of its rows is deleted.
"""

import csv
import gzip
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from . import reporting
from .models import AudienceRow, Chunk, Delivery, InboundEvent, Send

log = logging.getLogger(__name__)

EVENTS_A_FILE: Final = 20_000
ROWS_A_STEP: Final = 2_000
# One run of the task; the next one goes on.
SECONDS_A_RUN: Final = 50.0
ENDED: Final = (Send.Status.FINISHED, Send.Status.CANCELED, Send.Status.REJECTED)
OPEN: Final = [status for status in Send.Status if status not in ENDED]
EVENT_ENDED: Final = {
    InboundEvent.Status.APPLIED,
    InboundEvent.Status.UNMATCHED,
    InboundEvent.Status.IGNORED,
}

DELIVERY_COLUMNS: Final = (
    "id",
    "userid",
    "openid",
    "status",
    "reason",
    "wechat_msgid",
    "errcode",
    "error",
    "sent_at",
    "receipt_at",
    "click__at",
)
EVENT_COLUMNS: Final = (
    "id",
    "channel__code",
    "event",
    "openid",
    "msgid",
    "outcome",
    "payload",
    "status",
    "created_at",
    "received_at",
    "applied_at",
)


def folder() -> Path:
    """Return where the files of this host lie."""
    return settings.DATA_DIR / "archive"


def run(seconds: float = SECONDS_A_RUN) -> int:
    """Let go what is older than the settings allow; return how many rows went.

    Stops after about `seconds`. Raises OSError when a file cannot be written; its rows
    stay then.
    """
    until = time.monotonic() + seconds
    gone = 0
    for step in (_forget_events, _retire_send):
        while time.monotonic() < until and (rows := step()):
            gone += rows
    if gone:
        log.info("retired rows=%s", gone)
    return gone


def _forget_events() -> int:
    """Let go one block of old events; return how many."""
    if not settings.KEEP_EVENTS_DAYS:
        return 0
    before = timezone.now() - timedelta(days=settings.KEEP_EVENTS_DAYS)
    # Walked from the oldest: an id is about as old as its event, and time has no index.
    ids: list[int] = []
    for id_, status, received_at in (
        InboundEvent.objects.order_by("pk")
        .values_list("pk", "status", "received_at")
        .iterator(chunk_size=ROWS_A_STEP)
    ):
        if received_at >= before or len(ids) == EVENTS_A_FILE:
            break
        if status in EVENT_ENDED:
            ids.append(id_)
    if not ids:
        return 0
    if settings.ARCHIVE:
        old = InboundEvent.objects.filter(pk__gte=ids[0], pk__lte=ids[-1])
        rows = _blocks(old.filter(status__in=EVENT_ENDED), EVENT_COLUMNS)
        _write(f"events-{ids[0]}-{ids[-1]}.csv.gz", EVENT_COLUMNS, rows)
    for start in range(0, len(ids), ROWS_A_STEP):
        InboundEvent.objects.filter(pk__in=ids[start : start + ROWS_A_STEP]).delete()
    return len(ids)


def _retire_send() -> int:
    """Do one step with old sends; return about how many rows it touched."""
    # One send after the other: what has its file goes before the next file is made.
    return _drop_archived() or _archive_send()


def _archive_send() -> int:
    """Write one old send's deliveries to a file and mark it; 0: there is none."""
    if not settings.KEEP_DELIVERIES_DAYS:
        return 0
    before = timezone.now() - timedelta(days=settings.KEEP_DELIVERIES_DAYS)
    send = _old(before).select_related("channel").order_by("finished_at").first()
    if send is None:
        return 0
    name = ""
    if settings.ARCHIVE:
        assert send.finished_at
        name = f"deliveries-{send.finished_at:%Y%m%d}-{send.pk}.csv.gz"
        rows = _blocks(Delivery.objects.filter(send=send), DELIVERY_COLUMNS)
        _write(name, DELIVERY_COLUMNS, rows)
    Send.objects.filter(pk=send.pk, archived_at=None).update(
        archived_at=timezone.now(),
        archive_file=name,
        archived_reasons=reporting.kinds(send),
    )
    log.info("archived send=%s file=%s", send.msgid, name)
    return 1


def _old(before: object) -> QuerySet[Send]:
    """Sends that ended before, with nothing open that may still ask for their rows."""
    head = Q(pk=OuterRef("part_of")) | Q(part_of=OuterRef("part_of"))
    head |= Q(part_of=OuterRef("pk"))
    return Send.objects.filter(
        ~Exists(Send.objects.filter(head, status__in=OPEN)),
        status__in=ENDED,
        finished_at__lt=before,
        archived_at=None,
        n_waiting=0,
        n_sending=0,
    )


def _drop_archived() -> int:
    """Delete some rows of sends that are in their files; return how many."""
    send = (
        Send.objects.exclude(archived_at=None)
        .filter(Exists(Delivery.objects.filter(send=OuterRef("pk"))))
        .order_by("archived_at")
        .first()
    )
    if send is None:
        return 0
    with transaction.atomic():
        rows = Delivery.objects.drop(send.pk, ROWS_A_STEP)
        if rows < ROWS_A_STEP:
            Chunk.objects.filter(send=send).delete()
            AudienceRow.objects.filter(send=send).delete()
    return rows


def _blocks(
    found: QuerySet[Delivery] | QuerySet[InboundEvent], columns: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    """Yield rows in the order of their ids, read in blocks."""
    after = 0
    while block := list(
        found.filter(pk__gt=after).order_by("pk").values_list(*columns)[:ROWS_A_STEP]
    ):
        yield from block
        after = block[-1][0]


def _write(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a file whole or not at all. Raises OSError."""
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = folder() / f"{name}.{os.getpid()}.part"
    try:
        with open(unfinished, "xb", opener=_private) as raw:
            with gzip.open(raw, "wt", encoding="utf-8", newline="") as packed:
                writer = csv.writer(packed)
                writer.writerow(column.replace("__", "_") for column in header)
                writer.writerows(rows)
            raw.flush()
            os.fsync(raw.fileno())
        unfinished.replace(folder() / name)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
