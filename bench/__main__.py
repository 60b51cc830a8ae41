"""`make bench [ARGS="--rows sending,urgent --quick"]`: our speed as ratios.

Both sides of a ratio run in turn, in one run, over the same far end on the loopback;
what is printed compares the medians over the rounds. Absolute rates say something about
the machine; the ratios are what we hold ourselves to.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests import services

from .measure import say
from .stage import AS_WE_SAY

# Row -> how many minutes it may take at most.
ROWS = {
    "sending": 25,
    "latency": 10,
    "growth": 40,
    "preparing": 15,
    "excel": 20,
    "calls": 5,
    "callbacks": 10,
    "receipts": 25,
    "urgent": 15,
    "pages": 30,
    "embedded": 40,
}
SETTINGS = ["server_version", "shared_buffers", "max_wal_size", "fsync"]
SETTINGS += ["synchronous_commit", "full_page_writes", "autovacuum", "jit"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help="of " + ", ".join(ROWS))
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--big", action="store_true", help="pages with 10,000,000")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    names = [name for name in arguments.rows.split(",") if name]
    if strange := set(names) - set(ROWS):
        parser.error(f"no such rows: {', '.join(sorted(strange))}")
    size = "quick" if arguments.quick else "big" if arguments.big else "full"
    figures: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "postgresql": postgresql(),
        "size": size,
        "rows": [],
        "unfinished": {},
    }
    for name in names:
        say(name)
        started, load = time.monotonic(), os.getloadavg()[0]
        rows, problem = run(name, size, arguments.rounds)
        for row in rows:
            row["seconds"] = round(time.monotonic() - started)
            row["load before"] = round(load, 1)
        figures["rows"] += rows
        if problem:
            figures["unfinished"][name] = problem
        if arguments.json:
            arguments.json.write_text(
                json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
            )
    report(figures)
    reached = all(row["reached"] for row in figures["rows"])
    return 0 if reached and not figures["unfinished"] else 1


def run(name: str, size: str, rounds: int) -> tuple[list[dict[str, Any]], str]:
    """Run one row; return its lines, and why it has none."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.one", name, size, str(rounds), out.name]
        )
        try:
            code = child.wait(60 * ROWS[name])
        except subprocess.TimeoutExpired:
            _end(child)
            return [], f"not done within {ROWS[name]} minutes"
        except BaseException:
            _end(child)
            raise
        if code:
            return [], f"ended with {code}"
        return json.load(out), ""


def _end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    child.wait(60)


def machine() -> str:
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{os.cpu_count()} x {cpu}, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}"
    )


def postgresql() -> dict[str, str]:
    """Return what of the server's settings matters here."""
    import psycopg2

    connection = psycopg2.connect(services.postgresql().database("postgres"))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)",
            [SETTINGS],
        )
        found = dict(cursor.fetchall())
    connection.close()
    settings = {name: found[name] for name in SETTINGS if name in found}
    return settings | {"database": AS_WE_SAY}


def report(figures: dict[str, Any]) -> None:
    print(f"\n{figures['machine']}")
    print("PostgreSQL", ", ".join(f"{k} {v}" for k, v in figures["postgresql"].items()))
    print(f"size {figures['size']}; one worker process; medians of the rounds\n")
    width = max((len(row["row"]) for row in figures["rows"]), default=0)
    for found in figures["rows"]:
        verdict = "ok" if found["reached"] else "NOT REACHED"
        name, goal = found["row"], found["goal"]
        print(f"{name:{width}}  {found['figure']:>9,}  {goal:14}{verdict}")
        for line in found.get("notes", {}).get("table", []):
            print("    " + ", ".join(f"{name} {value}" for name, value in line.items()))
    for name, problem in figures["unfinished"].items():
        print(f"{name}: {problem.upper()}")


if __name__ == "__main__":
    sys.exit(main())
