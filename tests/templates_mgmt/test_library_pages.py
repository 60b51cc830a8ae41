"""The console's pages of the template library, against the sandbox."""

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.core.cache import cache
from django.urls import reverse

from sends.models import Send
from templates_mgmt import library
from templates_mgmt.models import GeneralTemplate, Template
from tests.factories import ChannelFactory, SendFactory, TemplateFactory, UserFactory

pytestmark = pytest.mark.django_db
PICKED = {"kid": ["3", "1"], "scene": "报修进度提醒"}


@pytest.fixture
def channel(settings, sandbox):
    cache.clear()
    settings.WECHAT_API_BASE = sandbox.url
    return ChannelFactory(name="Spruce", appid=sandbox.appid, app_secret=sandbox.secret)


def shelf(channel):
    return reverse("admin:templates_mgmt_library", args=[channel.pk])


def title(channel, tid):
    return reverse("admin:templates_mgmt_library_title", args=[channel.pk, tid])


def number(channel):
    return reverse("admin:templates_mgmt_library_number", args=[channel.pk])


def said(response):
    return [str(m) for m in get_messages(response.wsgi_request)]


def text_of(response):
    return " ".join(response.content.decode().split())


def test_the_library_shows_titles_in_pages(channel, admin_client):
    page = text_of(admin_client.get(shelf(channel)))
    assert "订单发货通知" in page
    assert "0 of 50 templates in use" in page
    assert "start=30" in page or "Next" not in page

    page = text_of(admin_client.get(shelf(channel), {"q": "报修", "category": "412"}))
    assert "报修受理通知" in page
    assert "2 titles" in page
    assert "订单发货通知" not in page

    nothing = admin_client.get(shelf(channel), {"q": "zzz", "start": "x"})
    assert "No title fits." in text_of(nothing)


def test_titles_that_are_there_already_say_so(channel, admin_client):
    library.add_subscribe(channel, "2003", [3, 1], "报修进度提醒")

    page = text_of(admin_client.get(shelf(channel), {"q": "报修受理"}))

    assert "Added" in page


def test_picked_keywords_become_a_template_in_their_order(channel, admin_client):
    page = admin_client.get(title(channel, 2003), {"title": "报修受理通知"})
    assert "受理状态" in text_of(page)

    response = admin_client.post(title(channel, 2003), PICKED)

    template = Template.objects.get(library_id="2003")
    assert template.picked == [3, 1]
    assert response.url == reverse(
        "admin:templates_mgmt_template_change", args=[template.pk]
    )
    assert said(response) == ["“报修受理通知” was added."]
    shown = text_of(admin_client.get(response.url))
    assert "报修进度提醒" in shown
    assert "2003 · 3, 1" in shown


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"kid": ["3"]}, "Choose two to five keywords."),
        ({"kid": ["3", "3"]}, "Choose two to five keywords."),
        ({"kid": ["1", "2", "3", "4", "5", "6"]}, "Choose two to five keywords."),
        ({"kid": ["1", "99"]}, "Select a valid choice"),
        ({"scene": ""}, "This field is required."),
        ({"scene": "字" * 16}, "at most 15 characters"),
    ],
)
def test_what_cannot_be_meant_is_said_beside_it(
    channel, admin_client, sandbox, wrong, sentence
):
    response = admin_client.post(title(channel, 2003), PICKED | wrong)

    assert response.status_code == 200
    assert sentence in text_of(response)
    assert Template.objects.count() == 0


def test_a_refusal_is_told_in_plain_words_and_keeps_what_was_picked(
    channel, admin_client
):
    admin_client.post(title(channel, 2003), PICKED)

    page = text_of(admin_client.post(title(channel, 2003), PICKED))

    assert "The account has this title with these keywords already." in page
    assert "Refresh the templates to see it, or choose other keywords." in page
    assert "errcode 200022" in page or "200022" in page
    assert page.index('value="3" checked') < page.index('value="1" checked')
    assert 'value="报修进度提醒"' in page


def test_an_unseen_answer_warns_against_a_second_try(channel, admin_client, sandbox):
    sandbox.faults("close", path="/wxaapi/newtmpl/addtemplate", calls=1)

    page = text_of(admin_client.post(title(channel, 2003), PICKED))

    assert "The template may have been added all the same" in page


def test_a_test_account_is_told_it_has_no_library(channel, admin_client, sandbox):
    sandbox.change_account(kind="test")

    page = text_of(admin_client.get(shelf(channel)))

    assert "The account may not use this interface." in page


def test_a_full_account_is_warned(channel, admin_client):
    TemplateFactory.create_batch(50, channel=channel, kind="subscribe")

    page = text_of(admin_client.get(shelf(channel)))

    assert "50 of 50 templates in use" in page
    assert "No room for another template" in page


def test_a_template_message_is_added_by_its_number(channel, admin_client):
    given = {"number": "47123", "keywords": "快递公司\n\n订单编号\n"}

    response = admin_client.post(number(channel), given)

    template = Template.objects.get(library_id="47123")
    assert template.picked == ["快递公司", "订单编号"]
    assert said(response) == ["“订单发货提醒” was added."]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"number": "x/y", "keywords": "a"}, "Letters and digits only"),
        ({"number": "47123", "keywords": "a\na"}, "One to five keywords"),
        ({"number": "47123", "keywords": "重量"}, "does not take these keywords"),
        ({"number": "TM00015", "keywords": "a"}, "can no longer be added"),
        ({"number": "OPENTM201752540", "keywords": "a"}, "another industry"),
        ({"number": "99", "keywords": "a"}, "no such template"),
    ],
)
def test_a_wrong_number_or_keyword_is_explained(channel, admin_client, given, sentence):
    page = text_of(admin_client.post(number(channel), given))

    assert sentence in page
    assert f'value="{given["number"]}"' in page


def test_removing_asks_first_and_names_what_stops_working(channel, admin_client):
    template = library.add_subscribe(channel, "2003", [3, 1], "报修进度提醒")
    GeneralTemplate.objects.create(name="Repairs", template=template)
    address = reverse("admin:templates_mgmt_remove", args=[template.pk])

    page = text_of(admin_client.get(address))
    assert "Repairs" in page
    assert "people have to subscribe again" in page
    template.refresh_from_db()
    assert template.removed_at is None

    response = admin_client.post(address)

    template.refresh_from_db()
    assert template.removed_at is not None
    assert said(response) == ["“报修受理通知” was removed."]


def test_a_template_in_use_is_not_removed(channel, admin_client, sandbox):
    template = library.add_subscribe(channel, "2003", [3, 1], "报修进度提醒")
    SendFactory(template=template, status=Send.Status.PAUSED)
    address = reverse("admin:templates_mgmt_remove", args=[template.pk])

    for page in (admin_client.get(address), admin_client.post(address)):
        assert "1 send still uses this template." in text_of(page)

    template.refresh_from_db()
    assert template.removed_at is None
    assert template.template_id in str(sandbox.control("GET", "subscriptions"))


def test_only_who_may_add_or_remove_does(channel, client, sandbox):
    template = TemplateFactory(channel=channel)
    user = UserFactory()
    user.user_permissions.set(Permission.objects.filter(codename="view_template"))
    client.force_login(user)

    addresses = [shelf(channel), title(channel, 2003), number(channel)]
    addresses.append(reverse("admin:templates_mgmt_remove", args=[template.pk]))
    assert [client.get(a).status_code for a in addresses] == [403] * 4
    assert [client.post(a).status_code for a in addresses] == [403] * 4
    assert sandbox.stats()["calls"] == {}
