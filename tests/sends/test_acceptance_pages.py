"""What the console shows of acceptances: before a send, after it, on a template."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from sends import audience, ledger
from sends.models import Acceptance, Delivery, Send
from tests.factories import OpenIDFactory, SendFactory, TemplateFactory, UserFactory

pytestmark = pytest.mark.django_db
MAY = [
    "view_send",
    "add_send",
    "submit_send",
    "control_send",
    "view_acceptance",
    "view_template",
    "view_recipient",
]


@pytest.fixture
def operator(client):
    cache.clear()
    user = UserFactory()
    user.user_permissions.set(Permission.objects.filter(codename__in=MAY))
    client.force_login(user)
    return client


@pytest.fixture
def template():
    return TemplateFactory(kind="subscribe", title="Parcel shipped")


def accepts(template, openid, *kinds, days_ago=1):
    acceptance = Acceptance.objects.create(
        channel=template.channel, template_id=template.template_id, openid=openid
    )
    for n, kind in enumerate(kinds):
        at = timezone.now() - timedelta(days=days_ago, seconds=-n)
        acceptance.entries.create(kind=kind, at=at, key=f"e{n}")
    ledger.fold([acceptance.pk])


@pytest.fixture
def draft(template):
    """Six people: two accept, one used it up, one rejected, two were never seen."""
    send = SendFactory(template=template, title="Weekly")
    for n in range(6):
        bound = OpenIDFactory(channel=template.channel, recipient__userid=f"u{n}")
        kinds = {0: [0], 1: [0, 0, 1], 2: [0, 1], 3: [0, 2]}.get(n)
        if kinds:
            accepts(template, bound.openid, *kinds)
    return send


def page(operator, send, step):
    return operator.get(reverse(f"admin:sends_send_{step}", args=[send.pk]))


def test_the_check_says_who_can_be_reached_and_why_others_cannot(operator, draft):
    shown = " ".join(page(operator, draft, "check").content.decode().split())

    assert "Of 6 people <strong>2</strong> can be reached" in shown
    assert "<strong>4</strong> have no acceptance left" in shown
    assert "2 were never seen to accept" in shown
    assert "1 has used up what was accepted" in shown
    assert "1 has rejected it" in shown


def test_the_operator_may_try_them_and_everything_is_counted_anew(operator, draft):
    address = reverse("admin:sends_send_check", args=[draft.pk])
    page(operator, draft, "check")
    shown = page(operator, draft, "confirm").content.decode()
    assert "Send to 2 people" in " ".join(shown.split())

    assert operator.post(address, {"unreachable": "try"}).url == address
    page(operator, draft, "check")
    shown = " ".join(page(operator, draft, "confirm").content.decode().split())

    assert Send.objects.get().skip_unreachable is False
    assert "Send to 6 people" in shown
    assert "are tried: WeChat will most likely refuse" in shown
    operator.post(address, {"unreachable": "skip"})
    assert Send.objects.get().skip_unreachable is True


def test_a_template_message_has_no_such_forecast(operator):
    send = SendFactory()
    bound = OpenIDFactory(channel=send.channel, followed=False)

    shown = page(operator, send, "check").content.decode()

    assert 'id="forecast"' not in shown
    counts = audience.counts(send)
    assert (counts.to_send, counts.unfollowed, counts.unreachable) == (1, 1, 0)
    # A subscribe-notification reaches people who do not follow, too.
    notice = TemplateFactory(kind="subscribe", channel=send.channel)
    accepts(notice, bound.openid, 0)
    other = SendFactory(template=notice, channel=send.channel)
    assert audience.counts(other).unfollowed == 0


def test_a_repeat_of_unknown_ones_is_never_chosen_and_says_why(operator, template):
    send = SendFactory(template=template, status=Send.Status.FINISHED, n_unknown=1)
    Delivery.objects.create(
        send=send,
        channel=send.channel,
        openid="o-1",
        status=Delivery.Status.UNKNOWN,
        sent_at=timezone.now(),
    )

    shown = page(operator, send, "change").content.decode()

    assert "nothing by which WeChat would recognise a repeat" in " ".join(shown.split())
    assert 'value="unknown" checked' not in shown
    again = reverse("admin:sends_send_again", args=[send.pk])
    operator.post(again, {})
    assert Send.objects.count() == 1
    operator.post(again, {"what": ["unknown"]})
    assert Send.objects.count() == 2


def test_a_template_shows_its_reach_and_how_that_grew(operator, template):
    accepts(template, "o-1", 0, days_ago=40)
    accepts(template, "o-2", 0, days_ago=3)
    accepts(template, "o-3", 0, days_ago=2)
    accepts(template, "o-4", 0, 1)
    address = reverse("admin:sends_send_reach", args=[template.pk])

    shown = operator.get(
        reverse("admin:templates_mgmt_template_change", args=[template.pk])
    )
    assert address in shown.content.decode()
    part = operator.get(address)

    assert part["X-Live"] == "stop"
    assert "2 more than 30 days ago" in part.content.decode()
    assert part.content.decode().count("<rect") == 30
    assert (
        operator.get(
            reverse("admin:sends_send_reach", args=[TemplateFactory().pk])
        ).status_code
        == 404
    )


def test_whoever_accepted_and_was_sent_it_the_same_day_is_not_nobody(
    operator, template
):
    address = reverse("admin:sends_send_reach", args=[template.pk])
    assert "Nobody has accepted it yet" in operator.get(address).content.decode()

    accepts(template, "o-1", 0, 1, days_ago=0)

    cache.clear()
    shown = operator.get(address).content.decode()
    assert "have used up what they accepted" in shown
    assert "Nobody has accepted it yet" not in shown


def test_a_persons_page_shows_what_they_accepted(operator, template, draft):
    address = reverse("admin:sends_recipient_history", args=["u3"])

    shown = operator.get(address).content.decode()

    assert "Accepted a subscribe-notification" in shown
    assert "Rejected a subscribe-notification" in shown
    assert "Parcel shipped" in shown
