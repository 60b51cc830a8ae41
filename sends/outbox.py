"""Which changes of a delivery become status callbacks: rows written with the change.

Each function is called inside the transaction that changes the deliveries and costs one
question; only sends whose business channel listens cost an INSERT … SELECT more. What
the types mean: chapter "Status callbacks" of docs/api.md.
"""

import json
import time
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from . import audience
from .models import Chunk, Delivery, Send
from .querysets import is_postgresql, stamp
from .waking import wake

ONE_POST: Final = 100  # items
WAIT_S: Final = 10

# Our own codes inside `error`, where WeChat gives none. Stable: clients branch on them.
NO_CODE: Final = 9000
OUTCOME_UNKNOWN: Final = 9100
NOT_RETRACTED: Final = 9300
REJECTED: Final = 9400
SKIPPED: Final = {
    Delivery.Reason.NO_RECIPIENT: 9001,
    Delivery.Reason.NO_OPENID: 9002,
    Delivery.Reason.DUPLICATE: 9003,
    Delivery.Reason.FOREIGN_OPENID: 9004,
    Delivery.Reason.BAD_VALUE: 9005,
    Delivery.Reason.BLACKLISTED: 9006,
    Delivery.Reason.NOT_LISTED: 9007,
    Delivery.Reason.CAPPED: 9008,
    Delivery.Reason.NO_ACCEPTANCE: 9009,
}
RECEIPTS: Final = {"user block": 9201, "system failed": 9202}
OTHER_RECEIPT: Final = 9200

Status = Delivery.Status
TYPE_OF: Final = {
    Status.WAITING: 0,
    Status.SKIPPED: 1,
    Status.ACCEPTED: 2,
    Status.REFUSED: 3,
    Status.UNKNOWN: 3,
    Status.DELIVERED: 4,
    Status.UNDELIVERED: 5,
    Status.CANCELED: 7,
}


def _case(what: str, of: dict[Any, int], otherwise: str) -> str:
    cases = " ".join(
        f"WHEN {key if isinstance(key, int) else repr(str(key))} THEN {value}"
        for key, value in of.items()
    )
    return f"CASE {what} {cases} ELSE {otherwise} END"


_TYPE = _case("d.status", {int(k): v for k, v in TYPE_OF.items()}, "NULL")
_ERROR_CODE = f"""
    CASE d.status
        WHEN {Status.SKIPPED:d} THEN {_case("d.reason", SKIPPED, str(NO_CODE))}
        WHEN {Status.REFUSED:d} THEN coalesce(d.errcode, {NO_CODE})
        WHEN {Status.UNKNOWN:d} THEN {OUTCOME_UNKNOWN}
        WHEN {Status.UNDELIVERED:d}
            THEN {_case("trim(d.error)", RECEIPTS, str(OTHER_RECEIPT))}
    END
"""
_NOT_RETRACTED: Final = {"type_": "8", "error_code": str(NOT_RETRACTED)}
_ROUTES = """
    SELECT s.id, u.id, u.types
    FROM sends_send AS s
    LEFT JOIN sends_send AS head ON head.id = s.part_of_id
    JOIN channels_wechat_businesschannel AS b ON b.id = s.business_channel_id
    JOIN sends_callbackurl AS u ON u.business_channel_id = b.id
    WHERE s.id {among} AND b.callbacks_enabled AND u.verified_at IS NOT NULL AND (
        u.url = coalesce(nullif(s.callback_url, ''), head.callback_url)
        OR coalesce(nullif(s.callback_url, ''), head.callback_url, '') = ''
            AND u."default"
    )
"""


class _Route(NamedTuple):
    """Who hears of a send. `types` has a bit for each type."""

    send_id: int
    url_id: int
    types: int


def prepared(send_id: int) -> int:
    """Tell who is a valid target (0) and who is not, and why (1); return how many."""
    return _write([send_id], "d.send_id = %s", [send_id], stamp(timezone.now()))


def sent(send_ids: Collection[int], delivery_ids: Sequence[int], at: datetime) -> int:
    """Tell what WeChat answered (2, 3) to the calls recorded at exactly `at`."""
    condition = f"""d.id {_among()} AND d.sent_at = %s AND d.status
        IN ({Status.ACCEPTED:d}, {Status.REFUSED:d}, {Status.UNKNOWN:d})"""
    chosen = [_ids(delivery_ids), stamp(at)]
    count = _write(send_ids, condition, chosen, stamp(at))
    retracted = Send.objects.filter(pk__in=send_ids, retracted_at__isnull=False)
    if count and (late := list(retracted.values_list("pk", flat=True))):
        # It was on its way to WeChat when somebody wanted it back.
        condition += f" AND d.status <> {Status.REFUSED:d}"
        count += _write(late, condition, chosen, stamp(at), **_NOT_RETRACTED)
    return count


def received(send_ids: Collection[int], delivery_ids: Collection[int]) -> int:
    """Tell what receipts said (4, 5) that were just written."""
    condition = f"d.id {_among()}"
    return _write(send_ids, condition, [_ids(delivery_ids)], None)


def settled(chunk: Chunk) -> int:
    """Tell which rows of a canceled send's chunk were taken out (7, or 3 in doubt)."""
    condition = f"""d.send_id = %s AND d.id BETWEEN %s AND %s AND (
        d.status = {Status.CANCELED:d}
        OR d.status = {Status.UNKNOWN:d} AND d.sent_at IS NULL)"""
    chosen = [chunk.send_id, chunk.first_id, chunk.last_id]
    return _write([chunk.send_id], condition, chosen, stamp(timezone.now()))


