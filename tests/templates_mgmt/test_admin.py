import json

import pytest
import responses
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from channels_wechat.wechat.errors import explain
from templates_mgmt import admin, tasks
from tests.factories import ChannelFactory, TemplateFactory, UserFactory
from tests.templates_mgmt.conftest import LIST

pytestmark = pytest.mark.django_db

TEMPLATES = reverse("admin:templates_mgmt_template_changelist")


def refresh_address(channel):
    return reverse("admin:templates_mgmt_refresh", args=[channel.pk])


def said(response):
    return [(m.level_tag, str(m)) for m in get_messages(response.wsgi_request)]


def person(*codenames):
    user = UserFactory()
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def test_refresh_says_what_was_added_changed_and_removed(wechat, admin_client):
    channel = ChannelFactory(name="Clinic")
    admin_client.post(refresh_address(channel))
    first, meeting, _system = wechat.templates
    wechat.lists([meeting | {"title": "New"}, first | {"template_id": "new-one"}])

    response = admin_client.post(refresh_address(channel))

    assert response.url == TEMPLATES
    assert said(response)[-1] == (
        "success",
        "Clinic: 1 added, 1 changed, 1 removed, 0 unchanged. "
        "Subscribe-notifications: 0 added, 0 changed, 0 removed, 2 unchanged.",
    )


def test_refresh_comes_back_to_the_page_it_was_pressed_on(wechat, admin_client):
    channel = ChannelFactory()
    page = reverse("admin:channels_wechat_channel_change", args=[channel.pk])

    response = admin_client.post(refresh_address(channel), {"next": page})

    assert response.url == page


def test_refresh_never_leads_to_another_host(wechat, admin_client):
    response = admin_client.post(
        refresh_address(ChannelFactory()), {"next": "//evil.example/x"}
    )

    assert response.url == TEMPLATES


@pytest.mark.parametrize(
    "name", ["templates_mgmt_refresh", "templates_mgmt_refresh_all"]
)
def test_refresh_is_never_a_link(wechat, admin_client, name):
    args = [ChannelFactory().pk] if name == "templates_mgmt_refresh" else []

    response = admin_client.get(reverse(f"admin:{name}", args=args))

    assert response.status_code == 405
    assert not wechat.mock.calls


def test_refresh_wants_the_csrf_token(wechat, client):
    client = type(client)(enforce_csrf_checks=True)
    client.force_login(person("refresh_templates", "view_template"))

    assert client.post(refresh_address(ChannelFactory())).status_code == 403
    assert not wechat.mock.calls


def test_refresh_wants_its_permission(wechat, client):
    channel = ChannelFactory()
    client.force_login(person("view_template", "view_channel"))

    assert client.post(refresh_address(channel)).status_code == 403
    assert client.post(reverse("admin:templates_mgmt_refresh_all")).status_code == 403
    assert not wechat.mock.calls
    page = reverse("admin:channels_wechat_channel_change", args=[channel.pk])
    assert refresh_address(channel) not in client.get(page).content.decode()
    assert refresh_address(channel) not in client.get(TEMPLATES).content.decode()


def test_the_channels_page_has_the_button(client):
    channel = ChannelFactory()
    client.force_login(person("refresh_templates", "view_channel"))
    page = reverse("admin:channels_wechat_channel_change", args=[channel.pk])

    assert f'action="{refresh_address(channel)}"' in client.get(page).content.decode()


def test_a_refusal_tells_the_reason_the_ip_the_remedy_and_wechats_words(
    wechat, admin_client
):
    channel = ChannelFactory(name="Clinic")
    wechat.refuses_tokens(
        40164, "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist"
    )

    [(level, text)] = said(admin_client.post(refresh_address(channel)))

    assert level == "error"
    assert text.startswith("Clinic: Our IP address is not in the account's IP whitel")
    assert "The address is 203.0.113.9." in text
    assert explain(40164).advice in text
    assert "not in whitelist (errcode 40164)" in text


def test_an_unknown_refusal_keeps_wechats_words(wechat, admin_client):
    wechat.answers({"errcode": 987654, "errmsg": "brand new rid: 1-2-3"})

    [(_level, text)] = said(admin_client.post(refresh_address(ChannelFactory())))

    assert "brand new" in text
    assert "(errcode 987654)" in text


def test_an_unreachable_wechat_is_no_error_of_ours(wechat, admin_client):
    wechat.mock.remove(responses.GET, LIST)
    wechat.mock.get(LIST, status=502, body="<html>Bad gateway</html>")

    [(level, text)] = said(admin_client.post(refresh_address(ChannelFactory())))

    assert (level, "WeChat cannot be reached." in text) == ("error", True)


def test_a_disabled_channel_is_not_asked(wechat, admin_client):
    channel = ChannelFactory(name="Clinic", enabled=False)

    response = admin_client.post(refresh_address(channel))

    assert said(response)[0][0] == "warning"
    assert not wechat.mock.calls


