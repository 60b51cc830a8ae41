"""Real processes: kept running, and gone when we go, however we go."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jums import supervising
from jums.supervising import Child, Supervisor

ROOT = Path(__file__).parents[2]


def python(name: str, code: str) -> Child:
    return Child(name, [sys.executable, "-c", code])


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    # A zombie has ended; whoever adopted it has only not looked yet.
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for(condition, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


@pytest.fixture
def shown():
    return []


@pytest.fixture
def show(shown):
    return lambda name, line: shown.append((name, line))


def test_each_line_is_shown_behind_its_childs_name(shown, show):
    talker = python("web", "print('one'); print('two', end='', flush=True)")
    with Supervisor([talker], show) as running:
        wait_for(lambda: not running.tend(0.1) or ("web", "two") in shown, 10)

    assert shown[:2] == [("web", "one"), ("web", "two")]


def test_a_fallen_child_comes_back_after_a_growing_pause(shown, show):
    with Supervisor([python("worker", "raise SystemExit(3)")], show) as running:
        wait_for(lambda: not running.tend(0.1) or len(shown) >= 2)

    assert shown[:2] == [
        ("worker", "ended (exit code 3); starting it again in 0.5 s"),
        ("worker", "ended (exit code 3); starting it again in 1 s"),
    ]


def test_a_killed_child_is_replaced_by_a_new_process(shown, show):
    child = python("worker", "import time; time.sleep(600)")
    with Supervisor([child], show) as running:
        first = child.process.pid
        os.kill(first, signal.SIGKILL)
        wait_for(
            lambda: (
                not running.tend(0.1) or (child.process and child.process.pid != first)
            )
        )
        assert child.process.poll() is None
        assert child.process.pid != first

    assert shown[0] == ("worker", "ended (signal 9); starting it again in 0.5 s")


def test_a_child_that_ignores_the_request_to_stop_is_killed(shown, show, monkeypatch):
    monkeypatch.setattr(supervising, "GRACE_S", 0.5)
    deaf = python(
        "worker",
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True); time.sleep(600)",
    )
    with Supervisor([deaf], show) as running:
        wait_for(lambda: not running.tend(0.1) or shown)
        pid = deaf.process.pid

    assert not alive(pid)
    assert shown[-1] == ("worker", "did not stop in 0 s: killed")


def test_a_childs_own_children_go_with_it(show, tmp_path):
    note = tmp_path / "pid"
    family = python(
        "web",
        "import subprocess, sys, time, pathlib\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(p.pid)); time.sleep(600)",
    )
    with Supervisor([family], show) as running:
        wait_for(lambda: not running.tend(0.1) or (note.exists() and note.read_text()))

    assert wait_for(lambda: not alive(int(note.read_text())))


SUPERVISE = """
import sys, pathlib
from jums.supervising import Child, Supervisor
child = Child("c", [sys.executable, "-c", "import time; time.sleep(600)"])
with Supervisor([child], print) as running:
    pathlib.Path(sys.argv[1]).write_text(str(child.process.pid))
    while running.tend(60):
        pass
"""


@pytest.fixture
def supervised(tmp_path):
    """A supervisor in a process of its own, and the pid of its only child."""
    note = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", SUPERVISE, str(note)], cwd=ROOT)
    assert wait_for(lambda: note.exists() and note.read_text())
    yield parent, int(note.read_text())
    parent.kill()
    parent.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_and_is_no_failure(supervised, number):
    parent, child = supervised

    parent.send_signal(number)

    assert parent.wait(20) == 0
    assert not alive(child)


def test_children_die_with_a_supervisor_that_is_killed(supervised):
    parent, child = supervised

    parent.kill()
    parent.wait(20)

    assert wait_for(lambda: not alive(child))
