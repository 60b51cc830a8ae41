"""Two processes that call with one Idempotency-Key at the same moment make one send."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone

from sends.models import GivenIDs, Send
from tests.api_fixture import basic

ROOT = Path(__file__).parents[2]
KEYS, USAGE = "channels_wechat_idempotencykey", "channels_wechat_usage"

# A web process on the test's database: it makes the call that it reads, once.
PROCESS = """
import json, sys
import django
django.setup()
from django.db import connection
from django.test import Client

connection.settings_dict["NAME"] = sys.argv[1]
print("ready", flush=True)
call = json.loads(sys.stdin.readline())
answer = Client().post(content_type="application/json", **call)
print(answer.status_code, answer.content.decode(), flush=True)
"""


@pytest.fixture
def processes():
    """Two of them, ready to call."""
    command = [sys.executable, "-c", PROCESS, str(connection.settings_dict["NAME"])]
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                    env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
                )
            )
            for _ in range(2)
        ]
        stack.callback(lambda: [process.kill() for process in started])
        assert [process.stdout.readline() for process in started] == ["ready\n"] * 2
        yield started


def both_wait(lock):
    """Whether both wait for what the test holds: for `lock`, or in line behind it."""
    with connection.cursor() as cursor:
        # Other databases of the server number their tables alike.
        cursor.execute(
            "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND ("
            " pg_backend_pid() = ANY (pg_blocking_pids(pid))"
            " OR relation = %s::regclass AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database()))",
            [lock],
        )
        return cursor.fetchone()[0] == 2


def at_once(processes, calls, hold=f"LOCK TABLE {KEYS} IN EXCLUSIVE MODE", lock=KEYS):
    """Make the calls; on PostgreSQL none goes on before both are at the same point:
    by default, both found the key unused, did their work, and want to store it."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(hold)
        for process, call in zip(processes, calls, strict=True):
            print(json.dumps(call), file=process.stdin, flush=True)
        deadline = time.monotonic() + 60
        while connection.vendor == "postgresql" and not both_wait(lock):
            assert time.monotonic() < deadline, "they never met"
            time.sleep(0.02)
    answers = [process.stdout.readline().partition(" ") for process in processes]
    return [(int(status), json.loads(body)) for status, _space, body in answers]


@pytest.fixture
def call(shop):
    # Seen a moment ago: nothing is written before the key is looked up.
    shop.set(last_used_at=timezone.now())

    def make(path="/v1/sent", **changes):
        headers = {"authorization": basic(*shop.pair), "idempotency-key": "k"}
        data = json.dumps(shop.body(**changes))
        return {"path": path, "data": data, "headers": headers}

    return make


@pytest.mark.django_db(transaction=True)
def test_the_same_call_is_done_once_and_answered_twice_alike(call, processes):
    (status, first), again = at_once(processes, [call(), call()])

    assert (status, first["code"]) == (200, 0)
    assert again == (status, first)
    assert Send.objects.get().msgid == first["msgid"]
    assert GivenIDs.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_different_calls_one_is_done_and_the_other_409(call, processes):
    answers = at_once(processes, [call(), call(option={"sendno": "other"})])

    (_, done), (status, refused) = sorted(answers, key=lambda answer: answer[0])
    assert (done["code"], status, refused["code"]) == (0, 409, 4004)
    assert Send.objects.get().msgid == done["msgid"]
    assert GivenIDs.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_days_last_broadcast_is_answered_twice_alike(shop, call, processes):
    shop.set(broadcasts_per_day=1)

    calls = [call("/v1/broadcast")] * 2
    (status, first), again = at_once(
        processes, calls, f"SELECT 1 FROM {USAGE} FOR UPDATE", USAGE
    )

    assert (status, first["code"]) == (200, 0)
    assert again == (status, first)
    assert Send.objects.get().msgid == first["msgid"]
