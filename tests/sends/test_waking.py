"""Wake-up calls that nobody waits for."""

import logging
import threading
import time

import pytest
from celery import current_app
from kombu.exceptions import OperationalError

from sends import waking
from tests.jums_fixture import sent

pytestmark = pytest.mark.django_db(transaction=True)


def until(happened):
    deadline = time.monotonic() + 10
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.fixture
def broker(monkeypatch):
    """A broker that takes no call before it is let, and then what `error` says."""

    class Broker:
        free, heard, error = threading.Event(), [], None

        def take(self, name, args, **options):
            assert self.free.wait(10)
            if self.error:
                raise self.error
            self.heard.append((name, *args))

        def heard_of(self, pks):
            """Return which of them it was called for: other tests' calls may come."""
            calls = [("sends.tasks.prepare", pk) for pk in pks]
            until(lambda: set(calls) <= set(self.heard))
            return [pk for _name, pk in filter(calls.__contains__, self.heard)]

    broker = Broker()
    monkeypatch.setattr(current_app, "send_task", broker.take)
    yield broker
    broker.free.set()


def test_a_request_does_not_wait_for_the_broker(shop, broker):
    pks = [sent(shop.post("sent", shop.body())).pk for _ in range(3)]  # answered
    assert broker.heard == []

    broker.free.set()

    assert broker.heard_of(pks) == pks


def test_a_call_that_fails_ends_no_other(shop, broker, caplog):
    broker.error = OperationalError("refused")
    broker.free.set()
    with caplog.at_level(logging.WARNING, "sends.waking"):
        sent(shop.post("sent", shop.body()))
        until(lambda: caplog.messages)
    assert set(caplog.messages) == {"no wake-up task=prepare error=OperationalError"}

    broker.error = None
    send = sent(shop.post("sent", shop.body()))

    assert broker.heard_of([send.pk]) == [send.pk]


def test_no_more_wait_than_can_be_called_in_time(broker, caplog):
    with caplog.at_level(logging.WARNING, "sends.waking"):
        for pk in range(waking.BESIDE_AT_MOST + 2):  # one is under way
            waking.wake_beside_on_commit("prepare", pk)

    assert set(caplog.messages) == {"no wake-up task=prepare error=too many"}

    broker.free.set()
    most = range(waking.BESIDE_AT_MOST - 2)
    assert broker.heard_of(most) == list(most)
