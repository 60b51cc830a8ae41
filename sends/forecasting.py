"""How many people a subscribe-notification would reach: today, and day by day."""

from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection
from django.db.models import Count, Q
from django.utils import timezone

from templates_mgmt.models import Template

from .models import Acceptance, AcceptanceEntry
from .querysets import is_postgresql, stamp

DAYS: Final = 30
Kind = AcceptanceEntry.Kind


class Reach(NamedTuple):
    """People by what we know of their acceptances of one template."""

    reachable: int
    used_up: int
    never_accepted: int  # WeChat refused a message to them
    rejected: int


class Day(NamedTuple):
    """How many people could be reached when a day ended (today: now)."""

    day: date
    reachable: int


def reach(template: Template) -> Reach:
    """Count the people of a template's ledger in one query."""
    may = Q(standing=True) if template.long_term else Q(left__gt=0)
    others = {
        "n_rejected": Q(rejected=True),
        "n_used_up": Q(rejected=False, accepted__gt=0),
        "n_never": Q(rejected=False, accepted=0),
    }
    counted = Acceptance.objects.of(template).aggregate(
        n_reachable=Count("pk", filter=may),
        **{name: Count("pk", filter=~may & which) for name, which in others.items()},
    )
    names = ("n_reachable", "n_used_up", "n_never", "n_rejected")
    return Reach(*(counted[name] for name in names))


def growth(template: Template, now: datetime | None = None) -> list[Day]:
    """Return how many could be reached at the end of each of the last 30 days.

    In one statement over the template's entries: each one that let a person in or out
    counts on its own day, however late we heard of it.
    """
    now = timezone.localtime(now)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - timedelta(days=DAYS - 1)
    if is_postgresql():
        number = "floor(extract(epoch FROM (at - %s)) / 86400)::integer"
    else:
        number = "CAST(julianday(at) - julianday(%s) AS integer)"
    may = "kept > 0" if template.long_term else "running > least_running"
    sql = f"""
        SELECT n, sum(change) FROM (
            SELECT CASE WHEN at < %s THEN -1 ELSE {number} END AS n,
                may - lag(may, 1, 0) OVER (
                    PARTITION BY acceptance_id ORDER BY at, kind) AS change
            FROM (
                SELECT acceptance_id, at, kind,
                    CASE WHEN {may} THEN 1 ELSE 0 END AS may
                FROM (
                    SELECT s.*, CASE WHEN low < 0 THEN low ELSE 0 END AS least_running
                    FROM (
                        SELECT r.*, min(running) OVER (
                            PARTITION BY acceptance_id, part ORDER BY at, kind) AS low
                        FROM (
                            SELECT p.*,
                                sum(delta) OVER (PARTITION BY acceptance_id, part
                                    ORDER BY at, kind) AS running,
                                sum(CASE WHEN delta = 1 THEN 1 ELSE 0 END) OVER (
                                    PARTITION BY acceptance_id, part
                                    ORDER BY at, kind) AS kept
                            FROM ({_PARTS}) AS p
                        ) AS r
                    ) AS s
                ) AS t
            ) AS u
        ) AS changes WHERE change <> 0 GROUP BY n
    """
    since = stamp(first)
    with connection.cursor() as cursor:
        cursor.execute(sql, [since, since, template.channel_id, template.template_id])
        changes = {int(n): int(change) for n, change in cursor.fetchall()}
    days, reachable = [], changes.get(-1, 0)
    for number_ in range(DAYS):
        reachable += changes.get(number_, 0)
        days.append(Day((first + timedelta(days=number_)).date(), reachable))
    return days


# The entries of one template; `part` grows with each zero.
_PARTS: Final = f"""
    SELECT e.acceptance_id, e.at, e.kind,
        CASE e.kind WHEN {Kind.ACCEPTED:d} THEN 1 WHEN {Kind.USED:d} THEN -1 ELSE 0
            END AS delta,
        sum(CASE WHEN e.kind >= {Kind.REJECTED:d} THEN 1 ELSE 0 END) OVER (
            PARTITION BY e.acceptance_id ORDER BY e.at, e.kind) AS part
    FROM sends_acceptanceentry AS e
    WHERE e.acceptance_id IN (SELECT a.id FROM sends_acceptance AS a
        WHERE a.channel_id = %s AND a.template_id = %s)
"""
