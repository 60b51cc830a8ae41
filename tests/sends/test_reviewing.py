"""Sends that wait for a reviewer who is not their owner."""

import pytest
from django.test import Client
from django.urls import reverse

from sends.models import Send
from tests.factories import SendFactory

pytestmark = pytest.mark.django_db
MAY = ("sends.view_send", "sends.review_send")


@pytest.fixture
def waiting():
    return SendFactory(status="in_review", source="api", owner="lin", title="News")


def page_of(name, send):
    return reverse(f"admin:sends_send_{name}", args=[send.pk])


def client_of(person, *permissions, **user):
    client = Client()
    client.user = person(*permissions, **user).user
    client.force_login(client.user)
    return client


def test_a_reviewer_approves(person, waiting):
    reviewer = client_of(person, *MAY)
    assert "Approve" in reviewer.get(page_of("change", waiting)).text

    answer = reviewer.post(page_of("approve", waiting))

    assert answer.status_code == 302
    waiting.refresh_from_db()
    assert waiting.status == Send.Status.PREPARING
    assert waiting.reviewed_by == reviewer.user.username
    assert waiting.reviewed_at
    page = reviewer.get(page_of("change", waiting)).text
    assert page_of("approve", waiting) not in page


def test_a_reviewer_rejects_with_a_reason(person, waiting):
    reviewer = client_of(person, *MAY)

    reviewer.post(page_of("reject", waiting), {"note": "  "})
    waiting.refresh_from_db()
    assert waiting.status == Send.Status.IN_REVIEW

    reviewer.post(page_of("reject", waiting), {"note": "Wrong <b>price"})

    waiting.refresh_from_db()
    assert waiting.status == Send.Status.REJECTED
    assert waiting.review_note == "Wrong <b>price"
    page = reviewer.get(page_of("change", waiting)).text
    assert "Wrong &lt;b&gt;price" in page
    assert f"Rejected by {reviewer.user.username}" in page
    assert "pill-rejected" in page
    assert not waiting.is_open


def test_nobody_reviews_their_own(person, waiting):
    owner = client_of(person, *MAY, username="lin")
    page = owner.get(page_of("change", waiting)).text

    assert "Nobody reviews their own sends" in page
    assert page_of("approve", waiting) not in page
    for verb in ("approve", "reject"):
        assert owner.post(page_of(verb, waiting), {"note": "x"}).status_code == 403
    waiting.refresh_from_db()
    assert waiting.status == Send.Status.IN_REVIEW


def test_it_takes_the_permission_a_post_and_the_token(person, waiting, admin_user):
    viewer = client_of(person, "sends.view_send", "sends.control_send")
    assert "has to approve it" in viewer.get(page_of("change", waiting)).text
    reviewer = client_of(person, *MAY)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    for verb in ("approve", "reject"):
        address = page_of(verb, waiting)
        assert viewer.post(address, {"note": "x"}).status_code == 403
        assert reviewer.get(address).status_code == 405
        assert strict.post(address, {"note": "x"}).status_code == 403
    waiting.refresh_from_db()
    assert waiting.status == Send.Status.IN_REVIEW


def test_a_decision_is_made_once(person, waiting):
    reviewer = client_of(person, *MAY)
    reviewer.post(page_of("reject", waiting), {"note": "No"})

    page = reviewer.post(page_of("approve", waiting), follow=True).text

    assert "that is not possible now" in page
    waiting.refresh_from_db()
    assert waiting.status == Send.Status.REJECTED


def test_the_list_shows_what_waits(admin_client, waiting):
    SendFactory(status="finished", title="Other")

    page = admin_client.get(
        reverse("admin:sends_send_changelist"), {"status": "in_review"}
    ).text

    assert "News" in page
    assert "Other" not in page
    assert "pill-in_review" in page
