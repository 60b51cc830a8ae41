"""Every question and every bulk change about many sends, chunks and deliveries.

The bulk changes are one statement each, written for PostgreSQL and for SQLite. Each one
returns what it really changed, because the counters on Send are moved by exactly that.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from django.db import connection, models
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

if TYPE_CHECKING:
    from .models import (  # noqa: F401  # named in quotes below
        Chunk,
        Delivery,
        InboundEvent,
        Send,
    )

WAITING, SENDING, UNKNOWN, SKIPPED, CANCELED = 0, 1, 6, 7, 8  # of Delivery.Status
ROWS_A_CHUNK = 1000
# So many are cut into chunks in one statement.
ROWS_A_CUT = 50_000
# When chunks are due that wait for the canary: not by themselves.
HELD = datetime(2999, 1, 1, tzinfo=UTC)
COUNTERS = (
    "waiting",
    "sending",
    "accepted",
    "delivered",
    "undelivered",
    "refused",
    "unknown",
    "skipped",
    "canceled",
)

# (send id, Delivery.Status before, after) -> how many rows
Moves = Counter[tuple[int, int | None, int]]


class Result(NamedTuple):
    """What became of one call, ready to be written."""

    id: int
    status: int
    msgid: int | None = None
    errcode: int | None = None
    error: str = ""
    doubt_since: datetime | None = None


class Row(NamedTuple):
    """A claimed delivery, as much as its message needs."""

    id: int
    userid: str
    openid: str
    variables: dict[str, str] | None
    doubt_since: datetime | None

    @classmethod
    def read(
        cls, id_: int, userid: str, openid: str, variables: Any, doubt_since: Any
    ) -> Self:
        """Build a row from what the drivers hand to raw SQL: JSON may be text, and
        SQLite's times know no zone (they are UTC)."""
        if variables is None is doubt_since:
            return cls(id_, userid, openid, None, None)  # as nearly all are
        if isinstance(variables, str):
            variables = json.loads(variables)
        if isinstance(doubt_since, str):
            doubt_since = datetime.fromisoformat(doubt_since)
        if doubt_since is not None and timezone.is_naive(doubt_since):
            doubt_since = doubt_since.replace(tzinfo=UTC)
        return cls(id_, userid, openid, variables, doubt_since)

    def names(self) -> dict[str, str]:
        """Return what a placeholder may name: the file's columns win."""
        known = {"userid": self.userid, "openid": self.openid}
        return known | self.variables if self.variables else known


@dataclass(frozen=True)
class Drift:
    """A counter that differs from the rows: always a bug of ours."""

    send_id: int
    status: str
    counted: int
    rows: int


def set_for_now(setting: str) -> None:
    """Have PostgreSQL do so in this transaction."""
    if is_postgresql():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL {setting}")


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"


def stamp(moment: datetime | None) -> Any:
    """Return `moment` as this database stores it, for use inside a JSON parameter."""
    return connection.ops.adapt_datetimefield_value(moment) if moment else None


def numbers(column: Collection[int | None]) -> str:
    """Return numbers as PostgreSQL writes an array: the driver takes ten times as long
    over a list, and PostgreSQL long over what the driver makes of it."""
    if None not in column:
        return "{" + ",".join(map(str, map(int, column))) + "}"  # type: ignore[arg-type]
    return "{" + ",".join(["NULL" if n is None else f"{n:d}" for n in column]) + "}"


