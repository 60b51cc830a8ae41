"""What is old leaves the database, into a file first; nothing that is needed goes."""

import csv
import gzip
import os
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from sends import reporting, retaining
from sends.models import AudienceRow, Chunk, Click, Delivery, InboundEvent, Send
from tests.factories import ChannelFactory, SendFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]
Status = Delivery.Status


@pytest.fixture(autouse=True)
def keep_ten_days(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    settings.KEEP_EVENTS_DAYS = settings.KEEP_DELIVERIES_DAYS = 10


def days_ago(days):
    return timezone.now() - timedelta(days=days)


@pytest.fixture
def ended():
    """A send that ended so many days ago: two delivered, one refused."""

    def make(days=11, status=Send.Status.FINISHED, **fields):
        send = SendFactory(
            status=status,
            finished_at=days_ago(days),
            n_delivered=2,
            n_refused=1,
            **fields,
        )
        rows = [
            Delivery(
                send=send,
                channel=send.channel,
                userid=f"u{n}",
                openid=f"o{n}",
                status=Status.REFUSED if n == 2 else Status.DELIVERED,
                errcode=43004 if n == 2 else None,
                error="require subscribe" if n == 2 else "",
                wechat_msgid=2**61 + n,
                sent_at=days_ago(days),
            )
            for n in range(3)
        ]
        rows = Delivery.objects.bulk_create(rows)
        Click.objects.create(delivery=rows[0], at=days_ago(days))
        Chunk.objects.create(
            send=send, first_id=rows[0].pk, last_id=rows[2].pk, due_at=days_ago(days)
        )
        AudienceRow.objects.create(send=send, row=1, userid="u0")
        return send

    return make


@pytest.fixture
def event():
    channel = ChannelFactory()

    def make(key, days, status=InboundEvent.Status.APPLIED):
        at = days_ago(days)
        return InboundEvent.objects.create(
            channel=channel,
            key=key,
            event="templatesendjobfinish",
            openid="o1",
            outcome="success",
            created_at=at,
            received_at=at,
            try_at=at,
            status=status,
        )

    return make


def read(name):
    with gzip.open(retaining.folder() / name, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files():
    folder = retaining.folder()
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_old_deliveries_go_into_a_file_and_the_send_stays(ended):
    send = ended()
    before = reporting.reasons(send)

    retaining.run()

    send.refresh_from_db()
    assert not Delivery.objects.filter(send=send).exists()
    assert not Chunk.objects.filter(send=send).exists()
    assert not AudienceRow.objects.filter(send=send).exists()
    assert (send.n_delivered, send.n_refused, send.total) == (2, 1, 3)
    assert send.archived_at is not None
    assert reporting.reasons(send) == before
    rows = read(send.archive_file)
    assert [row["userid"] for row in rows] == ["u0", "u1", "u2"]
    assert rows[2]["errcode"] == "43004"
    assert rows[0]["wechat_msgid"] == str(2**61)
    assert rows[0]["click_at"]
    assert not rows[1]["click_at"]
    mode = os.stat(retaining.folder() / send.archive_file).st_mode
    assert mode & 0o777 == 0o600


def test_the_page_says_when_and_offers_nothing_it_cannot_do(ended, admin_client):
    send = ended()
    retaining.run()

    page = admin_client.get(reverse("admin:sends_send_change", args=[send.pk])).text

    assert "were archived on" in page
    assert "43004" in page
    assert reverse("admin:sends_send_again", args=[send.pk]) not in page


@pytest.mark.parametrize("status", [s for s in Send.Status if s not in retaining.ENDED])
def test_a_send_that_has_not_ended_never_loses_a_row(ended, status):
    send = ended(days=400, status=status)

    retaining.run()

    assert Delivery.objects.filter(send=send).count() == 3


def test_a_young_send_keeps_its_rows(ended):
    send = ended(days=9)

    retaining.run()

    assert Delivery.objects.filter(send=send).count() == 3


def test_an_open_step_keeps_the_rows_of_the_steps_before(ended):
    first = ended()
    second = SendFactory(part_of=first, status=Send.Status.SCHEDULED, step=1)

    retaining.run()
    assert Delivery.objects.filter(send=first).count() == 3

    Send.objects.filter(pk=second.pk).update(
        status=Send.Status.CANCELED, finished_at=timezone.now()
    )
    retaining.run()
    assert not Delivery.objects.filter(send=first).exists()


def test_nothing_goes_unless_days_are_set(ended, event, settings):
    settings.KEEP_EVENTS_DAYS = settings.KEEP_DELIVERIES_DAYS = 0
    send = ended(days=4000)
    event("a", 4000)

    assert retaining.run() == 0

    assert Delivery.objects.filter(send=send).count() == 3
    assert InboundEvent.objects.count() == 1


def test_without_an_archive_rows_just_go(ended, event, settings):
    settings.ARCHIVE = False
    send = ended()
    event("a", 11)

    retaining.run()

    assert not Delivery.objects.filter(send=send).exists()
    assert not InboundEvent.objects.exists()
    assert files() == []


def test_old_events_go_unless_somebody_waits_for_them(event):
    for key, status in (
        ("waits", InboundEvent.Status.WAITING),
        ("applied", InboundEvent.Status.APPLIED),
        ("unmatched", InboundEvent.Status.UNMATCHED),
        ("ignored", InboundEvent.Status.IGNORED),
    ):
        event(key, 11, status)
    event("young", 9)

    retaining.run()

    left = InboundEvent.objects.order_by("pk").values_list("key", flat=True)
    assert list(left) == ["waits", "young"]
    (name,) = files()
    assert [row["event"] for row in read(name)] == ["templatesendjobfinish"] * 3


def test_blocks_and_steps_lose_nothing(ended, event, monkeypatch):
    monkeypatch.setattr(retaining, "ROWS_A_STEP", 2)
    monkeypatch.setattr(retaining, "EVENTS_A_FILE", 2)
    sends = [ended(), ended()]
    for n in range(5):
        event(str(n), 11)

    retaining.run()

    assert not InboundEvent.objects.exists()
    assert not Delivery.objects.exists()
    archived = [name for name in files() if name.startswith("events")]
    assert sum(len(read(name)) for name in archived) == 5
    for send in sends:
        send.refresh_from_db()
        assert len(read(send.archive_file)) == 3


def test_killed_after_the_file_it_goes_on(ended):
    send = ended()
    Send.objects.filter(pk=send.pk).update(
        archived_at=timezone.now(), archived_reasons=reporting.kinds(send)
    )

    retaining.run()

    assert not Delivery.objects.filter(send=send).exists()


def test_what_cannot_be_written_stays(ended, event):
    send = ended()
    event("a", 11)
    retaining.folder().write_text("a file where the folder should be")

    with pytest.raises(OSError, match="exists"):
        retaining.run()

    assert Delivery.objects.filter(send=send).count() == 3
    assert InboundEvent.objects.count() == 1
    send.refresh_from_db()
    assert send.archived_at is None
