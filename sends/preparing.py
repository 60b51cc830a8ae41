"""From an audience to deliveries, set-wise, in ranges that a kill can interrupt.

Each range is one transaction: rows, counters and cursor move together. So a send can be
paused, canceled or orphaned in the middle of preparing, and goes on where it stood.
Whoever does that need not wait: a range asks at its end whether it is still wanted.

A large send runs before it is prepared to the end: what stands is cut into chunks from
time to time, and a drain sends those meanwhile.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from channels_wechat.wechat.messages import CompiledMessage

from . import audience, canary, outbox, problems
from .models import Chunk, Delivery, GivenIDs, Send
from .querysets import (
    SKIPPED,
    WAITING,
    Moves,
    Row,
    is_postgresql,
    set_for_now,
    stamp,
)
from .waking import wake_on_commit

log = logging.getLogger(__name__)

LINES_A_RANGE = 20_000
# Values are checked in Python inside the range's transaction: keep it short.
CHECKED_LINES_A_RANGE = 4_000
# After so many lines what stands begins to leave, and more of it whenever few chunks
# are left to send. Each time all that stands is looked through for duplicates, so there
# must be so many times as much as the time before.
EARLY_LINES = 10_000
EARLY_GROWTH = 2
FEW_CHUNKS = 10


def compile_message(send: Send, url: str | None = None) -> CompiledMessage:
    """Return the send's message, ready to be rendered for each recipient; `url` stands
    in for its own link."""
    assert send.template is not None
    return CompiledMessage(
        send.template.template_id,
        send.data,
        send.url if url is None else url,
        send.miniprogram_appid,
        send.miniprogram_path,
        send.template.wechat_kind,
    )


class _Stopped(Exception):
    """The send was paused or canceled."""


class _TakenOver(Exception):
    """Somebody else prepares the send: our lease was over."""


def prepare(send_pk: int) -> bool:
    """Make the deliveries of a send; return whether it runs and has them all.

    Safe to call twice at once and to kill: one caller at a time holds the send's lease,
    and each range is all or nothing.
    """
    while _take(send_pk):
        try:
            _make_all(send_pk)
        except _Stopped:
            # Whoever resumes it need not wait until our lease ends, and if that was
            # done already, it is us who go on.
            Send.objects.filter(pk=send_pk).update(prepare_lease_until=None)
        except _TakenOver:
            return False
        else:
            return True
    return False


def _make_all(send_pk: int) -> None:
    """Make every delivery and chunk. Raises _Stopped, _TakenOver."""
    lines, early_lines = 0, EARLY_LINES
    while made := _range(send_pk):
        lines += made
        if lines >= early_lines and _wants_more(send_pk) and _may_start_early(send_pk):
            early_lines = lines * EARLY_GROWTH
            _skip_duplicates(send_pk)
            while _cut(send_pk):
                pass
    _skip_duplicates(send_pk)
    while _cut(send_pk, whole=True):
        pass


def _may_start_early(send_pk: int) -> bool:
    """Whether a part of the send may leave before the rest is there.

    A canary is chosen among everyone, and a business system is told of everyone before
    anything is sent. SQLite writes one thing at a time: nothing would be gained.
    """
    early = Send.objects.filter(pk=send_pk, canary="", business_channel=None)
    return is_postgresql() and early.exists()


def _wants_more(send_pk: int) -> bool:
    left = Chunk.objects.waiting().filter(send=send_pk)
    return left[:FEW_CHUNKS].count() < FEW_CHUNKS


def _skip_duplicates(send_pk: int) -> None:
    # Not in the send's lock: of a million rows it takes seconds.
    with transaction.atomic():
        set_for_now("work_mem = '128MB'")  # or a million are sorted on the disk
        Send.objects.move(Delivery.objects.skip_duplicates(send_pk))


def _take(send_pk: int) -> bool:
    now = timezone.now()
    free = Q(prepare_lease_until__isnull=True) | Q(prepare_lease_until__lt=now)
    return bool(
        Send.objects.half_prepared()
        .filter(free, pk=send_pk)
        .update(prepare_lease_until=_lease_end())
    )


def _lease_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.CLAIM_SECONDS)


def _range(send_pk: int) -> int:
    """Prepare the next range; return how many lines it had, 0 at the end.

    Raises _Stopped or _TakenOver, and then nothing is changed.
    """
    with transaction.atomic():
        # Rows, counters and cursor would be lost together. Whatever leaves is cut
        # first, and that commit waits until all before it is on the disk.
        set_for_now("synchronous_commit = off")
        send = (
            Send.objects.half_prepared()
            .select_related("template")
            .filter(pk=send_pk)
            .first()
        )
        if send is None:
            raise _Stopped
        message = compile_message(send)
        if is_postgresql() and not message.names:
            last, moves = _insert_at_once(send)
        else:
            last, moves = _insert_checked(send, message)
        if last is None:
            return 0
        # The send is locked from here to the commit, which is a moment. The cursor is
        # the fence: of two who prepare the same range one finds it moved.
        if (
            not Send.objects.half_prepared()
            .filter(pk=send_pk, prepare_cursor=send.prepare_cursor)
            .update(prepare_cursor=last, prepare_lease_until=_lease_end())
        ):
            here = Send.objects.filter(pk=send_pk, prepare_cursor=send.prepare_cursor)
            raise _Stopped if here.exists() else _TakenOver
        Send.objects.move(moves)
    return sum(rows for (_pk, before, _after), rows in moves.items() if before is None)


def _insert_at_once(send: Send) -> tuple[int | None, Moves]:
    """Insert the next lines whose values need no check, in one statement; return the
    last line, None if there was none, and the moves."""
    lines = audience.source(send)
    sql = f"""
        WITH next_lines AS MATERIALIZED (
            SELECT id, userid, openid, variables, reason
            FROM ({lines.select}) AS audience WHERE id > %s ORDER BY id LIMIT %s
        ), inserted AS (
            -- In this order: PostgreSQL reads the lines as they were put aside.
            {_INSERT} FROM next_lines
        )
        SELECT max(id), count(*), count(*) FILTER (WHERE reason = '') FROM next_lines
    """
    parameters = [send.prepare_cursor, LINES_A_RANGE, send.pk, send.channel_id]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*lines.parameters, *parameters])
        last, rows, waiting = cursor.fetchone()
    moves: Moves = Counter()
    moves[send.pk, None, WAITING] += waiting
    moves[send.pk, None, SKIPPED] += rows - waiting
    return last, moves


def _insert_checked(send: Send, message: CompiledMessage) -> tuple[int | None, Moves]:
    """The same line by line, each person's values checked if they have any."""
    size = CHECKED_LINES_A_RANGE if message.names else LINES_A_RANGE
    last = _last_line(send, size)
    if last is None:
        return None, Counter()
    moves, rows = _insert(send, last)
    if message.names:
        found = dict(_problems(send, message, rows))
        moves += Delivery.objects.skip_bad_values(send.pk, found)
    return last, moves


