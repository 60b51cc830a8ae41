"""What all rows of the benchmark share: sizes, rounds, figures, progress."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Sides = dict[str, list[float]]


@dataclass(frozen=True)
class Size:
    """How much work the rows do."""

    messages: int = 100_000  # of a send
    large: int = 1_000_000  # of a large one
    deliveries: int = 1_000_000  # in the database, for the console's pages
    callbacks: int = 30_000
    rounds: int = 3


FULL = Size()
BIG = Size(deliveries=10_000_000)
# To see whether a change helps; figures for the page are of full size.
QUICK = Size(10_000, 200_000, 100_000, 5_000, 2)
SIZES = {"full": FULL, "big": BIG, "quick": QUICK}


@dataclass
class Row:
    """One line of the result: a figure, what it must be, and what it is made of."""

    name: str
    figure: float
    goal: float
    better: Literal["at least", "at most"]
    sides: Sides = field(default_factory=dict)
    unit: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_reached(self) -> bool:
        if self.better == "at least":
            return self.figure >= self.goal
        return self.figure <= self.goal

    def as_json(self) -> dict[str, Any]:
        return {
            "row": self.name,
            "figure": round(self.figure, 2),
            "goal": f"{self.better} {self.goal:g}",
            "reached": self.is_reached,
            "unit": self.unit,
            "rounds": {
                name: [round(value, 6 if value < 1 else 1) for value in values]
                for name, values in self.sides.items()
            },
            **({"notes": self.notes} if self.notes else {}),
        }


def in_turn(
    rounds: int, unit: str, sides: Mapping[str, Callable[[], float]]
) -> dict[str, list[float]]:
    """Run the sides one after the other, round by round; return what each gave."""
    found: Sides = {name: [] for name in sides}
    for number in range(rounds):
        for name, run in sides.items():
            value = run()
            found[name].append(value)
            shown = f"{value:,.0f}" if value >= 100 else f"{value:.4g}"
            say(f"  round {number + 1} of {rounds}  {name:14} {shown:>10} {unit}")
    return found


def ratio(sides: Sides, ours: str, theirs: str) -> float:
    """Return the median of ours as a multiple of the median of theirs."""
    return statistics.median(sides[ours]) / statistics.median(sides[theirs])


def seconds_of(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
