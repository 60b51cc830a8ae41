"""What a worker does with wake-up calls."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from celery.worker.request import Request

from jums import celery
from sends import tasks


def wake_up(expires):
    """Let Celery look at a wake-up call as a worker does when it has read it."""
    message = SimpleNamespace(
        headers={
            "id": "1",
            "task": "sends.tasks.sweep",
            "lang": "py",
            "expires": expires.isoformat(),
        },
        body=b"[[], {}, {}]",
        content_type="application/json",
        content_encoding="utf-8",
        delivery_info={},
        properties={},
        payload=([], {}, {}),
    )
    task = tasks.sweep
    return Request(message, app=celery.app, task=task, on_ack=lambda *_: None)


def test_a_worker_says_once_that_wake_ups_come_too_late(caplog, monkeypatch):
    monkeypatch.setattr(celery.late, "_silent_until", 0.0)
    now = datetime.now(UTC)

    assert not wake_up(now + timedelta(seconds=5)).revoked()
    assert caplog.text == ""
    for _call in range(3):
        assert wake_up(now - timedelta(seconds=5)).revoked()

    assert caplog.text.count("too late task=sends.tasks.sweep") == 1
    assert "clock" in caplog.text