def _last_line(send: Send, size: int) -> int | None:
    lines = audience.source(send)
    sql = f"""
        SELECT max(id) FROM (
            SELECT id FROM ({lines.select}) AS audience
            WHERE id > %s ORDER BY id LIMIT %s
        ) AS next_lines
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [*lines.parameters, send.prepare_cursor, size])
        last: int | None = cursor.fetchone()[0]
    return last


_INSERT = f"""
    INSERT INTO sends_delivery
        (send_id, channel_id, userid, openid, variables, status, reason, error)
    SELECT %s, %s, userid, openid, variables,
        CASE WHEN reason = '' THEN {WAITING} ELSE {SKIPPED} END, reason, ''
"""


def _insert(send: Send, last: int) -> tuple[Moves, list[Row]]:
    lines = audience.source(send)
    sql = f"""
        {_INSERT} FROM ({lines.select}) AS audience
        WHERE id > %s AND id <= %s ORDER BY id
        RETURNING id, userid, openid, variables, status
    """
    parameters = [
        send.pk,
        send.channel_id,
        *lines.parameters,
        send.prepare_cursor,
        last,
    ]
    moves: Moves = Counter()
    rows: list[Row] = []
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        for id_, userid, openid, variables, status in cursor.fetchall():
            moves[send.pk, None, status] += 1
            if status == WAITING:
                rows.append(Row.read(id_, userid, openid, variables, None))
    return moves, rows


def _problems(
    send: Send, message: CompiledMessage, rows: Iterable[Row]
) -> Iterable[tuple[int, str]]:
    assert send.template is not None
    for row in rows:
        for key, value in message.values(row.names()).items():
            problem = send.template.problem_of(key, value)
            if problem is not None and problem.blocks:
                yield row.id, problems.keep(problem)
                break


def _cut(send_pk: int, *, whole: bool = False) -> bool:
    """Cut the next deliveries into chunks; return whether there may be more.

    With the first ones a part of the send runs, `whole` with the last ones all of it.
    Raises _Stopped.
    """
    now = timezone.now()
    with transaction.atomic():
        wanted = Send.objects.half_prepared().filter(pk=send_pk)
        send = wanted.select_for_update().first()
        if send is None:
            raise _Stopped
        fresh = not Chunk.objects.filter(send=send).exists()
        first = canary.choose(send) if fresh else int(send.canary_last_id is not None)
        more = bool(Chunk.objects.cut(send.pk, now, first))
        if fresh and send.business_channel_id:
            outbox.prepared(send.pk)
        changes: dict[str, Any] = {"prepare_lease_until": _lease_end()}
        if whole != more:  # the last of all, or some of the first
            changes["status"] = Send.Status.RUNNING
            changes["started_at"] = send.started_at or now
        if more and not whole:
            wake_on_commit("drain", send.channel_id)
        if whole and not more:
            changes |= {"prepared_at": now, "prepare_lease_until": None}
            if send.audience == Send.Audience.IDS:
                GivenIDs.objects.filter(send=send).delete()  # each has its delivery
        Send.objects.filter(pk=send.pk).update(**changes)
        Send.objects.finish([send.pk])
    if whole and not more:
        log.info("prepared send=%s at=%s", send.msgid, stamp(now))
    return more