class SendQuerySet(models.QuerySet["Send"]):
    def family(self, send: Send) -> Self:
        """All sends of the request that `send` is of, itself among them."""
        head = send.part_of_id or send.pk
        return self.filter(Q(pk=head) | Q(part_of=head))

    def running(self) -> Self:
        return self.filter(status="running")

    def due(self, at: datetime | None = None) -> Self:
        """Scheduled sends whose time has come."""
        return self.filter(status="scheduled", scheduled_for__lte=at or timezone.now())

    def resumable(self, at: datetime | None = None) -> Self:
        """Paused sends that go on by themselves now: their quota started anew."""
        return self.filter(status="paused", resume_at__lte=at or timezone.now())

    def half_prepared(self) -> Self:
        """Sends to prepare: none or only some of their deliveries may leave so far."""
        return self.filter(status__in=["preparing", "running"], prepared_at=None)

    def unprepared(self, at: datetime | None = None) -> Self:
        """Sends to prepare that nobody is preparing."""
        return self.half_prepared().filter(
            Q(prepare_lease_until__isnull=True)
            | Q(prepare_lease_until__lt=at or timezone.now())
        )

    def ahead(self, channel_id: int, kind: str) -> int:
        """How many messages of a channel and kind have to leave: those of sends that
        run, or pause until the quota starts anew."""
        going = Q(status__in=["preparing", "running"]) | Q(
            status="paused", resume_at__isnull=False
        )
        found = self.filter(going, channel=channel_id, template__kind=kind)
        left = models.Sum(F("n_waiting") + F("n_sending"), default=0)
        return int(found.aggregate(left=left)["left"])

    def unsettled(self) -> Self:
        """Canceled sends with rows that still wait."""
        return self.filter(status="canceled", n_waiting__gt=0)

    def move(self, moves: Moves) -> None:
        """Move the counters by what was really changed, one UPDATE a send."""
        changes: dict[int, Counter[str]] = {}
        for (send_id, before, after), rows in moves.items():
            change = changes.setdefault(send_id, Counter())
            if before is not None:
                change[f"n_{COUNTERS[before]}"] -= rows
            change[f"n_{COUNTERS[after]}"] += rows
        # In one order everywhere, so that two writers cannot wait for each other.
        for send_id in sorted(changes):
            change = changes[send_id]
            fields = {name: F(name) + by for name, by in change.items() if by}
            if fields:
                self.filter(pk=send_id).update(**fields)

    def finish(self, send_ids: Iterable[int]) -> int:
        """Mark running sends finished that have nothing left to send."""
        return self.filter(
            pk__in=list(send_ids),
            status="running",
            prepared_at__isnull=False,
            n_waiting=0,
            n_sending=0,
        ).update(status="finished", finished_at=timezone.now())

    def drift(self) -> list[Drift]:
        """Re-count the rows of these sends and return each counter that is wrong."""
        from .models import Delivery

        rows: dict[int, Counter[int]] = {}
        for send_id, status, count in (
            Delivery.objects.filter(send__in=self)
            .values_list("send_id", "status")
            .annotate(count=models.Count("id"))
        ):
            rows.setdefault(send_id, Counter())[status] = count
        return [
            Drift(send.pk, name, getattr(send, f"n_{name}"), counted)
            for send in self
            if send.archived_at is None  # it has no rows any more, or not all of them
            for status, name in enumerate(COUNTERS)
            if (counted := rows.get(send.pk, Counter())[status])
            != getattr(send, f"n_{name}")
        ]


