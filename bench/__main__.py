"""`make bench [ARGS="--messages 50000 --rounds 3"]`: our speed as ratios.

Both sides of a ratio run in turn, in one run, over the same far end on the loopback;
what is printed is the median over the rounds. Absolute rates say something about the
machine; the ratios are what we hold ourselves to.
"""

import argparse
import json
import logging
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from . import rivals
from .stage import Stage, stage

CONNECTIONS = 256
NAIVE_SHARE = 25  # the naive way gets this part of the messages, its rate is steady


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=10, help="of the large send")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    with stage() as it:
        figures = measure(it, arguments.messages, arguments.rounds, arguments.times)
    report(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if all(row["reached"] for row in figures["rows"]) else 1


def measure(it: Stage, messages: int, rounds: int, times: int) -> dict:
    import django

    django.setup()
    logging.disable(logging.INFO)
    from django.core.management import call_command

    from . import lists, product

    call_command("migrate", verbosity=0)
    channel = product.make_channel(CONNECTIONS)
    product.make_people(channel, messages * times)
    rates: dict[str, list[float]] = {
        name: [] for name in ("product", "bulk", "aiohttp", "naive")
    }

    def time_one(name: str, count: int, run: Callable[[], float]) -> None:
        rate = count / run()
        rates[name].append(rate)
        say(f"  {name:8} {rate:10,.0f} messages/s")

    far_end, part = it.far_end, max(messages // NAIVE_SHARE, 200)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        it.start_worker()
        product.send_to(channel, 1000)  # connections, caches, imports
        time_one("product", messages, lambda: product.send_to(channel, messages))
        small_rss = it.worker_rss_mb()
        it.stop_worker()
        time_one(
            "bulk", messages, lambda: rivals.bare_bulk(far_end, messages, CONNECTIONS)
        )
        time_one(
            "aiohttp",
            messages,
            lambda: rivals.bare_aiohttp(far_end, messages, CONNECTIONS),
        )
        it.start_worker("bench.rivals:naive", "worker", "-c", "1")
        time_one("naive", part, lambda: product.send_naively(channel, part))
        it.stop_worker()
    say(f"one send of {messages * times:,}")
    it.start_worker()
    product.send_to(channel, 1000)
    large = messages * times
    large_rate = large / product.send_to(channel, large)
    large_rss = it.worker_rss_mb()
    say(f"  {'product':8} {large_rate:10,.0f} messages/s")

    median = {name: statistics.median(found) for name, found in rates.items()}
    ratios = [
        ("a send / the bare bulk client, no database", "bulk", 0.5),
        ("a send / a task, a POST and a save per message", "naive", 20.0),
        ("a send / a bare aiohttp loop", "aiohttp", 1.5),
    ]
    rows = [
        row(name, median["product"] / median[rival], at_least)
        for name, rival, at_least in ratios
    ]
    rows.append(
        row(f"a send {times} times as large / it", large_rate / median["product"], 0.9)
    )
    times_json = lists.checking_to_reading(100_000, rounds + 2)
    rows.append(
        {
            "row": "checking 100,000 userids / json.loads of the same body",
            "figure": round(times_json, 2),
            "goal": "at most 5",
            "reached": times_json <= 5,
        }
    )
    growth = large_rss - small_rss
    rows.append(
        {
            "row": f"worker memory a send {times} times as large adds, MB",
            "figure": round(growth, 1),
            "goal": "under 64",
            "reached": growth < 64,
        }
    )
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "messages": messages,
        "rounds": rounds,
        "rates": {name: [round(r) for r in found] for name, found in rates.items()},
        "large": {"messages": large, "rate": round(large_rate)},
        "rows": rows,
    }


def row(name: str, ratio: float, at_least: float) -> dict:
    return {
        "row": name,
        "figure": round(ratio, 2),
        "goal": f"at least {at_least:g}",
        "reached": ratio >= at_least,
    }


def machine() -> str:
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return (
        f"{os.cpu_count()} x {cpu}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def report(figures: dict) -> None:
    print(f"\n{figures['machine']}")
    print(
        f"{figures['messages']:,} messages, {figures['rounds']} rounds, medians, "
        f"PostgreSQL, one worker process, {CONNECTIONS} connections, no latency\n"
    )
    width = max(len(row["row"]) for row in figures["rows"])
    for found in figures["rows"]:
        verdict = "ok" if found["reached"] else "NOT REACHED"
        print(
            f"{found['row']:{width}}  {found['figure']:>8}  {found['goal']:14}{verdict}"
        )


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
