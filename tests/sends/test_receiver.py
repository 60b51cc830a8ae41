"""The receiver: many pushes share a commit, and none is answered before it.

That it answers as the view does is tested beside the view, in test_api_callbacks.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from channels_wechat.models import Channel
from sends.models import CallbackRefusal, InboundEvent
from tests.factories import ChannelFactory
from tests.services import free_port

from .pushes import ReceiverClient, WeChat

ROOT = Path(__file__).parents[2]


class Collecting(ReceiverClient):
    """Keeps the requests instead of sending them."""

    def post(self, *args, **kwargs):
        return self.request(*args, **kwargs)


def pushes(channel):
    return WeChat(channel, Collecting())


def msgids():
    return sorted(InboundEvent.objects.values_list("msgid", flat=True))


@pytest.mark.django_db
class TestARound:
    @pytest.fixture
    def client(self):
        return ReceiverClient()

    def test_many_pushes_of_many_channels_are_one_insert(
        self, client, django_assert_num_queries
    ):
        first, second = (pushes(ChannelFactory()) for _ in range(2))
        requests = [
            wechat.receipt(n, openid=f"o-{n}")
            for n in range(1, 51)
            for wechat in (first, second)
        ]

        # Two channels, one INSERT, the two channels' times.
        with django_assert_num_queries(2 + 1 + 2):
            answers = client.call(*requests)

        assert [answer.content for answer in answers] == [b"success"] * 100
        assert InboundEvent.objects.count() == 100
        assert Channel.objects.exclude(last_push_at=None).count() == 2
        with django_assert_num_queries(1):
            client.call(*requests)
        assert InboundEvent.objects.count() == 100

    def test_whoever_is_refused_costs_the_others_nothing(self, client):
        wechat = pushes(ChannelFactory())

        answers = client.call(
            wechat.receipt(1),
            wechat.receipt(2, msg_signature="0" * 40),
            ReceiverClient.request("/v1/wechatoa/callback/nobody"),
            ReceiverClient.request("/console/"),
            wechat.receipt(3),
            wechat.receipt(1),
        )

        statuses = [answer.status_code for answer in answers]
        assert statuses == [200, 403, 404, 404, 200, 200]
        assert msgids() == [1, 3]
        assert CallbackRefusal.objects.get().reason == "bad_signature"

    def test_a_new_token_counts_at_once(self, client):
        channel = ChannelFactory()
        client.call(pushes(channel).receipt(1))
        Channel.objects.update(previous_aes_key="")
        changed = Channel.objects.get()
        changed.callback_token = "anothertoken"
        changed.save()

        (answer,) = client.call(pushes(changed).receipt(2))

        assert (answer.content, msgids()) == (b"success", [1, 2])


@pytest.mark.django_db(transaction=True)
class TestTheDatabaseSaysNo:
    def test_what_it_refuses_fails_alone(self):
        client = ReceiverClient()
        stays, goes = pushes(ChannelFactory()), pushes(ChannelFactory())
        client.call(stays.receipt(1), goes.receipt(2))
        goes.channel.delete()  # which the receiver learns within a second

        answers = client.call(stays.receipt(3), goes.receipt(4))

        assert [answer.status_code for answer in answers] == [200, 404]
        assert msgids() == [1, 3]

    def test_while_it_is_away_nothing_is_a_success(self, monkeypatch):
        client, wechat = ReceiverClient(), pushes(ChannelFactory())
        client.call(wechat.receipt(1))
        connection.close()

        with monkeypatch.context() as away:
            away.setitem(connection.settings_dict, "NAME", "/no/such/place")
            (answer,) = client.call(wechat.receipt(2))
        assert answer.status_code == 500

        (answer,) = client.call(wechat.receipt(2))
        assert answer.content == b"success"
        assert msgids() == [1, 2]


# The command on the test's database.
PROCESS = """
import sys
import django
django.setup()
from django.core.management import call_command
from django.db import connection

connection.settings_dict["NAME"] = sys.argv[1]
call_command("receiver", "--port", sys.argv[2])
"""


class Crowd:
    """Clients that push one receipt after another until the receiver is gone."""

    def __init__(self, port, requests):
        self.port, self.requests = port, iter(enumerate(requests, 1))
        self.answered, self.lock = [], threading.Lock()
        self.threads = [threading.Thread(target=self.push) for _ in range(8)]
        for thread in self.threads:
            thread.start()

    def push(self):
        peer = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        # Gone in mid-answer, or no longer there: both are no answer.
        with suppress(OSError, http.client.HTTPException):
            while True:
                with self.lock:
                    msgid, request = next(self.requests, (0, None))
                if request is None:
                    break
                peer.request("POST", f"{request.path}?{request.query}", request.body)
                answer = peer.getresponse()
                assert (answer.status, answer.read()) == (200, b"success")
                self.answered.append(msgid)
        peer.close()

    def wait_for(self, count):
        end = time.monotonic() + 60
        while len(self.answered) < count:
            assert time.monotonic() < end
            time.sleep(0.002)

    def end(self):
        for thread in self.threads:
            thread.join(60)
        return self.answered


@pytest.mark.django_db(transaction=True)
def test_no_answered_push_is_lost_when_it_is_killed_or_stopped():
    wechat = pushes(ChannelFactory())
    requests = [wechat.receipt(n, openid=f"o-{n}") for n in range(1, 3001)]
    port = free_port()
    command = [sys.executable, "-c", PROCESS]
    command += [str(connection.settings_dict["NAME"]), str(port)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    how = dict(cwd=ROOT, env=environment, stdout=subprocess.PIPE)

    for number, exit_code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
        with subprocess.Popen(command, **how) as process:
            try:
                assert process.stdout.readline().startswith(b"Receiving on")
                crowd = Crowd(port, requests)
                crowd.wait_for(200)
                process.send_signal(number)
                answered = crowd.end()
                assert process.wait(30) == exit_code
            finally:
                process.kill()
        assert 200 <= len(answered) < 3000, "it was to end in the middle"
        assert set(answered) <= set(msgids())
        assert len(msgids()) == len(set(msgids()))


def test_a_taken_port_is_named():
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(CommandError, match=r"Port \d+ of 127.0.0.1 cannot be used"),
    ):
        call_command("receiver", "--port", str(other.getsockname()[1]))