class ChunkQuerySet(models.QuerySet["Chunk"]):
    def waiting(self) -> Self:
        return self.filter(state=0)

    def due(self, at: datetime) -> Self:
        """Chunks with rows to send now, the longest due first (index chunk_open)."""
        return self.filter(state=0, due_at__lte=at).order_by("due_at")

    def orphaned(self, fence: int) -> Self:
        """Chunks that a drain before `fence` claimed and never wrote back."""
        return self.filter(state=1, fence__lt=fence)

    def cut(self, send_id: int, due_at: datetime, first: int = 0) -> int:
        """Cut the next of a send's waiting deliveries, ROWS_A_CUT at most, into chunks;
        return how many, 0 when each is in one. Call it in a transaction.

        With `first`, one chunk of so many rows is due; the others are held until
        `release`.
        """
        last = self.filter(send=send_id).order_by("-first_id").first()
        if last is not None and first:
            due_at, first = HELD, 0
        due, moments = "%s", [stamp(due_at)]
        if first:
            moments.append(stamp(HELD))
            due = "CASE WHEN n < 0 THEN %s ELSE %s END"
            if is_postgresql():
                due = f"({due})::timestamptz"
        sql = f"""
            INSERT INTO sends_chunk
                (send_id, first_id, last_id, state, attempts, due_at, fence)
            SELECT %s, min(id), max(id), 0, 0, {due}, 0 FROM (
                SELECT id, CASE WHEN place <= {first:d} THEN -1
                    ELSE (place - {first:d} - 1) / {ROWS_A_CHUNK} END AS n
                FROM (
                    SELECT id, row_number() OVER (ORDER BY id) AS place FROM (
                        SELECT id FROM sends_delivery
                        WHERE send_id = %s AND status = {WAITING} AND id > %s
                        ORDER BY id LIMIT {ROWS_A_CUT}
                    ) AS next_rows
                ) AS placed
            ) AS numbered GROUP BY n
        """
        after = last.last_id if last is not None else 0
        with connection.cursor() as cursor:
            if is_postgresql():
                # It knows nothing yet of rows this new: it would read and sort all of
                # the send's for each cut instead of following the index to the next.
                cursor.execute("SET LOCAL enable_bitmapscan = off")
            cursor.execute(sql, [send_id, *moments, send_id, after])
            cut = int(cursor.rowcount)
            if is_postgresql():
                cursor.execute("RESET enable_bitmapscan")
        return cut

    def release(self, send_id: int, at: datetime) -> int:
        """Let the held chunks of a send go; return how many there were."""
        return self.filter(send=send_id, state=0, due_at=HELD).update(due_at=at)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def of_chunk(self, chunk: Chunk) -> Self:
        return self.filter(
            send_id=chunk.send_id, id__gte=chunk.first_id, id__lte=chunk.last_id
        )

    def claim(self, chunk: Chunk) -> list[Row]:
        """Mark the chunk's waiting rows `sending` and return them."""
        sql = f"""
            UPDATE sends_delivery SET status = {SENDING}
            WHERE send_id = %s AND id BETWEEN %s AND %s AND status = {WAITING}
            RETURNING id, userid, openid, variables, doubt_since
        """
        with connection.cursor() as cursor:
            cursor.execute(sql, [chunk.send_id, chunk.first_id, chunk.last_id])
            rows = cursor.fetchall()
        return [Row.read(*found) for found in rows]

    def release(self, chunk: Chunk, doubt_since: datetime) -> int:
        """Give a dead drain's rows back, in doubt since they were claimed."""
        return (
            self.of_chunk(chunk)
            .filter(status=SENDING)
            .update(
                status=WAITING,
                doubt_since=Coalesce(
                    "doubt_since",
                    models.Value(doubt_since, output_field=models.DateTimeField()),
                ),
            )
        )

    def abandon(self, chunk: Chunk, doubt_since: datetime, at: datetime) -> list[int]:
        """Make the chunk's rows that are under way unknown as of `at`, in doubt since
        their claim; return their ids."""
        sql = f"""
            UPDATE sends_delivery SET status = {UNKNOWN}, sent_at = %s,
                doubt_since = coalesce(doubt_since, %s)
            WHERE send_id = %s AND id BETWEEN %s AND %s AND status = {SENDING}
            RETURNING id
        """
        with connection.cursor() as cursor:
            of_chunk = [chunk.send_id, chunk.first_id, chunk.last_id]
            cursor.execute(sql, [stamp(at), stamp(doubt_since), *of_chunk])
            return [id_ for (id_,) in cursor.fetchall()]

    def record(self, results: Sequence[Result], now: datetime | None = None) -> Moves:
        """Write what became of claimed rows, in one statement; return the moves.

        Only rows that are still `sending` change: a result that comes too late finds
        nothing to write.
        """
        if not results:
            return Counter()
        now = now or timezone.now()
        if is_postgresql():
            # The ids lie together. Not knowing that, PostgreSQL would read a table of
            # some hundred thousand rows from end to end.
            sql = f"""
                WITH written AS (
                    UPDATE sends_delivery AS d SET status = r.status,
                        wechat_msgid = r.msgid, errcode = r.errcode,
                        error = coalesce(r.error, ''), doubt_since = r.doubt_since,
                        sent_at =
                            CASE WHEN r.status = {WAITING} THEN d.sent_at ELSE %s END
                    FROM unnest(%s::bigint[], %s::smallint[], %s::bigint[],
                                %s::integer[], %s::text[], %s::timestamptz[])
                        AS r (id, status, msgid, errcode, error, doubt_since)
                    WHERE d.id = r.id AND d.status = {SENDING}
                        AND d.id BETWEEN %s AND %s
                    RETURNING d.send_id, d.status
                )
                SELECT send_id, status, count(*) FROM written GROUP BY send_id, status
            """
            ids, statuses, msgids, errcodes, errors, doubts = zip(*results, strict=True)
            parameters: list[Any] = [now, numbers(ids), numbers(statuses)]
            # `unnest` fills up with NULL what is empty for everyone, as it mostly is.
            parameters.append(numbers(msgids) if any(msgids) else None)
            parameters.append(numbers(errcodes) if any(errcodes) else None)
            parameters.append(list(errors) if any(errors) else None)
            parameters.append(list(doubts) if any(doubts) else None)
            parameters += [min(ids), max(ids)]
        else:
            sql = f"""
                UPDATE sends_delivery SET status = r.status,
                    wechat_msgid = r.msgid, errcode = r.errcode, error = r.error,
                    doubt_since = r.doubt_since,
                    sent_at = CASE WHEN r.status = {WAITING} THEN sent_at ELSE %s END
                FROM (
                    SELECT value ->> 0 AS id, value ->> 1 AS status,
                        value ->> 2 AS msgid, value ->> 3 AS errcode,
                        value ->> 4 AS error, value ->> 5 AS doubt_since
                    FROM json_each(%s)
                ) AS r
                WHERE sends_delivery.id = r.id AND sends_delivery.status = {SENDING}
                RETURNING send_id, status, 1
            """
            rows = [(*result[:5], stamp(result.doubt_since)) for result in results]
            parameters = [stamp(now), json.dumps(rows)]
        moves: Moves = Counter()
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            for send_id, status, count in cursor.fetchall():
                moves[send_id, SENDING, status] += count
        return moves

    def settle(self, chunk: Chunk) -> Moves:
        """Take a canceled send's waiting rows out: canceled, or unknown if in doubt."""
        sql = f"""
            UPDATE sends_delivery SET status =
                CASE WHEN doubt_since IS NULL THEN {CANCELED} ELSE {UNKNOWN} END
            WHERE send_id = %s AND id BETWEEN %s AND %s AND status = {WAITING}
            RETURNING status
        """
        moves: Moves = Counter()
        with connection.cursor() as cursor:
            cursor.execute(sql, [chunk.send_id, chunk.first_id, chunk.last_id])
            for (status,) in cursor.fetchall():
                moves[chunk.send_id, WAITING, status] += 1
        return moves

    def drop(self, send_id: int, limit: int) -> int:
        """Delete the first `limit` rows of a send; return how many there were."""
        first = "SELECT id FROM sends_delivery WHERE send_id = %s ORDER BY id LIMIT %s"
        with connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM sends_click WHERE delivery_id IN ({first})",
                [send_id, limit],
            )
            cursor.execute(
                f"DELETE FROM sends_delivery WHERE id IN ({first})", [send_id, limit]
            )
            return int(cursor.rowcount)

    def skip_duplicates(self, send_id: int) -> Moves:
        """Skip each openid's second and later rows of a send that is being prepared;
        the first may have been sent."""
        # Mostly nobody comes twice, which counting tells in a sixth of the time. Two
        # openids with the same hash cost the search below, and nothing else.
        openid = "hashtextextended(openid, 0)" if is_postgresql() else "openid"
        twice = f"""
            SELECT count(*) > count(DISTINCT {openid})
            FROM sends_delivery WHERE send_id = %s AND status <> {SKIPPED}
        """
        sql = f"""
            UPDATE sends_delivery SET status = {SKIPPED}, reason = 'duplicate'
            WHERE id IN (
                SELECT id FROM (
                    SELECT id, row_number() OVER (PARTITION BY openid ORDER BY id) AS n
                    FROM sends_delivery WHERE send_id = %s AND status <> {SKIPPED}
                ) AS numbered WHERE n > 1
            ) AND status = {WAITING}
        """
        with connection.cursor() as cursor:
            cursor.execute(twice, [send_id])
            if not cursor.fetchone()[0]:
                return Counter()
            cursor.execute(sql, [send_id])
            return Counter({(send_id, WAITING, SKIPPED): cursor.rowcount})

    def skip_bad_values(self, send_id: int, problems: Mapping[int, str]) -> Moves:
        """Skip rows whose values WeChat would refuse; `problems` says why, by id."""
        moves: Moves = Counter()
        for id_, problem in problems.items():
            moves[send_id, WAITING, SKIPPED] += self.filter(
                pk=id_, status=WAITING
            ).update(status=SKIPPED, reason="bad_value", error=problem[:500])
        return moves


class InboundEventQuerySet(models.QuerySet["InboundEvent"]):
    def waiting(self, at: datetime | None = None) -> Self:
        """Events to apply now (index event_waiting)."""
        return self.filter(status=0, try_at__lte=at or timezone.now())
