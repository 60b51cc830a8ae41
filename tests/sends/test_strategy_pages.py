"""The console's pages of strategies."""

import pytest
from django.test import Client
from django.urls import reverse

from channels_wechat.business_channels import create_business_channel
from sends.models import Strategy
from tests.factories import ChannelFactory

pytestmark = pytest.mark.django_db
ADD = reverse("admin:sends_strategy_add")


@pytest.fixture
def form():
    first, second = ChannelFactory(code="hr"), ChannelFactory(code="shop")
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
        "hr → shop" in admin_client.get(reverse("admin:sends_strategy_changelist")).text
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
    ):
        answer = admin_client.post(ADD, {**form, **wrong})
        assert list(answer.context["adminform"].form.errors) == [field]
    assert not Strategy.objects.exists()


def test_who_may_look_may_not_change(admin_client, form, person):
    admin_client.post(ADD, form)
    row = Strategy.objects.get()
    viewer = Client()
    viewer.force_login(person("sends.view_strategy").user)
    change = reverse("admin:sends_strategy_change", args=[row.pk])

    assert "hr → shop" in viewer.get(change).text
    assert viewer.post(change, form).status_code == 403
    assert viewer.post(ADD, form).status_code == 403
