import re

import pytest
from django.urls import reverse
from django.utils import timezone

from templates_mgmt.models import SubscribePage
from tests.factories import ChannelFactory, TemplateFactory

pytestmark = pytest.mark.django_db

LIST = "admin:templates_mgmt_subscribepage_changelist"
ADD = "admin:templates_mgmt_subscribepage_add"
CHANGE = "admin:templates_mgmt_subscribepage_change"
EDIT = "admin:templates_mgmt_subscribepage_edit"
PRINT = "admin:templates_mgmt_subscribepage_print"


@pytest.fixture
def channel():
    return ChannelFactory(code="shop", name="Shop", last_push_at=timezone.now())


def template(channel, **fields):
    return TemplateFactory(channel=channel, kind="subscribe", **fields)


@pytest.fixture
def templates(channel):
    return [template(channel, title=f"News {n}") for n in range(6)]


@pytest.fixture
def page(channel, templates):
    page = SubscribePage.objects.create(channel=channel, name="orders", title="Orders")
    page.templates.set(templates[:2])
    return page


def post(client, templates, address=None, **changed):
    body = {
        "title": "Order news",
        "name": "orders",
        "text": "",
        "button": "",
        "colour": "#07c160",
        "enabled": "on",
        "templates": [one.pk for one in templates],
        **changed,
    }
    return client.post(address or reverse(ADD) + "?channel=shop", body, follow=True)


def test_a_page_is_made_for_a_channel(admin_client, channel, templates):
    assert "?channel=shop" in admin_client.get(reverse(ADD)).content.decode()

    answer = post(admin_client, templates[:2], colour="#aa0000")

    page = SubscribePage.objects.get()
    assert (page.channel, page.colour) == (channel, "#aa0000")
    assert page.templates.count() == 2
    shown = answer.content.decode()
    assert page.url in shown
    assert "<svg" in shown
    assert "#aa0000" in shown


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "Orders!"}, "Small letters"),
        ({"colour": "red;}"}, "Like #07c160"),
        ({"templates": []}, "required"),
    ],
)
def test_what_cannot_be_is_refused(admin_client, templates, change, sentence):
    change = dict(change)
    chosen = change.pop("templates", templates[:1])

    answer = post(admin_client, chosen, **change)

    assert sentence in answer.content.decode()
    assert not SubscribePage.objects.exists()


def test_six_templates_or_two_kinds_are_refused(admin_client, channel, templates):
    assert "At most 5" in post(admin_client, templates).content.decode()
    mixed = [templates[0], template(channel, long_term=True)]
    assert "not both" in post(admin_client, mixed).content.decode()
    assert not SubscribePage.objects.exists()


def test_templates_of_others_and_of_other_kinds_are_not_offered(admin_client, channel):
    others = [
        template(ChannelFactory()),
        TemplateFactory(channel=channel),
        template(channel, removed_at=timezone.now()),
    ]
    for other in others:
        post(admin_client, [other])

    assert not SubscribePage.objects.exists()


def test_a_name_is_taken_once_per_channel(admin_client, page, templates):
    answer = post(admin_client, templates[:1])

    assert "is called so" in answer.content.decode()
    other = ChannelFactory(code="other")
    post(admin_client, [template(other)], reverse(ADD) + "?channel=other")
    assert SubscribePage.objects.filter(channel=other, name="orders").exists()


def test_a_page_is_changed(admin_client, page, templates):
    address = reverse(EDIT, args=[page.pk])
    assert "News 5" in admin_client.get(address).content.decode()

    post(admin_client, templates[3:4], address, enabled="")

    page.refresh_from_db()
    assert not page.enabled
    assert list(page.templates.all()) == templates[3:4]


def test_the_page_says_what_stands_in_its_way(admin_client, page, channel):
    def shown():
        return admin_client.get(reverse(CHANGE, args=[page.pk])).content.decode()

    assert "JS接口安全域名" in shown()
    assert "deleted at WeChat" not in shown()
    first = page.templates.first()
    type(first).objects.filter(pk=first.pk).update(removed_at=timezone.now())
    channel.enabled, channel.last_push_at = False, None
    channel.save()

    page_now = shown()
    assert "deleted at WeChat" in page_now
    assert "This channel is disabled" in page_now
    assert "pushed nothing" in page_now


def test_the_sheet_to_print_has_a_large_code(admin_client, page):
    sheet = admin_client.get(reverse(PRINT, args=[page.pk])).content.decode()

    assert "<svg" in sheet
    assert page.url in sheet
    assert not re.search(r"<script", sheet)


def test_a_role_decides_who_may(person, page):
    looker = person("templates_mgmt.view_subscribepage")
    assert looker.get(reverse(LIST)).status_code == 200
    assert looker.get(reverse(CHANGE, args=[page.pk])).status_code == 200
    assert looker.get(reverse(EDIT, args=[page.pk])).status_code == 403
    assert looker.get(reverse(ADD)).status_code == 403
    stranger = person("sends.view_send")
    assert stranger.get(reverse(CHANGE, args=[page.pk])).status_code == 403


def test_the_list_costs_the_same_for_any_number(
    admin_client, channel, templates, django_assert_max_num_queries
):
    for number in range(20):
        one = SubscribePage.objects.create(
            channel=channel, name=f"p{number}", title="P"
        )
        one.templates.set(templates[:3])
    admin_client.get(reverse(LIST))

    with django_assert_max_num_queries(12):
        admin_client.get(reverse(LIST))
