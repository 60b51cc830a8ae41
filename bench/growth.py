"""Does cost grow in a straight line with the size of a send?"""

import statistics
from typing import Any

from .measure import Row, Size, in_turn, ratio
from .stage import Stage, stage

CONNECTIONS = 256


def run(size: Size) -> list[Row]:
    with stage() as it:
        return measure(it, size.messages, size.large, size.rounds)


def measure(it: Stage, messages: int, large: int, rounds: int) -> list[Row]:
    from . import product

    counts = [messages // 10, messages, large]
    product.make_people(max(counts))
    first = product.make_channel(product.WARM_UP, CONNECTIONS)
    channels = {count: product.make_channel(count, CONNECTIONS) for count in counts}
    memory: dict[int, list[float]] = {count: [] for count in counts}
    stored: dict[int, list[float]] = {count: [] for count in counts}

    def send(count: int) -> float:
        it.start_worker()
        product.send_to_all(first)
        before = product.delivery_bytes()
        rate = count / product.send_to_all(channels[count])
        memory[count].append(it.worker_rss_mb())
        stored[count].append((product.delivery_bytes() - before) / count)
        it.stop_worker()
        return rate

    sides = in_turn(
        rounds,
        "messages/s",
        {
            "tenth": lambda: send(counts[0]),
            "send": lambda: send(messages),
            "large": lambda: send(large),
        },
    )
    table: list[dict[str, Any]] = [
        {
            "messages": count,
            "seconds": round(count / statistics.median(sides[name]), 2),
            "messages/s": round(statistics.median(sides[name])),
            "worker MB": round(statistics.median(memory[count]), 1),
            "database bytes a delivery": round(statistics.median(stored[count])),
        }
        for name, count in zip(sides, counts, strict=True)
    ]
    growth = statistics.median(memory[large]) - statistics.median(memory[messages])
    return [
        Row(
            f"a send of {large:,} / one of {messages:,}",
            ratio(sides, "large", "send"),
            0.9,
            "at least",
            sides,
            "messages/s",
            {"table": table},
        ),
        Row(
            f"worker memory a send of {large:,} adds",
            growth,
            64,
            "at most",
            {"send": memory[messages], "large": memory[large]},
            "MB",
        ),
    ]
