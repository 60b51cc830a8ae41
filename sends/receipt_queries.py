"""The bulk SQL of receipts, for PostgreSQL and for SQLite."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import connection, transaction

from .querysets import is_postgresql, numbers, stamp

# A person's newest deliveries come first, so that the search ends at once. Only the
# openid has an index: the msgid changes, and an index on it would slow sending down.
# `NOT (openid = '')` is spelled as in the index: SQLite recognises nothing else.
_DUE = """
    SELECT e.id, e.event, e.openid, e.msgid, e.outcome, e.created_at, e.received_at,
        e.template_id
    FROM sends_inboundevent AS e
    WHERE e.channel_id = %s AND e.status = 0 AND e.try_at <= %s
    ORDER BY e.try_at LIMIT %s
"""
_NEWEST = """
    FROM sends_delivery AS d
    WHERE d.openid = e.openid AND NOT (d.openid = '')
        AND d.channel_id = %s AND d.wechat_msgid = e.msgid
    ORDER BY d.id DESC LIMIT 1
"""
_POSTGRESQL = f"""
    SELECT e.*, d.* FROM ({_DUE} FOR UPDATE SKIP LOCKED) AS e
    LEFT JOIN LATERAL (SELECT d.id, d.send_id, d.status {_NEWEST}) AS d ON TRUE
"""
_SQLITE = f"""
    SELECT e.id, e.event, e.openid, e.msgid, e.outcome, e.created_at, e.received_at,
        e.template_id, d.id, d.send_id, d.status
    FROM (SELECT e.*, (SELECT d.id {_NEWEST}) AS delivery_id FROM ({_DUE}) AS e) AS e
    LEFT JOIN sends_delivery AS d ON d.id = e.delivery_id
"""


# `ON CONFLICT` names the key: SQLite's OR IGNORE would swallow other faults as well.
_COLUMNS = """channel_id, key, event, openid, template_id, msgid, outcome, payload,
    created_at, status, received_at, try_at"""
_KEEP = f"""
    INSERT INTO sends_inboundevent ({_COLUMNS}) {{rows}}
    ON CONFLICT (channel_id, key) DO NOTHING
"""
_KEEP_POSTGRESQL = _KEEP.format(
    rows="""SELECT r.*, %s, %s FROM unnest(%s::bigint[], %s::text[], %s::text[],
        %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[],
        %s::timestamptz[], %s::smallint[]) AS r"""
)
_KEEP_SQLITE = _KEEP.format(rows=f"VALUES ({', '.join(['%s'] * 12)})")


class Arrival(NamedTuple):
    """An event to store, in the order of `_COLUMNS`."""

    channel_id: int
    key: str
    event: str
    openid: str
    template_id: str
    msgid: int | None
    outcome: str
    payload: str
    created_at: datetime
    status: int


class Waiting(NamedTuple):
    """An event to apply, and the delivery that has its openid and msgid, if any."""

    id: int
    event: str
    openid: str
    msgid: int | None
    outcome: str
    created_at: datetime
    received_at: datetime
    template_id: str  # of subscribe-notifications, else ""
    delivery_id: int | None
    send_id: int | None
    status: int | None


class Change(NamedTuple):
    """A delivery that an event changes, if its status is still `before`."""

    id: int
    before: int
    status: int
    msgid: int | None
    error: str
    event_id: int


def keep(arrivals: Sequence[Arrival], at: datetime) -> None:
    """Store events received at `at`, to be applied from then on; those that are there
    already stay as they are. All of them are committed when this returns."""
    if not arrivals:
        return
    if is_postgresql():
        columns = [list(column) for column in zip(*arrivals, strict=True)]
        with connection.cursor() as cursor:
            cursor.execute(_KEEP_POSTGRESQL, [at, at, *columns])
        return
    received = stamp(at)
    rows = [
        (*arrival[:8], stamp(arrival.created_at), arrival.status, received, received)
        for arrival in arrivals
    ]
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.executemany(_KEEP_SQLITE, rows)


def take(channel_pk: int, at: datetime, limit: int) -> list[Waiting]:
    """Lock and return at most `limit` events that are due, the longest due first.

    Events that another worker has locked are left to it. Call it in a transaction.
    """
    due = [channel_pk, stamp(at), limit]
    with connection.cursor() as cursor:
        if is_postgresql():
            cursor.execute(_POSTGRESQL, [*due, channel_pk])
            return [Waiting(*row) for row in cursor.fetchall()]
        cursor.execute(_SQLITE, [channel_pk, *due])
        rows = [list(row) for row in cursor.fetchall()]
    for row in rows:
        row[5:7] = _aware(row[5]), _aware(row[6])
    return [Waiting(*row) for row in rows]


def write(changes: Sequence[Change]) -> set[int]:
    """Write receipts to deliveries in one statement; return the ids really changed."""
    if not changes:
        return set()
    if is_postgresql():
        source = """unnest(%s::bigint[], %s::smallint[], %s::smallint[], %s::bigint[],
            %s::text[], %s::bigint[])
            AS r (id, before, status, msgid, error, event_id)"""
        ids, before, statuses, msgids, errors, events = zip(*changes, strict=True)
        parameters: list[Any] = [numbers(ids), numbers(before), numbers(statuses)]
        parameters += [
            numbers(msgids),
            # `unnest` fills up with NULL.
            list(errors) if any(errors) else None,
            numbers(events),
        ]
    else:
        source = """(SELECT value ->> 0 AS id, value ->> 1 AS before,
            value ->> 2 AS status, value ->> 3 AS msgid, value ->> 4 AS error,
            value ->> 5 AS event_id FROM json_each(%s)) AS r"""
        parameters = [json.dumps(changes)]
    sql = f"""
        UPDATE sends_delivery SET status = r.status, receipt_at = e.received_at,
            error = coalesce(r.error, ''), errcode = NULL,
            wechat_msgid = coalesce(sends_delivery.wechat_msgid, r.msgid),
            sent_at = coalesce(sends_delivery.sent_at, sends_delivery.doubt_since)
        FROM {source} JOIN sends_inboundevent AS e ON e.id = r.event_id
        WHERE sends_delivery.id = r.id AND sends_delivery.status = r.before
        RETURNING sends_delivery.id
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return {id_ for (id_,) in cursor.fetchall()}


def mark_applied(event_ids: Collection[int], at: datetime) -> None:
    """Mark events as applied, in one statement."""
    if not event_ids:
        return
    chosen = sorted(event_ids)
    if is_postgresql():
        among, given = "= ANY(%s::bigint[])", numbers(chosen)
    else:
        among, given = "IN (SELECT value FROM json_each(%s))", json.dumps(chosen)
    sql = f"""
        UPDATE sends_inboundevent SET status = 1, applied_at = %s WHERE id {among}
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [stamp(at), given])


def _aware(value: Any) -> datetime:
    """Read a time as SQLite's driver hands it out: in UTC, naive or as text."""
    moment: datetime = (
        datetime.fromisoformat(value) if isinstance(value, str) else value
    )
    return moment.replace(tzinfo=UTC)
