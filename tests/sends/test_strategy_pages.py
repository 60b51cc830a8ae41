"""The console's pages of strategies."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from channels_wechat.business_channels import create_business_channel
from sends.models import Strategy
from tests.factories import ChannelFactory, SendFactory

pytestmark = pytest.mark.django_db
ADD = reverse("admin:sends_strategy_add")


@pytest.fixture
def form():
    first, second = (
        ChannelFactory(code=name.lower(), name=name) for name in ("HR", "Shop")
    )
    sender, _secret = create_business_channel("Orders", [first, second])
    return {
        "name": "Both",
        "business_channel": sender.pk,
        "enabled": "on",
        "channel1": first.pk,
        "channel2": second.pk,
        "wait2": "600",
        "trigger2": "not_delivered",
    }


def test_made_shown_and_changed(admin_client, form):
    admin_client.post(ADD, form)

    row = Strategy.objects.get()
    assert row.steps == [
        {"channel": "hr", "wait_s": 0, "trigger": "refused"},
        {"channel": "shop", "wait_s": 600, "trigger": "not_delivered"},
    ]
    change = reverse("admin:sends_strategy_change", args=[row.pk])
    assert 'value="600"' in admin_client.get(change).text
    assert (
        "HR → Shop" in admin_client.get(reverse("admin:sends_strategy_changelist")).text
    )
    admin_client.post(change, {**form, "channel2": "", "wait2": ""})
    row.refresh_from_db()
    assert [step["channel"] for step in row.steps] == ["hr"]


def test_what_is_wrong_is_said(admin_client, form):
    foreign = ChannelFactory()
    for wrong, field in (
        ({"channel1": ""}, "channel1"),
        ({"channel2": foreign.pk}, "channel2"),
        ({"channel2": form["channel1"]}, "channel2"),
        ({"wait2": "-1"}, "wait2"),
        ({"channel2": ""}, "channel2"),
    ):
        answer = admin_client.post(ADD, {**form, **wrong})
        assert list(answer.context["adminform"].form.errors) == [field]
    assert not Strategy.objects.exists()


def test_the_list_asks_once_for_the_names_of_all_channels(
    admin_client, form, django_assert_num_queries
):
    admin_client.post(ADD, form)
    address = reverse("admin:sends_strategy_changelist")
    with CaptureQueriesContext(connection) as one:
        admin_client.get(address)
    cost = len(one)  # the next request empties the log
    for number in range(5):
        admin_client.post(ADD, {**form, "name": f"Strategy {number}"})

    with django_assert_num_queries(cost):
        assert admin_client.get(address).text.count("HR → Shop") == 6


def test_one_that_sends_name_stays(admin_client, form):
    admin_client.post(ADD, form)
    row = Strategy.objects.get()
    SendFactory(strategy=row)

    page = admin_client.post(
        reverse("admin:sends_strategy_delete", args=[row.pk]),
        {"post": "yes"},
        follow=True,
    )

    assert "Sends name this strategy, so it stays." in page.text
    assert Strategy.objects.exists()


def test_who_may_look_may_not_change(admin_client, form, person):
    admin_client.post(ADD, form)
    row = Strategy.objects.get()
    viewer = Client()
    viewer.force_login(person("sends.view_strategy").user)
    change = reverse("admin:sends_strategy_change", args=[row.pk])

    assert "HR → Shop" in viewer.get(change).text
    assert viewer.post(change, form).status_code == 403
    assert viewer.post(ADD, form).status_code == 403