def never_prepared(
    send: Send, type_: int, error_code: int | None = None, error: str = ""
) -> int:
    """Tell those of a send's audience who will never have a row what became of them;
    return how many. Whoever could not be sent to anyway is told why (1)."""
    if send.prepared_at is not None or send.step:  # a step's people are not known yet
        return 0
    lines, count = audience.source(send), 0
    sql = f"""
        INSERT INTO sends_statuscallback (url_id, send_id, delivery_id, type, userid,
            openid, at, error_code, error)
        SELECT %s, %s, 0, type, userid, openid, %s,
            CASE WHEN reason = '' THEN %s ELSE {_case("reason", SKIPPED, str(NO_CODE))}
                END,
            CASE WHEN reason = '' THEN %s ELSE '' END
        FROM (
            SELECT id, userid, openid, reason,
                CASE WHEN reason = '' THEN %s ELSE 1 END AS type
            FROM ({lines.select}) AS line WHERE id > %s
        ) AS audience
        WHERE (%s >> type) & 1 = 1 ORDER BY id
    """
    for route in _routes([send.pk]):
        parameters = [
            *(route.url_id, send.pk, stamp(timezone.now()), error_code, error, type_),
            *lines.parameters,
            *(send.prepare_cursor, route.types),
        ]
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            told = int(cursor.rowcount)
        if told:
            _ring([route.url_id], at_once=told >= ONE_POST)
        count += told
    return count


def not_retracted(send_ids: Collection[int]) -> int:
    """Tell that what has left cannot be taken back (8), of every delivery that has.

    For a retraction that was asked for; call it in a transaction, once.
    """
    condition = f"""d.send_id {_among()} AND d.status IN (
        {Status.ACCEPTED:d}, {Status.DELIVERED:d}, {Status.UNDELIVERED:d},
        {Status.UNKNOWN:d})"""
    return _write(
        send_ids,
        condition,
        [_ids(send_ids)],
        stamp(timezone.now()),
        **_NOT_RETRACTED,
    )


def clicked(delivery: Delivery) -> int:
    """Tell that a delivery's link was opened (6)."""
    return _write(
        [delivery.send_id],
        "d.id = %s",
        [delivery.pk],
        stamp(timezone.now()),
        type_="6",
        error_code="CAST(NULL AS integer)",
    )


def _write(
    send_ids: Collection[int],
    condition: str,
    chosen: list[Any],
    at: Any,  # None: the time of the receipt
    *,
    type_: str = _TYPE,
    error_code: str = _ERROR_CODE,
) -> int:
    routes = _routes(send_ids)
    if not routes:
        return 0
    sql = f"""
        INSERT INTO sends_statuscallback (url_id, send_id, delivery_id, type, userid,
            openid, at, error_code, error)
        SELECT r.url_id, d.send_id, d.id, d.type, d.userid, d.openid, d.at,
            d.error_code, CASE WHEN d.error_code IS NULL THEN '' ELSE d.error END
        FROM (
            SELECT d.id, d.send_id, d.userid, d.openid, d.error,
                {"d.receipt_at" if at is None else "%s"} AS at, {type_} AS type,
                {error_code} AS error_code
            FROM sends_delivery AS d WHERE {condition}
        ) AS d
        JOIN {_table()} ON r.send_id = d.send_id
        WHERE d.type IS NOT NULL AND ((r.types >> d.type) & 1) = 1 ORDER BY d.id
    """
    if is_postgresql():
        listed: list[Any] = [list(column) for column in zip(*routes, strict=True)]
    else:
        listed = [json.dumps(routes)]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*([] if at is None else [at]), *chosen, *listed])
        count = int(cursor.rowcount)
    if count:
        _ring(sorted({route.url_id for route in routes}), at_once=count >= ONE_POST)
    return count


def _routes(send_ids: Collection[int]) -> list[_Route]:
    """Return who hears of these sends; nobody of most.

    The URLs found stay until the commit: items must not name one that is gone.
    """
    if not send_ids:
        return []
    sql = _ROUTES.format(among=_among())
    if is_postgresql():
        sql += " FOR KEY SHARE OF u"
    with connection.cursor() as cursor:
        cursor.execute(sql, [_ids(send_ids)])
        found = cursor.fetchall()
    routes = []
    for send_id, url_id, types in found:
        listed = json.loads(types) if isinstance(types, str) else types
        routes.append(_Route(send_id, url_id, sum(1 << type_ for type_ in listed)))
    return [route for route in routes if route.types]


def _among() -> str:
    if is_postgresql():
        return "= ANY(%s)"
    return "IN (SELECT value FROM json_each(%s))"


def _ids(ids: Collection[int]) -> Any:
    return sorted(ids) if is_postgresql() else json.dumps(sorted(ids))


def _table() -> str:
    if is_postgresql():
        return """unnest(%s::bigint[], %s::bigint[], %s::integer[])
            AS r (send_id, url_id, types)"""
    return """(SELECT value ->> 0 AS send_id, value ->> 1 AS url_id,
        value ->> 2 AS types FROM json_each(%s)) AS r"""


# url -> until when (monotonic) a call of this process is under way to it.
_planned: dict[int, float] = {}


def _ring(url_ids: Sequence[int], *, at_once: bool) -> None:
    """Have the URLs told after the commit: now, or when few items waited a little."""
    for url_id in url_ids:
        transaction.on_commit(
            partial(wake, "tell_statuses", url_id)
            if at_once
            else partial(ring_later, url_id, WAIT_S)
        )


def ring_later(url_id: int, delay_s: int) -> None:
    """Have a URL told in so many seconds, unless a call is on its way already: it
    rings again for what it leaves."""
    now = time.monotonic()
    if now >= _planned.get(url_id, 0):
        _planned[url_id] = now + delay_s
        wake("tell_statuses", url_id, delay_s=delay_s)
