"""Sends that wait for a reviewer who is not their owner."""

import threading

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from sends import control, reviewing
from sends.control import WrongState
from sends.models import CallbackURL, Send, StatusCallback, Strategy
from tests.factories import (
    ChannelFactory,
    OpenIDFactory,
    SendFactory,
    TemplateFactory,
    UserFactory,
)
from tests.jums_fixture import sent

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


def test_a_reviewer_sees_the_message_and_whom_it_is_for(person, waiting):
    waiting.data = {"thing1": "Coffee at ten"}
    waiting.audience = Send.Audience.ALL
    waiting.save()
    OpenIDFactory(channel=waiting.channel, recipient__userid="zhangsan")

    page = client_of(person, *MAY).get(page_of("change", waiting)).text

    assert "wx-card" in page
    assert "Coffee at ten" in page
    assert "zhangsan" in page
    assert "1 person with an openID" in page
    assert 'id="deliveries"' not in page  # there are none before it is approved


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


# -- a request that became several sends -----------------------------------------------
@pytest.fixture
def family(shop):
    """A request for two messages, both with a strategy of two channels: four sends."""
    shop.set(review=True)
    UserFactory(username="lin")
    second = ChannelFactory(code="second", templates_refreshed_at=timezone.now())
    TemplateFactory(channel=second, template_id=shop.template.template_id)
    shop.row.channels.add(second)
    steps = [
        {"channel": code, "wait_s": 0, "trigger": "refused"}
        for code in ("shop", "second")
    ]
    strategy = Strategy.objects.create(
        name="both", business_channel=shop.row, steps=steps
    )
    body = shop.body(
        msg_wechatoa=[shop.message(), shop.message(url="https://example.com/2")],
        option={"owner": "lin"},
        rule_id=strategy.pk,
    )
    sent(shop.post("sent", body))
    return list(Send.objects.order_by("pk"))


def states():
    found = Send.objects.order_by("pk").values_list("status", "step", "reviewed_by")
    return [(str(status), step, by) for status, step, by in found]


@pytest.mark.parametrize("asked", range(4))
def test_approving_any_part_approves_the_whole_request(person, family, asked):
    reviewer = client_of(person, *MAY)

    reviewer.post(page_of("approve", family[asked]))

    name = reviewer.user.username
    assert states() == [
        ("preparing", 0, name),
        ("preparing", 0, name),
        ("scheduled", 1, name),
        ("scheduled", 1, name),
    ]


@pytest.mark.parametrize("asked", range(4))
def test_rejecting_any_part_rejects_the_whole_request(person, family, asked):
    reviewer = client_of(person, *MAY)

    reviewer.post(page_of("reject", family[asked]), {"note": "Wrong price"})

    assert {status for status, _step, _by in states()} == {"rejected"}
    assert {one.review_note for one in Send.objects.all()} == {"Wrong price"}


def test_no_other_request_is_decided_along(person, family, shop):
    other = sent(shop.post("sent", shop.body(option={"owner": "lin"})))

    client_of(person, *MAY).post(page_of("approve", family[1]))

    other.refresh_from_db()
    assert other.status == "in_review"


@pytest.mark.django_db(transaction=True)
def test_two_reviewers_at_once_decide_once(family, person):
    reviewers = [person(*MAY).user for _ in range(2)]
    gate, outcomes = threading.Barrier(2), []

    def decide(verb, *arguments):
        gate.wait()
        try:
            verb(*arguments)
            outcomes.append(verb.__name__)
        except WrongState:
            outcomes.append("too late")
        finally:
            connection.close()

    threads = [
        threading.Thread(target=decide, args=arguments)
        for arguments in (
            (reviewing.approve, family[0], reviewers[0]),
            (reviewing.reject, family[3], reviewers[1], "no"),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes.count("too late") == 1
    ended = {status for status, _step, _by in states()}
    assert ended == (
        {"rejected"} if "reject" in outcomes else {"preparing", "scheduled"}
    )


def test_what_was_canceled_meanwhile_stays_so(person, family):
    control.cancel(family[1], by="operator")
    reviewer = client_of(person, *MAY)

    refused = reviewer.post(page_of("approve", family[1]), follow=True).text
    assert "that is not possible now" in refused
    reviewer.post(page_of("approve", family[0]))

    assert [status for status, _step, _by in states()] == [
        "preparing",
        "canceled",
        "scheduled",
        "scheduled",
    ]


def test_the_page_shows_what_is_decided_together(person, family, waiting):
    reviewer = client_of(person, *MAY)
    page = reviewer.get(page_of("change", family[1])).text

    assert "Parts of this request" in page
    assert "All parts below are decided together" in page
    assert "https://example.com/2" in page
    for other in (family[0], family[2], family[3]):
        assert page_of("change", other) in page
    assert page_of("change", waiting) not in page
    assert "Parts of this request" not in reviewer.get(page_of("change", waiting)).text


def test_the_business_system_hears_the_same_of_every_part(person, family, shop):
    CallbackURL.objects.create(
        business_channel=shop.row,
        url="https://crm.example.com/",
        default=True,
        types=list(range(9)),
        verified_at=timezone.now(),
    )

    client_of(person, *MAY).post(page_of("reject", family[2]), {"note": "Wrong price"})

    told = StatusCallback.objects.order_by("pk")
    # A second step has no people of its own yet.
    assert [(one.send_id, one.userid, one.type, one.error_code) for one in told] == [
        (family[0].pk, shop.userid, 1, 9400),
        (family[1].pk, shop.userid, 1, 9400),
    ]
