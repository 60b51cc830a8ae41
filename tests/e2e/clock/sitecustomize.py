"""A clock that a fault run moves while the process runs, as a wrong time server would.

Python imports this file at its start when its folder is on PYTHONPATH. The file that
FAULTS_CLOCK names says by how many seconds this host's clock is wrong.
"""

import os
import threading
import time
from pathlib import Path

import time_machine


class Clock:
    """The same for every process of the host; its monotonic clock is never wrong."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.right = time.time() - time.monotonic()
        travel = time_machine.travel(time.time(), tick=True)
        self.moved = travel.start()
        self.follow()

    def follow(self) -> None:
        try:
            off = float(self.place.read_text())
        except (OSError, ValueError):
            return
        self.moved.shift(self.right + time.monotonic() + off - time.time())

    def watch(self) -> None:
        while True:
            self.follow()
            time.sleep(0.2)

    def keep(self) -> None:
        threading.Thread(target=self.watch, name="clock", daemon=True).start()


if _place := os.environ.get("FAULTS_CLOCK"):
    clock = Clock(Path(_place))
    clock.keep()
    os.register_at_fork(after_in_child=clock.keep)
