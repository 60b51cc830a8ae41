"""A send beside simpler ways to send the same messages."""

from typing import Any

from . import rivals
from .measure import Row, Size, in_turn, ratio
from .stage import Stage, stage

CONNECTIONS = 256
NAIVE_SHARE = 25  # the naive way gets this part of the messages, its rate is steady


def run(size: Size) -> list[Row]:
    with stage() as it:
        return measure(it, size.messages, size.rounds)


def measure(it: Stage, messages: int, rounds: int, naive_goal: float = 40) -> list[Row]:
    from . import product

    product.make_people(messages)
    first = product.make_channel(product.WARM_UP, CONNECTIONS)
    channel = product.make_channel(messages, CONNECTIONS)
    part = max(messages // NAIVE_SHARE, 200)
    notes: dict[str, Any] = {}
    on_postgresql = it.env["DATABASE_URL"].startswith("postgres")

    def ours() -> float:
        before = product.updates() if on_postgresql else (0, 0)
        it.start_worker()
        product.send_to_all(first)  # connections, caches, imports
        before_s = it.worker_cpu_s()
        rate = messages / product.send_to_all(channel)
        cpu_us = 1e6 * (it.worker_cpu_s() - before_s) / messages
        notes.setdefault("worker CPU, us a message", []).append(round(cpu_us, 1))
        it.stop_worker()  # its session tells the statistics when it ends
        if on_postgresql:
            every, hot = (b - a for a, b in zip(before, product.updates(), strict=True))
            notes.setdefault("updates in their page", []).append(round(hot / every, 3))
        return rate

    def bulk() -> float:
        return messages / rivals.bare_bulk(it.far_end, messages, CONNECTIONS)

    def aiohttp() -> float:
        return messages / rivals.bare_aiohttp(it.far_end, messages, CONNECTIONS)

    def naive() -> float:
        it.start_worker("bench.rivals:naive", "worker", "-c", "1")
        rate = part / product.send_naively(channel, part)
        it.stop_worker()
        return rate

    sides = in_turn(
        rounds,
        "messages/s",
        {"send": ours, "bulk": bulk, "aiohttp": aiohttp, "naive": naive},
    )
    goals = {
        "bulk": ("a send / the bare bulk client, no database", 0.5),
        "naive": ("a send / a task, a POST and a save per message", naive_goal),
        "aiohttp": ("a send / a bare aiohttp loop", 1.5),
    }
    return [
        Row(
            name,
            ratio(sides, "send", rival),
            goal,
            "at least",
            {"send": sides["send"], rival: sides[rival]},
            "messages/s",
            notes,
        )
        for rival, (name, goal) in goals.items()
    ]
