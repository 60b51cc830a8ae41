"""What the console's lists and forms have in common."""

import pytest
from django.test import Client
from django.urls import reverse

from channels_wechat.access_keys import create_access_key
from channels_wechat.business_channels import create_business_channel
from channels_wechat.models import AccessKey, BusinessChannel
from tests.factories import ChannelFactory, SendFactory

pytestmark = pytest.mark.django_db
NAME = "admin:channels_wechat_businesschannel_"


def test_a_list_says_what_it_is_for_and_offers_a_first_one(admin_client):
    page = admin_client.get(reverse(NAME + "changelist")).text

    assert "A business channel is a system that sends through the API" in page
    assert "Nothing here yet." in page
    assert page.count("New business channel") == 2


def test_an_empty_list_offers_nothing_that_is_not_allowed(person):
    viewer = person("channels_wechat.view_businesschannel")

    page = viewer.get(reverse(NAME + "changelist")).text

    assert "Nothing here yet." in page
    assert "New business channel" not in page


def test_a_search_without_result_leads_back_to_everything(admin_client):
    create_business_channel("Orders")

    page = admin_client.get(reverse(NAME + "changelist") + "?q=shop").text

    assert "Nothing fits." in page
    assert "Show all" in page


def test_a_row_that_others_need_stays_and_the_page_says_what_to_do(admin_client):
    row, _secret = create_business_channel("Orders")
    SendFactory(business_channel=row)
    address = reverse(NAME + "delete", args=[row.pk])

    page = admin_client.get(address, follow=True).text
    admin_client.post(address, {"post": "yes"})

    assert "so it stays. Disable it." in page
    assert BusinessChannel.objects.exists()


def test_deleting_says_what_goes_along(admin_client):
    row, _secret = create_access_key("crm")
    address = reverse("admin:channels_wechat_accesskey_delete", args=[row.pk])

    page = admin_client.get(address).text
    admin_client.post(address, {"post": "yes"})

    assert "Delete “crm”?" in page
    assert "Whatever still uses it is refused from then on." in page
    assert not AccessKey.objects.exists()


def test_the_history_is_the_audit_log_of_that_row(admin_client, person):
    row, _secret = create_business_channel("Orders")
    create_business_channel("Shop")
    address = reverse(NAME + "history", args=[row.pk])

    page = admin_client.get(address, follow=True).text
    theirs = person("channels_wechat.view_businesschannel").get(address)

    assert "Orders" in page
    assert "Shop" not in page
    assert theirs.status_code == 200  # without the right to the log, the admin's own


def test_a_form_has_no_buttons_that_lead_away_from_it(admin_client):
    ChannelFactory()

    page = admin_client.get(reverse(NAME + "add")).text

    assert "related-widget-wrapper" not in page


def test_a_stranger_deletes_nothing(admin_user):
    row, _secret = create_access_key("crm")
    address = reverse("admin:channels_wechat_accesskey_delete", args=[row.pk])

    assert Client().post(address, {"post": "yes"}).status_code == 302
    assert AccessKey.objects.exists()
