"""The line to WeChat stops by itself, before anybody reads what it was answered."""

import json
import time

import pytest

from channels_wechat.wechat.bulk import Call
from sandbox import people
from sends.brake import SAME_UNKNOWN_ERRORS, SILENCE
from sends.lines import Line
from tests.sandbox_fixture import SEND

ROWS = 400


@pytest.fixture
def line(sandbox):
    line = Line(sandbox.url)
    yield line
    line.close()


@pytest.fixture
def submit(line, sandbox):
    """Submit messages to everyone and wait until nothing moves any more, unread."""
    template = next(iter(sandbox.templates().values()))
    token = sandbox.token()

    def submit(connections=1, count=ROWS):
        def calls_so_far():
            return sum(sandbox.stats()["calls"].get(SEND, {}).values())

        line.pace(connections, None)
        openid = people.openid(sandbox.appid, 1)
        body = {"touser": openid, "template_id": template["template_id"], "data": {}}
        raw = json.dumps(body).encode()
        line.submit([Call(n, raw) for n in range(count)], token)
        before, now = -1, calls_so_far()
        while now != before:
            time.sleep(0.3)
            before, now = now, calls_so_far()
        return now

    return submit


@pytest.mark.parametrize(
    ("errcode", "calls"),
    [
        (77777, SAME_UNKNOWN_ERRORS),
        (40001, 1),
        (40037, 1),
        (43116, 1),
        (45009, 1),
        (45011, 1),
        (48001, 1),
        (50002, 1),
    ],
)
def test_nothing_more_leaves_after_an_answer_that_stops_everything(
    line, submit, sandbox, errcode, calls
):
    sandbox.faults(kind="errcode", errcode=errcode)

    assert submit() == calls

    assert len(line.answers(timeout_s=1)) == calls
    assert line.halted
    assert len(line.withdraw()) == ROWS - calls
    assert not line.halted


def test_calls_under_way_on_other_connections_finish(line, submit, sandbox):
    sandbox.faults(kind="errcode", errcode=77777)

    made = submit(connections=8)

    assert SAME_UNKNOWN_ERRORS <= made < SAME_UNKNOWN_ERRORS + 8


def test_silence_stops_the_line_as_well(line, submit, sandbox):
    sandbox.faults(kind="close")

    submit()

    assert len(line.answers(timeout_s=1)) == SILENCE
    assert line.halted


@pytest.mark.parametrize("errcode", [43004, 47003, -1])
def test_what_one_person_or_a_moment_is_to_blame_for_stops_nothing(
    line, submit, sandbox, errcode
):
    sandbox.faults(kind="errcode", errcode=errcode)

    assert submit(count=60) == 60

    assert len(line.answers(timeout_s=1)) == 60
    assert not line.halted


def test_a_line_goes_on_once_what_waited_was_withdrawn(line, submit, sandbox):
    sandbox.faults(kind="errcode", errcode=45011)
    submit()
    line.answers(timeout_s=1)
    line.withdraw()
    sandbox.clear_faults()

    assert submit(count=30) == 1 + 30
