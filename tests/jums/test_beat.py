"""The schedule when this host's clock is set right."""

from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery

from jums.beat import Scheduler

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TASKS = {
    "often": {"task": "often", "schedule": 5},
    "daily": {"task": "daily", "schedule": 24 * 3600},
}


@pytest.fixture
def scheduler(tmp_path, time_machine):
    time_machine.move_to(NOW, tick=False)
    app = Celery("beat", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = TASKS
    scheduler = Scheduler(app, schedule_filename=str(tmp_path / "schedule"))
    yield scheduler
    scheduler.close()


def called(scheduler):
    """Tick until nothing is due; return how often each task was called in all."""
    for _ in range(10):
        wait_s = scheduler.tick()
        if wait_s:
            break
    counts = {name: scheduler.schedule[name].total_run_count for name in TASKS}
    return counts | {"wait": round(wait_s)}


def test_a_clock_that_is_set_back_stops_nothing(scheduler, time_machine):
    time_machine.move_to(NOW + timedelta(seconds=6), tick=False)
    before = called(scheduler)["often"]

    time_machine.move_to(NOW - timedelta(hours=1), tick=False)
    assert called(scheduler) == {"often": before, "daily": 0, "wait": 5}
    time_machine.move_to(NOW - timedelta(hours=1) + timedelta(seconds=5), tick=False)
    after = called(scheduler)

    assert before == 1
    assert after["often"] == 2
    assert after["daily"] == 0


def test_a_clock_that_is_set_forward_calls_once(scheduler, time_machine):
    time_machine.move_to(NOW + timedelta(hours=1), tick=False)

    assert called(scheduler)["often"] == 1
    assert called(scheduler)["often"] == 1
