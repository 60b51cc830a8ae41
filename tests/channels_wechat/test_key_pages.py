"""The console's pages of business channels, and the rotation of secrets."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from channels_wechat import access_keys
from channels_wechat.access_keys import create_access_key
from channels_wechat.business_channels import create_business_channel, holder
from channels_wechat.models import AccessKey, BusinessChannel
from tests.factories import ChannelFactory

pytestmark = pytest.mark.django_db
NAME = "admin:channels_wechat_businesschannel_"


def page_of(name, row, kind="businesschannel"):
    return reverse(f"admin:channels_wechat_{kind}_{name}", args=[row.pk])


def secret_in(answer, length):
    found = re.findall(rf"<code>([0-9a-f]{{{length}}})</code>", answer.content.decode())
    return found[-1]


def test_a_business_channel_is_made_and_its_secret_shown_once(admin_client, admin_user):
    channel = ChannelFactory()
    form = {
        "name": "Orders",
        "channels": [channel.pk],
        "enabled": "on",
        "calls_per_minute": "60",
        "words": "免费\r\n\r\n prize \r\n免费",
        "callbacks_enabled": "on",
    }

    answer = admin_client.post(reverse(NAME + "add"), form)

    row = BusinessChannel.objects.get()
    secret = secret_in(answer, 24)
    assert holder(row.key, secret) == row
    assert "no-store" in answer["Cache-Control"]
    assert list(row.channels.all()) == [channel]
    assert row.created_by == admin_user
    assert row.calls_per_minute == 60
    assert row.sensitive_words == ["免费", "prize"]
    assert row.quiet_hours == ""
    assert not row.review
    for address in (reverse(NAME + "changelist"), page_of("change", row)):
        page = admin_client.get(address).content.decode()
        assert row.key in page
        assert secret not in page
    assert "免费\nprize" in page


def test_protections_are_changed_and_shown_in_the_list(admin_client):
    row, secret = create_business_channel("Orders", quiet_hours="22:00-08:00")
    assert "quiet hours" in admin_client.get(reverse(NAME + "changelist")).text

    form = {"name": "Orders", "review": "on", "per_person_per_day": "2", "words": ""}
    admin_client.post(page_of("change", row), form)

    row.refresh_from_db()
    assert row.review
    assert not row.enabled
    assert row.quiet_hours == ""
    assert row.per_person_per_day == 2
    assert holder(row.key, secret) == row


def test_the_list_costs_the_same_for_one_and_for_many(
    admin_client, django_assert_num_queries
):
    channel = ChannelFactory()
    create_business_channel("0", [channel])
    with CaptureQueriesContext(connection) as one:
        admin_client.get(reverse(NAME + "changelist"))
    for number in range(1, 9):
        create_business_channel(str(number), [channel])

    with django_assert_num_queries(len(one)):
        admin_client.get(reverse(NAME + "changelist"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quiet_hours", "22 to 8"),
        ("calls_per_minute", "0"),
        ("words", "x" * 101),
        ("words", "\n".join(map(str, range(1001)))),
    ],
)
def test_what_is_wrong_is_said_at_the_field(admin_client, field, value):
    answer = admin_client.post(reverse(NAME + "add"), {"name": "Orders", field: value})

    assert list(answer.context["adminform"].form.errors) == [field]
    assert not BusinessChannel.objects.exists()


def test_a_rotated_master_secret_overlaps_for_the_chosen_time(admin_client):
    row, old = create_business_channel("Orders")
    address = reverse(NAME + "rotate", args=[row.pk])
    assert "in a week" in admin_client.get(address).text
    assert holder(row.key, old) == row

    answer = admin_client.post(address, {"keep_old_for_s": "3600"})

    new = secret_in(answer, 24)
    assert new != old
    assert holder(row.key, new) == row
    assert holder(row.key, old) == row
    assert old not in answer.content.decode()
    BusinessChannel.objects.update(previous_valid_until=timezone.now())
    assert holder(row.key, old) is None


def test_an_access_keys_secret_rotates_too(admin_client):
    row, old = create_access_key("crm")
    address = reverse("admin:channels_wechat_accesskey_rotate", args=[row.pk])

    new = secret_in(admin_client.post(address, {"keep_old_for_s": "86400"}), 48)

    assert access_keys.holder(row.key, new) == row
    assert access_keys.holder(row.key, old) == row
    AccessKey.objects.update(previous_valid_until=timezone.now() - timedelta(1))
    assert access_keys.holder(row.key, old) is None

    last = secret_in(admin_client.post(address, {"keep_old_for_s": "0"}), 48)
    assert access_keys.holder(row.key, new) is None
    assert access_keys.holder(row.key, last) == row


def test_only_who_may_change_a_key_rotates_it(person):
    row, secret = create_business_channel("Orders")
    viewer = person("channels_wechat.view_businesschannel")
    viewer.handler.enforce_csrf_checks = False
    address = reverse(NAME + "rotate", args=[row.pk])

    assert viewer.get(page_of("change", row)).status_code == 200
    assert viewer.get(address).status_code == 403
    assert viewer.post(address, {"keep_old_for_s": "0"}).status_code == 403
    assert holder(row.key, secret) == row


def test_a_rotation_needs_the_csrf_token(admin_user):
    row, secret = create_business_channel("Orders")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(admin_user)
    address = reverse(NAME + "rotate", args=[row.pk])

    assert browser.post(address, {"keep_old_for_s": "0"}).status_code == 403
    assert holder(row.key, secret) == row
