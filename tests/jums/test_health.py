from datetime import timedelta

import pytest
from celery.contrib.testing.worker import start_worker
from django.core.cache import cache
from django.utils import timezone

from channels_wechat.models import Channel
from jums.celery import app
from sends.models import InboundEvent, Send


@pytest.fixture(autouse=True)
def _nothing_remembered():
    cache.clear()


@pytest.fixture
def channel(db):
    return Channel.objects.create(
        name="Spruce", code="spruce", appid="wx0000000000000001"
    )


def totals(client) -> dict[str, float]:
    lines = client.get("/metrics").content.decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}


def test_alive_asks_nothing_else(client):
    # No database fixture: a query here would fail the test.
    assert client.get("/healthz").content == b"ok\n"


@pytest.mark.django_db
def test_not_ready_names_what_is_missing(client):
    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "database": "ok",
        "broker": "ok",
        "worker": "no worker answered",
    }


@pytest.mark.django_db(transaction=True)
def test_ready_once_a_worker_answers(client, settings):
    with start_worker(app, perform_ping_check=False, pool="solo"):
        answer = client.get("/readyz")

    assert answer.json() == {
        "ready": True,
        "database": "ok",
        "broker": "ok",
        "worker": "ok",
    }
    assert answer.status_code == 200


@pytest.mark.django_db
def test_a_broker_that_is_away_is_named_without_its_password(client, monkeypatch):
    # Celery itself looks here first.
    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", "redis://:secret@127.0.0.1:9/0")

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["broker"] != "ok"
    assert b"secret" not in answer.content


def test_metrics_are_the_counters_of_the_sends(client, channel):
    for n in (1, 2):
        Send.objects.create(
            msgid=f"m{n}",
            channel=channel,
            status="finished",
            dedupe_key=f"k{n}",
            n_delivered=n,
            n_refused=10,
        )

    seen = totals(client)

    assert seen['jums_sends{channel="spruce",status="finished"}'] == 2
    assert seen['jums_deliveries{channel="spruce",status="delivered"}'] == 3
    assert seen['jums_deliveries{channel="spruce",status="refused"}'] == 20
    assert seen['jums_channel_ready{channel="spruce"}'] == 0


def test_metrics_show_events_and_sends_that_wait_too_long(client, channel):
    before = timezone.now() - timedelta(minutes=5)
    InboundEvent.objects.create(
        channel=channel,
        key="k",
        event="x",
        created_at=before,
        received_at=before,
        try_at=before,
    )
    Send.objects.create(
        msgid="m",
        channel=channel,
        status="scheduled",
        dedupe_key="k",
        scheduled_for=before,
    )

    seen = totals(client)

    assert seen["jums_events_waiting"] == 1
    assert 299 < seen["jums_events_oldest_age_seconds"] < 400
    assert seen["jums_sends_overdue"] == 1


def test_metrics_cost_the_same_with_many_sends(
    client, channel, django_assert_num_queries
):
    for n in range(20):
        Send.objects.create(msgid=f"m{n}", channel=channel, dedupe_key=f"k{n}")

    with django_assert_num_queries(6):
        client.get("/metrics")
