import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from jums import dashboard
from sends.models import Delivery, Send
from tests.factories import (
    ChannelFactory,
    SendFactory,
    TemplateFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db
Status = Delivery.Status


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def made(days_ago, **fields):
    send = SendFactory(**fields)
    then = timezone.now() - timedelta(days=days_ago)
    Send.objects.filter(pk=send.pk).update(created_at=then)
    return send


def queries_of(client, django_assert_max_num_queries, address):
    with django_assert_max_num_queries(100) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def test_today_and_the_days_before_are_summed_by_status(admin_client):
    made(0, status="finished", n_delivered=1200, n_refused=3, n_undelivered=2)
    made(0, status="running", n_waiting=40, n_sending=5, n_accepted=60)
    made(3, status="finished", n_delivered=7)
    made(20, status="finished", n_delivered=99_999)

    response = admin_client.get("/console/")

    today = response.context["today"]
    assert (today["total"], today["failed"], today["left"]) == (1310, 5, 45)
    days = response.context["days"]
    assert [day.total for day in days] == [0] * 10 + [7, 0, 0, 1310]
    assert "1,310" in text_of(response)


def test_a_day_is_the_operators_own(admin_client):
    send = made(0, status="finished", n_delivered=7)
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    Send.objects.filter(pk=send.pk).update(created_at=midnight + timedelta(minutes=30))

    here = admin_client.get("/console/").context["days"]
    # Half past midnight in Shanghai is the day before in New York.
    admin_client.cookies["jums_tz"] = "America/New_York"
    there = admin_client.get("/console/").context["days"]

    assert next(day.date for day in here if day.total) == midnight.date()
    assert (
        next(day.date for day in there if day.total)
        == (midnight - timedelta(days=1)).date()
    )


def test_open_sends_come_with_progress_and_the_reason_of_a_pause(admin_client):
    SendFactory(title="Autumn", status="running", n_waiting=300, n_accepted=700)
    SendFactory(title="Winter", status="paused", pause_code="quota", n_waiting=5)
    SendFactory(title="Unfinished draft", status="draft")

    text = text_of(admin_client.get(reverse("dashboard-live")))

    assert "Autumn" in text
    assert "700 of 1,000" in text
    assert "WeChat&#x27;s daily quota is used up" in text
    assert "Unfinished draft" not in text


def test_sends_that_wait_for_a_review_are_counted_and_linked(admin_client):
    assert "for a review" not in admin_client.get("/console/").text
    SendFactory(status="in_review", title="Waits", business_channel=None)
    SendFactory(status="in_review")

    page = admin_client.get("/console/").text

    assert "2 sends wait for a review" in page
    assert "?status=in_review" in page
    assert "Waits" not in page  # there may be very many


def test_the_page_costs_the_same_with_many_sends(
    admin_client, django_assert_max_num_queries
):
    template = TemplateFactory()
    SendFactory(template=template, status="finished", n_delivered=5)
    SendFactory(template=template, status="running", n_waiting=5)
    few = queries_of(admin_client, django_assert_max_num_queries, "/console/")
    for n in range(40):
        status = "running" if n % 2 else "finished"
        SendFactory(template=template, status=status, n_delivered=5, n_waiting=n)
    for _ in range(5):
        ChannelFactory(token_ok_at=timezone.now())
    cache.clear()

    many = queries_of(admin_client, django_assert_max_num_queries, "/console/")

    # session, user, today, in review, open sends, days, latest, channels
    assert (few, many) == (8, 8)


def test_neither_the_page_nor_its_live_part_reads_deliveries(
    admin_client, django_assert_num_queries
):
    SendFactory(status="running", n_waiting=5)
    with django_assert_num_queries(8) as page:
        admin_client.get("/console/")
    with django_assert_num_queries(5) as live:
        admin_client.get(reverse("dashboard-live"))

    queries = [query["sql"] for query in [*page, *live]]
    assert not [sql for sql in queries if "sends_delivery" in sql]


def failed(send, count, status=Status.REFUSED, **fields):
    Delivery.objects.bulk_create(
        Delivery(send=send, channel=send.channel, status=status, **fields)
        for _ in range(count)
    )


def test_failure_reasons_are_grouped_over_sends(admin_client):
    template = TemplateFactory()
    one = SendFactory(template=template, status="finished", n_refused=3, n_skipped=1)
    two = SendFactory(template=template, status="finished", n_refused=2)
    old = made(9, template=template, status="finished", n_refused=1)
    failed(one, 3, errcode=43004, error="require subscribe")
    failed(one, 1, Status.SKIPPED, reason="duplicate")
    failed(two, 1, errcode=43004, error="require subscribe")
    failed(two, 1, errcode=99999, error="something new")
    failed(old, 1, errcode=45009, error="reach max api daily quota limit")

    response = admin_client.get(reverse("dashboard-failures"))

    found = [
        (failure.reason.errcode, failure.count, len(failure.sends))
        for failure in response.context["failures"]
    ]
    assert found == [(43004, 4, 2), (99999, 1, 1)]
    assert "The recipient does not follow the account." in text_of(response)
    assert response.headers["X-Live"] == "stop"


def test_a_send_too_large_to_be_read_is_only_named(admin_client, monkeypatch):
    monkeypatch.setattr(dashboard, "FAILURE_ROWS", 10)
    large = SendFactory(title="Everyone", status="finished", n_refused=11)
    failed(large, 11, errcode=43004)

    response = admin_client.get(reverse("dashboard-failures"))

    assert response.context["failures"] == []
    assert "Everyone" in text_of(response)
    assert "11 failed" in text_of(response)


@pytest.mark.parametrize(
    ("fields", "level", "note"),
    [
        ({"enabled": False}, "mute", "Disabled"),
        ({}, "warn", "Not checked yet"),
        (
            {
                "checked_at": 0,
                "findings": [["token", "bad", [["WeChat is far away", {}]], []]],
            },
            "bad",
            "WeChat is far away",
        ),
        (
            {"refused_at": 0, "refused_errcode": 40164, "refused_errmsg": "invalid ip"},
            "bad",
            "invalid ip (40164)",
        ),
        ({"token_ok_at": 0}, "warn", "No callback was ever heard"),
        (
            {"token_ok_at": 0, "last_push_at": 9, "templates_refreshed_at": 0},
            "warn",
            "No callback for a week",
        ),
        (
            {"token_ok_at": 0, "last_push_at": 0, "templates_refreshed_at": 3},
            "warn",
            "older than two days",
        ),
        (
            {
                "token_ok_at": 0,
                "last_push_at": 0,
                "templates_refreshed_at": 0,
                "findings": [["clock", "bad", [["The clock is off", {}]], []]],
            },
            "bad",
            "The clock is off",
        ),
        (
            {
                "checked_at": 1,
                "token_ok_at": 0,
                "last_push_at": 0,
                "templates_refreshed_at": 0,
                "findings": [["token", "bad", [["Our address is refused", {}]], []]],
            },
            "ok",
            "",
        ),
        (
            {"token_ok_at": 0, "last_push_at": 0, "templates_refreshed_at": 0},
            "ok",
            "",
        ),
    ],
)
def test_a_channel_shows_the_worst_that_is_known(admin_client, fields, level, note):
    now = timezone.now()
    days_ago = {
        name: now - timedelta(days=value)
        for name, value in fields.items()
        if name.endswith("_at")
    }
    ChannelFactory(**fields | days_ago)

    [health] = admin_client.get("/console/").context["health"]

    assert health.level == level
    assert note in " ".join(str(one) for one in health.notes)


def test_a_new_installation_says_what_to_do_first(admin_client):
    TemplateFactory()

    steps = admin_client.get("/console/").context["first_steps"]

    assert [step["done"] for step in steps] == [True, True, False, False]
    SendFactory(status="finished")
    assert "first_steps" not in admin_client.get("/console/").context


def test_who_may_not_see_sends_sees_none(client):
    SendFactory(title="Secret plan", status="running", n_waiting=5)
    person = UserFactory()
    client.force_login(person)

    page = client.get("/console/")

    assert page.status_code == 200
    assert "Secret plan" not in text_of(page)
    assert client.get(reverse("dashboard-live")).status_code == 403
    assert client.get(reverse("dashboard-failures")).status_code == 403
    person.user_permissions.add(Permission.objects.get(codename="view_send"))
    assert "Secret plan" in text_of(client.get("/console/"))


@pytest.mark.parametrize("name", ["dashboard-live", "dashboard-failures"])
def test_strangers_are_sent_to_the_login(client, name):
    response = client.get(reverse(name))

    assert response.status_code == 302
    assert response.url.startswith("/console/login/")
