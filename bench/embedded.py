"""SQLite and the queue folder: what a laptop has without any server."""

from dataclasses import replace

from . import growth, sending
from .measure import Row, Size
from .stage import stage

SHARE = 5  # of the sizes that PostgreSQL gets


def run(size: Size) -> list[Row]:
    with stage(sqlite=True) as it:
        rows = sending.measure(it, size.messages // SHARE, size.rounds, naive_goal=20)
        rows += growth.measure(it, size.messages // SHARE, size.messages, size.rounds)
    return [replace(row, name=f"SQLite: {row.name}") for row in rows]