def test_the_channel_list_refreshes_several(wechat, admin_client):
    channels = [ChannelFactory(name="One"), ChannelFactory(name="Two")]

    response = admin_client.post(
        reverse("admin:channels_wechat_channel_changelist"),
        {
            "action": "refresh_templates",
            "_selected_action": [channel.pk for channel in channels],
        },
    )

    assert sorted(text for _level, text in said(response)) == [
        "One: 2 added, 0 changed, 0 removed, 0 unchanged. "
        "Subscribe-notifications: 2 added, 0 changed, 0 removed, 0 unchanged.",
        "Two: 2 added, 0 changed, 0 removed, 0 unchanged. "
        "Subscribe-notifications: 2 added, 0 changed, 0 removed, 0 unchanged.",
    ]


def test_the_list_action_wants_its_permission(client):
    client.force_login(person("view_channel", "change_channel"))
    ChannelFactory()

    page = client.get(reverse("admin:channels_wechat_channel_changelist"))

    assert 'value="refresh_templates"' not in page.content.decode()


def test_many_channels_are_left_to_the_worker(
    wechat, admin_client, django_capture_on_commit_callbacks
):
    count = admin.AT_ONCE + 1
    for _ in range(count):
        ChannelFactory()
    ChannelFactory(enabled=False)

    with django_capture_on_commit_callbacks() as queued:
        response = admin_client.post(reverse("admin:templates_mgmt_refresh_all"))

    assert said(response) == [
        ("info", f"The templates of {count} channels are being refreshed.")
    ]
    assert not wechat.mock.calls
    assert len(queued) == count
    assert {callback.func for callback in queued} == {tasks.refresh_templates.delay}


def test_the_list_shows_current_templates_unless_asked(admin_client):
    channel = ChannelFactory()
    TemplateFactory(channel=channel, title="Here")
    TemplateFactory(channel=channel, title="Gone", removed_at=timezone.now())

    def shown(query):
        html = admin_client.get(TEMPLATES + query).content.decode()
        return [title for title in ("Here", "Gone") if f">{title}<" in html]

    assert shown("") == ["Here"]
    assert shown("?state=removed") == ["Gone"]
    assert shown("?state=all") == ["Here", "Gone"]


def test_the_list_counts_each_channels_templates_against_25(admin_client):
    channel = ChannelFactory(name="Clinic")
    for _ in range(3):
        TemplateFactory(channel=channel)
    TemplateFactory(channel=channel, removed_at=timezone.now())
    TemplateFactory()

    response = admin_client.get(TEMPLATES)

    counted = {str(one): one.current for one in response.context["channels"]}
    assert counted["Clinic"] == 3
    assert "of 25 templates" in response.content.decode()


def test_the_list_costs_the_same_with_many_templates(admin_client):
    def queries():
        with CaptureQueriesContext(
            connection,
        ) as captured:
            admin_client.get(TEMPLATES)
        return len(captured)

    TemplateFactory()
    queries()
    few = queries()
    for _ in range(20):
        TemplateFactory()

    assert queries() == few


def test_a_templates_page_shows_fields_examples_and_limits(admin_client):
    template = TemplateFactory(title="Meeting reminder")
    page = reverse("admin:templates_mgmt_template_change", args=[template.pk])

    html = admin_client.get(page).content.decode()

    for text in ("Meeting reminder", "thing1", "Weekly", "Up to 20 characters."):
        assert text in html
    assert 'class="phone"' in html
    assert template.template_id in html


def test_a_removed_template_says_so_and_offers_no_send(admin_client):
    template = TemplateFactory(removed_at=timezone.now())
    page = reverse("admin:templates_mgmt_template_change", args=[template.pk])

    response = admin_client.get(page)

    assert "WeChat no longer lists this template" in response.content.decode()
    assert response.context["send_url"] == ""


def test_templates_are_nobodys_to_edit(admin_client):
    template = TemplateFactory()
    page = reverse("admin:templates_mgmt_template_change", args=[template.pk])

    admin_client.post(page, {"title": "Mine"})

    template.refresh_from_db()
    assert template.title == "Meeting reminder"
    assert admin_client.get(f"{TEMPLATES}add/").status_code == 403
    delete = reverse("admin:templates_mgmt_template_delete", args=[template.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403


def test_a_templates_page_wants_the_permission(client):
    template = TemplateFactory()
    page = reverse("admin:templates_mgmt_template_change", args=[template.pk])
    client.force_login(person("view_channel"))

    assert client.get(page).status_code == 403
    assert client.get(TEMPLATES).status_code == 403


def test_texts_from_wechat_are_escaped(wechat, admin_client):
    evil = "<script>alert(1)</script>"
    wechat.lists(
        [
            wechat.templates[1]
            | {"title": evil, "content": evil + ":{{thing1.DATA}}", "example": evil}
        ]
    )
    channel = ChannelFactory(name=evil[:30])
    admin_client.post(refresh_address(channel))
    template = channel.templates.get(kind="template")

    pages = [
        TEMPLATES,
        reverse("admin:templates_mgmt_template_change", args=[template.pk]),
    ]

    for page in pages:
        assert evil not in admin_client.get(page).content.decode()


def test_the_secret_never_shows(wechat, admin_client):
    channel = ChannelFactory(app_secret="s3cr3ts3cr3ts3cr3ts3cr3t")
    wechat.refuses_tokens(40125, "invalid appsecret")

    response = admin_client.post(refresh_address(channel), follow=True)

    assert "s3cr3t" not in response.content.decode()
    assert "s3cr3t" in json.dumps(wechat.mock.calls[0].request.body.decode())
