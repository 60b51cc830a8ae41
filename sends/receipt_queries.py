"""The bulk SQL of receipts, for PostgreSQL and for SQLite."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import connection

from .querysets import is_postgresql, stamp

# A person's newest deliveries come first, so that the search ends at once. Only the
# openid has an index: the msgid changes, and an index on it would slow sending down.
# `NOT (openid = '')` is spelled as in the index: SQLite recognises nothing else.
_NEWEST = """
    SELECT d.id FROM sends_delivery AS d
    WHERE d.openid = e.openid AND NOT (d.openid = '')
        AND d.channel_id = e.channel_id AND d.wechat_msgid = e.msgid
    ORDER BY d.id DESC LIMIT 1
"""


class Waiting(NamedTuple):
    """An event to apply, and the delivery that has its openid and msgid, if any."""

    id: int
    event: str
    openid: str
    msgid: int | None
    outcome: str
    created_at: datetime
    received_at: datetime
    delivery_id: int | None
    send_id: int | None
    status: int | None


class Change(NamedTuple):
    """A delivery that a receipt changes, if its status is still `before`."""

    id: int
    before: int
    status: int
    msgid: int | None
    receipt_at: datetime
    error: str


def take(channel_pk: int, at: datetime, limit: int) -> list[Waiting]:
    """Lock and return at most `limit` events that are due, the longest due first.

    Events that another worker has locked are left to it. Call it in a transaction.
    """
    lock = "FOR UPDATE SKIP LOCKED" if is_postgresql() else ""
    sql = f"""
        SELECT found.id, found.event, found.openid, found.msgid, found.outcome,
            found.created_at, found.received_at, d.id, d.send_id, d.status
        FROM (
            SELECT e.id, e.event, e.openid, e.msgid, e.outcome, e.created_at,
                e.received_at, ({_NEWEST}) AS delivery_id
            FROM sends_inboundevent AS e
            WHERE e.channel_id = %s AND e.status = 0 AND e.try_at <= %s
            ORDER BY e.try_at LIMIT %s {lock}
        ) AS found LEFT JOIN sends_delivery AS d ON d.id = found.delivery_id
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [channel_pk, stamp(at), limit])
        rows = cursor.fetchall()
    events = [Waiting(*row) for row in rows]
    if is_postgresql():
        return events
    return [
        event._replace(
            created_at=_aware(event.created_at), received_at=_aware(event.received_at)
        )
        for event in events
    ]


def write(changes: Sequence[Change]) -> set[int]:
    """Write receipts to deliveries in one statement; return the ids really changed."""
    if not changes:
        return set()
    if is_postgresql():
        source = """unnest(%s::bigint[], %s::smallint[], %s::smallint[], %s::bigint[],
            %s::timestamptz[], %s::text[])
            AS r (id, before, status, msgid, receipt_at, error)"""
        parameters: list[Any] = [list(column) for column in zip(*changes, strict=True)]
    else:
        source = """(SELECT value ->> 0 AS id, value ->> 1 AS before,
            value ->> 2 AS status, value ->> 3 AS msgid, value ->> 4 AS receipt_at,
            value ->> 5 AS error FROM json_each(%s)) AS r"""
        rows = [
            change._replace(receipt_at=stamp(change.receipt_at)) for change in changes
        ]
        parameters = [json.dumps(rows)]
    sql = f"""
        UPDATE sends_delivery SET status = r.status, receipt_at = r.receipt_at,
            error = r.error, errcode = NULL,
            wechat_msgid = coalesce(sends_delivery.wechat_msgid, r.msgid),
            sent_at = coalesce(sends_delivery.sent_at, sends_delivery.doubt_since)
        FROM {source}
        WHERE sends_delivery.id = r.id AND sends_delivery.status = r.before
        RETURNING sends_delivery.id
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return {id_ for (id_,) in cursor.fetchall()}


def _aware(value: object) -> datetime:
    """Read a time as SQLite's driver hands it out: text in UTC."""
    return datetime.fromisoformat(str(value)).replace(tzinfo=UTC)
