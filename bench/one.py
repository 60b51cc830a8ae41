"""One row in a process of its own: `python -m bench.one ROW SIZE ROUNDS OUT`."""

import importlib
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

from .measure import SIZES


def main(name: str, size: str, rounds: str, out: str) -> None:
    # Told to stop, it still takes its database and its processes down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = SIZES[size]
    if int(rounds):
        wanted = replace(wanted, rounds=int(rounds))
    rows = importlib.import_module(f"bench.{name}").run(wanted)
    Path(out).write_text(json.dumps([row.as_json() for row in rows]))


if __name__ == "__main__":
    main(*sys.argv[1:])
