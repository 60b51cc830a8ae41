"""The ledger of acceptances: what happened to each, and what that adds up to.

Entries come from two sources, and each source counts once however often it is noted:

* a popup or a change of settings that WeChat pushed: accepted, or rejected;
* the answer to a message of ours: WeChat took it (one is used), or said that none is
  left (43101).

WeChat pushes late, twice and in any order, so nothing is added to a balance. Whenever
an acceptance gets an entry, all of its entries are folded anew in the order of their
own times: an acceptance is one more, a use one less but never below zero, a rejection
or a 43101 zero. Entries of the same second take the order of AcceptanceEntry.Kind.

Which lock is taken first matters, for receipts and drains do this at once: deliveries,
then acceptances, then sends.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final, NamedTuple

from django.db import connection, transaction

from channels_wechat.models import Channel

from .models import AcceptanceEntry, Delivery
from .querysets import is_postgresql

ERRCODE_NONE_LEFT: Final = 43101
Kind = AcceptanceEntry.Kind
_Status = Delivery.Status


class _Source(NamedTuple):
    """SQL with the columns channel_id, template_id, openid, kind, at, key."""

    select: str
    parameters: list[Any]


# `+ 0`: by their own ids, not by a send's: to that planner a send that has just been
# prepared is a few rows, and each flush would read all of them.
_OF_DELIVERIES: Final = f"""
    SELECT d.channel_id, t.template_id, d.openid,
        CASE d.status WHEN {_Status.REFUSED:d} THEN {Kind.NONE_LEFT:d}
            ELSE {Kind.USED:d} END AS kind,
        coalesce(d.sent_at, d.receipt_at) AS at, 'd' || d.id AS key
    FROM sends_delivery AS d
    JOIN sends_send AS s ON s.id = d.send_id + 0
    JOIN templates_mgmt_template AS t ON t.id = s.template_id AND t.kind = 'subscribe'
    WHERE (d.status IN ({_Status.ACCEPTED:d}, {_Status.DELIVERED:d},
            {_Status.UNDELIVERED:d})
        OR d.status = {_Status.REFUSED:d} AND d.errcode = {ERRCODE_NONE_LEFT})
"""
_OF_EVENTS: Final = f"""
    SELECT e.channel_id, e.template_id, e.openid,
        CASE e.outcome WHEN 'accept' THEN {Kind.ACCEPTED:d}
            ELSE {Kind.REJECTED:d} END AS kind,
        e.created_at AS at, 'e' || e.id AS key
    FROM sends_inboundevent AS e
    WHERE e.outcome IN ('accept', 'reject')
"""
# By the index on the openid alone: a planner without statistics takes the one on
# channel and template for as good, and reads a template's whole ledger for each entry.
_SAME: Final = """a.openid = g.openid AND a.channel_id + 0 = g.channel_id
    AND a.template_id || '' = g.template_id"""
# Entries after the last zero have zeros = 0; `running` is their balance so far. Where
# it fell below zero, it would have stopped there: what is left is that much more.
_FOLD: Final = f"""
    SELECT acceptance_id,
        sum(CASE WHEN kind = {Kind.ACCEPTED:d} THEN 1 ELSE 0 END) AS accepted,
        sum(CASE WHEN kind = {Kind.USED:d} THEN 1 ELSE 0 END) AS used,
        sum(CASE WHEN zeros = 0 THEN delta ELSE 0 END)
            - min(CASE WHEN zeros = 0 AND running < 0 THEN running ELSE 0 END)
            AS "left",
        max(CASE WHEN zeros = 0 AND delta = 1 THEN 1 ELSE 0 END) = 1 AS standing,
        min(CASE WHEN zeros = 0 AND running < 0 THEN 0 ELSE 1 END) = 0 AS overdrawn,
        max(zeros) > 0 AS zeroed,
        max(CASE WHEN kind = {Kind.REJECTED:d} THEN at END) IS NOT NULL
            AND (max(CASE WHEN kind = {Kind.ACCEPTED:d} THEN at END) IS NULL
                OR max(CASE WHEN kind = {Kind.REJECTED:d} THEN at END)
                    >= max(CASE WHEN kind = {Kind.ACCEPTED:d} THEN at END))
            AS rejected,
        max(at) AS last_event_at
    FROM (
        SELECT m.*, sum(delta) OVER (
            PARTITION BY acceptance_id, zeros ORDER BY at, kind) AS running
        FROM (
            SELECT acceptance_id, kind, at,
                CASE kind WHEN {Kind.ACCEPTED:d} THEN 1 WHEN {Kind.USED:d} THEN -1
                    ELSE 0 END AS delta,
                sum(CASE WHEN kind >= {Kind.REJECTED:d} THEN 1 ELSE 0 END) OVER (
                    PARTITION BY acceptance_id ORDER BY at DESC, kind DESC) AS zeros
            FROM sends_acceptanceentry AS e WHERE {{chosen}}
        ) AS m
    ) AS marked
    GROUP BY acceptance_id
