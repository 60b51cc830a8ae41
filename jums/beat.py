"""Celery's schedule, by a clock that may be set back."""

import time
from typing import Any, Final

from celery.beat import PersistentScheduler

# Less than this is a time server's daily work.
STEP_S: Final = 2.0


class Scheduler(PersistentScheduler):
    """Goes on at once when this host's clock is set back: Celery's own would call
    nobody until the clock has caught up with the last call."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._ahead_s = time.time() - time.monotonic()
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Call what is due; return how many seconds to wait."""
        ahead_s = time.time() - time.monotonic()
        if ahead_s < self._ahead_s - STEP_S:
            now = self.app.now()
            for entry in self.schedule.values():
                if entry.last_run_at is None or entry.last_run_at > now:
                    entry.last_run_at = now
            self.populate_heap()
        self._ahead_s = ahead_s
        wait_s: float = super().tick(*args, **kwargs)
        return wait_s