"""
_COLUMNS: Final = (
    "accepted",
    "used",
    "left",
    "standing",
    "overdrawn",
    "zeroed",
    "rejected",
    "last_event_at",
)


def note(deliveries: Collection[int] = (), events: Collection[int] = ()) -> int:
    """Note what WeChat's answers to these deliveries, and these popups and changes,
    say; return how many entries are new.

    Other deliveries than those of subscribe-notifications say nothing. Call it once in
    a transaction, the one that wrote the answers: two calls could lock against another
    worker's two.
    """
    sources = []
    if deliveries:
        among = f"{_OF_DELIVERIES} AND d.id {_among()}"
        sources.append(_Source(among, [_ids(deliveries)]))
    if events:
        among = f"{_OF_EVENTS} AND e.id {_among()}"
        sources.append(_Source(among, [_ids(events)]))
    if not sources:
        return 0
    select = " UNION ALL ".join(source.select for source in sources)
    return _note(_Source(select, [p for source in sources for p in source.parameters]))


def _note(source: _Source) -> int:
    """Add the source's entries that are not there yet, and fold what they touch."""
    given = f"FROM ({source.select}) AS g"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO sends_acceptance (channel_id, template_id, openid, accepted,
                used, "left", standing, overdrawn, zeroed, rejected)
            SELECT DISTINCT g.channel_id, g.template_id, g.openid, 0,
                0, 0, FALSE, FALSE, FALSE, FALSE
            {given} WHERE NOT EXISTS (SELECT 1 FROM sends_acceptance a WHERE {_SAME})
            ORDER BY g.channel_id, g.template_id, g.openid
            ON CONFLICT DO NOTHING
            """,
            source.parameters,
        )
        if is_postgresql():
            # In one order everywhere. Whoever waits here folds with the entries of
            # whoever was first: each statement sees what was committed before it.
            cursor.execute(
                f"SELECT a.id FROM sends_acceptance AS a WHERE a.id IN (SELECT a.id"
                f" {given} JOIN sends_acceptance AS a ON {_SAME})"
                f" ORDER BY a.id FOR UPDATE",
                source.parameters,
            )
        cursor.execute(
            f"""
            INSERT INTO sends_acceptanceentry (acceptance_id, kind, at, key)
            SELECT a.id, g.kind, g.at, g.key {given}
            JOIN sends_acceptance AS a ON {_SAME} WHERE TRUE
            ON CONFLICT DO NOTHING RETURNING acceptance_id
            """,
            source.parameters,
        )
        added = [id_ for (id_,) in cursor.fetchall()]
        fold(set(added))
    return len(added)


def fold(acceptance_ids: Collection[int]) -> None:
    """Count these acceptances anew from their entries, in one statement."""
    if acceptance_ids:
        chosen = f"e.acceptance_id {_among()}"
        with connection.cursor() as cursor:
            cursor.execute(_update(chosen), [_ids(acceptance_ids)])


def _update(chosen: str) -> str:
    values = ", ".join(f'"{name}" = f."{name}"' for name in _COLUMNS)
    return f"""
        UPDATE sends_acceptance SET {values} FROM ({_FOLD.format(chosen=chosen)}) AS f
        WHERE sends_acceptance.id = f.acceptance_id
    """


# -- counting again --------------------------------------------------------------------


class Drift(NamedTuple):
    """How far a channel's ledger is from what it should be: always a bug of ours.

    `missing` answers have no entry; `wrong` acceptances are not what theirs add up to.
    """

    missing: int
    wrong: int


def recount(channel: Channel, *, fix: bool) -> Drift:
    """Count every acceptance of a channel again and return what differed."""
    of_channel = """e.acceptance_id IN (
        SELECT id FROM sends_acceptance WHERE channel_id = %s)"""
    differs = " OR ".join(
        f'a."{name}" <> f."{name}"' for name in _COLUMNS if name != "last_event_at"
    )
    source = _Source(f"{_OF_DELIVERIES} AND d.channel_id = %s", [channel.pk])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT count(*) FROM ({source.select}) AS g WHERE NOT EXISTS (
                SELECT 1 FROM sends_acceptance AS a
                JOIN sends_acceptanceentry AS e ON e.acceptance_id = a.id
                WHERE {_SAME} AND e.key = g.key)
            """,
            source.parameters,
        )
        (missing,) = cursor.fetchone()
        cursor.execute(
            f"""
            SELECT a.id FROM sends_acceptance AS a
            JOIN ({_FOLD.format(chosen=of_channel)}) AS f ON f.acceptance_id = a.id
            WHERE {differs}
            """,
            [channel.pk],
        )
        wrong = [id_ for (id_,) in cursor.fetchall()]
        if fix:
            _note(source)
            fold(wrong)
    return Drift(missing, len(wrong))


def _among() -> str:
    if is_postgresql():
        return "= ANY(%s)"
    return "IN (SELECT value FROM json_each(%s))"


def _ids(ids: Collection[int]) -> Any:
    return sorted(ids) if is_postgresql() else json.dumps(sorted(ids))
