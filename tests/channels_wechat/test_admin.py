import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from channels_wechat.access_keys import holder
from channels_wechat.models import AccessKey, Channel
from tests.factories import ChannelFactory, OpenIDFactory

pytestmark = pytest.mark.django_db

APPID, SECRET = "wx5a0db0c5e7000001", "5a0db0c5e70000015a0db0c5e7000001"
NEW = {
    "name": "Demo",
    "code": "demo",
    "appid": APPID,
    "new_secret": SECRET,
    "callback_mode": "safe",
    "connections": "50",
}
ADD = reverse("admin:channels_wechat_channel_add")
LIST = reverse("admin:channels_wechat_channel_changelist")


def address(name, channel):
    return reverse(f"admin:channels_wechat_channel_{name}", args=[channel.pk])


@pytest.fixture
def admin(admin_user):
    client = Client()
    client.force_login(admin_user)
    return client


@pytest.fixture
def reader(person):
    return person("channels_wechat.view_channel")


def text(response):
    """What a reader of the page sees, roughly."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def errors(response):
    return response.context["adminform"].form.errors


# -- making and changing ---------------------------------------------------------------


def test_a_new_channel_gets_a_token_and_a_key_and_leads_to_its_page(admin, admin_user):
    response = admin.post(ADD, NEW)

    channel = Channel.objects.get()
    assert response.url == address("change", channel)
    assert channel.app_secret == SECRET
    assert re.fullmatch(r"[A-Za-z0-9]{32}", channel.callback_token)
    assert re.fullmatch(r"[A-Za-z0-9]{43}", channel.encoding_aes_key)
    assert channel.created_by == admin_user
    page = text(admin.get(response.url))
    for shown in (
        channel.callback_url,
        channel.callback_token,
        channel.encoding_aes_key,
        "203.0.113.7",
        "IP白名单",
        "服务器配置",
    ):
        assert shown in page
    assert SECRET not in page


def test_a_token_and_key_of_ones_own_are_taken(admin):
    admin.post(ADD, {**NEW, "new_token": "mytoken", "new_aes_key": "k" * 43})

    channel = Channel.objects.get()
    assert (channel.callback_token, channel.encoding_aes_key) == ("mytoken", "k" * 43)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 31),
        ("name", "Taken"),
        ("code", "taken"),
        ("code", "with space"),
        ("code", "编码"),
        ("code", "x" * 33),
        ("code", "demo\n"),
        ("appid", "gh_5a0db0c50001"),
        ("appid", "wx00000000000000aa"),
        ("new_secret", ""),
        ("new_secret", "with space"),
        ("new_token", "ab"),
        ("new_token", "no-dashes"),
        ("new_token", "x" * 33),
        ("new_aes_key", "x" * 42),
        ("callback_mode", "loud"),
        ("connections", "0"),
        ("connections", "5000"),
        ("rate_per_s", "0"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(admin, field, value):
    ChannelFactory(name="Taken", code="taken", appid="wx00000000000000aa")

    response = admin.post(ADD, {**NEW, field: value})

    if value == "demo\n":  # forms strip: what was meant is clear
        assert Channel.objects.filter(code="demo").exists()
        return
    assert list(errors(response)) == [field]
    assert Channel.objects.count() == 1


def test_no_secret_ever_comes_out_of_a_form(admin):
    response = admin.post(ADD, {**NEW, "name": "", "new_token": "mytoken"})
    assert SECRET not in response.content.decode()

    channel = ChannelFactory(app_secret=SECRET)
    page = admin.get(address("edit", channel)).content.decode()
    assert SECRET not in page
    assert channel.callback_token not in page
    assert channel.encoding_aes_key not in page


def change(channel, **values):
    return {
        "name": channel.name,
        "code": channel.code,
        "appid": channel.appid,
        "callback_mode": channel.callback_mode,
        "connections": channel.connections,
        "original_id": channel.original_id,
        **values,
    }


def test_an_empty_secret_keeps_the_stored_one(admin):
    channel = ChannelFactory()

    admin.post(
        address("edit", channel), change(channel, name="New name", rate_per_s="20")
    )

    again = Channel.objects.get()
    assert (again.name, again.rate_per_s) == ("New name", 20)
    assert again.app_secret == channel.app_secret
    assert again.callback_token == channel.callback_token
    assert again.encoding_aes_key == channel.encoding_aes_key


def test_a_new_secret_takes_the_refusal_away(admin):
    channel = ChannelFactory(refused_at=timezone.now(), refused_errcode=40125)

    admin.post(address("edit", channel), change(channel, new_secret="another-secret"))

    again = Channel.objects.get()
    assert (again.app_secret, again.status) == ("another-secret", "unverified")


def test_a_code_is_fixed_once_used(admin):
    channel = OpenIDFactory().channel

    admin.post(
        address("edit", channel),
        change(channel, code="another", appid="wx00000000000000bb", name="Renamed"),
    )

    again = Channel.objects.get()
    assert (again.code, again.appid) == (channel.code, channel.appid)
    assert again.name == "Renamed"


def test_an_unused_code_can_still_change(admin):
    channel = ChannelFactory()

    admin.post(address("edit", channel), change(channel, code="another"))

    assert Channel.objects.get().code == "another"


def test_a_new_key_keeps_the_previous_one(admin):
    channel = ChannelFactory()

    response = admin.post(address("renew_key", channel))

    again = Channel.objects.get()
    assert response.url == address("change", channel)
    assert again.encoding_aes_key != channel.encoding_aes_key
    assert again.aes_keys == [again.encoding_aes_key, channel.encoding_aes_key]


def test_a_new_token_is_made(admin):
    channel = ChannelFactory()

    admin.post(address("renew_token", channel))

    assert Channel.objects.get().callback_token != channel.callback_token


def test_disable_and_enable(admin):
    channel = ChannelFactory()

    admin.post(address("disable", channel))
    assert Channel.objects.get().status == "disabled"
    assert "This channel is disabled" in text(admin.get(address("change", channel)))

    admin.post(address("enable", channel))
    assert Channel.objects.get().enabled


def test_a_used_channel_cannot_be_deleted(admin):
    used, unused = OpenIDFactory().channel, ChannelFactory()

    assert admin.post(address("delete", used), {"post": "yes"}).status_code == 403
    assert admin.post(address("delete", unused), {"post": "yes"}).status_code == 302

    assert list(Channel.objects.all()) == [used]
    actions = re.findall(r'<option value="(\w+)"', admin.get(LIST).content.decode())
    assert "delete_selected" not in actions


# -- checking --------------------------------------------------------------------------


def test_the_check_button_shows_what_it_found(admin, at_sandbox):
    channel = ChannelFactory(appid=APPID, app_secret=SECRET)

    page = text(admin.post(address("check", channel), follow=True))

    assert "nothing stands in the way of sending" in page
    assert "WeChat gives an access token." in page
    assert "templates are in use" in page
    assert "Ready" in page


def test_a_wrong_address_is_shown_large(admin, at_sandbox):
    at_sandbox.change_account(ip_whitelist=["198.51.100.7"])
    channel = ChannelFactory(appid=APPID, app_secret=SECRET)

    page = text(admin.post(address("check", channel), follow=True))

    assert "1 thing does not work" in page
    assert "WeChat refuses this channel" in page
    assert "The address is 127.0.0.1." in page
    assert "40164" in page


def test_several_channels_are_checked_from_the_list(admin, at_sandbox):
    good = ChannelFactory(name="Good", appid=APPID, app_secret=SECRET)
    bad = ChannelFactory(name="Bad")

    page = text(
        admin.post(
            LIST,
            {"action": "check_selected", "_selected_action": [good.pk, bad.pk]},
            follow=True,
        )
    )

    assert "Good: nothing stands in the way of sending." in page
    assert "Bad: 1 thing does not work." in page
    assert "Does not work" in page


def test_only_so_many_are_checked_at_once(admin, scripted):
    channels = [ChannelFactory() for _ in range(6)]

    page = text(
        admin.post(
            LIST,
            {
                "action": "check_selected",
                "_selected_action": [channel.pk for channel in channels],
            },
            follow=True,
        )
    )

    assert "at most 5" in page
    assert scripted.requests == []


def test_several_are_disabled_and_enabled_from_the_list(admin):
    channels = [ChannelFactory() for _ in range(3)]
    chosen = {"_selected_action": [channels[0].pk, channels[1].pk]}

    admin.post(LIST, {"action": "disable_selected", **chosen})
    assert Channel.objects.filter(enabled=False).count() == 2

    admin.post(LIST, {"action": "enable_selected", **chosen})
    assert not Channel.objects.filter(enabled=False).exists()


# -- who may ---------------------------------------------------------------------------

POSTS = ["check", "enable", "disable", "renew_token", "renew_key"]


@pytest.mark.parametrize("name", POSTS)
def test_nothing_changes_by_a_link(admin, name):
    assert admin.get(address(name, ChannelFactory())).status_code == 405


@pytest.mark.parametrize("name", POSTS)
def test_nothing_changes_without_permission(reader, name):
    reader.handler.enforce_csrf_checks = False
    channel = ChannelFactory(enabled=name == "disable")

    assert reader.post(address(name, channel)).status_code == 403

    again = Channel.objects.get()
    assert again.enabled == channel.enabled
    assert again.callback_token == channel.callback_token
    assert again.checked_at is None


@pytest.mark.parametrize("name", POSTS)
def test_nothing_changes_without_the_csrf_token(admin_user, name):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)

    assert client.post(address(name, ChannelFactory())).status_code == 403


def test_a_reader_sees_the_page_without_its_secrets(reader):
    channel = ChannelFactory()

    page = reader.get(address("change", channel)).content.decode()

    assert channel.callback_url in page
    assert channel.callback_token not in page
    assert channel.encoding_aes_key not in page
    assert "/edit/" not in page
    assert "/check/" not in page
    assert reader.get(address("edit", channel)).status_code == 403


def test_a_checker_may_check_and_no_more(person, at_sandbox):
    checker = person("channels_wechat.view_channel", "channels_wechat.check_channel")
    checker.handler.enforce_csrf_checks = False
    channel = ChannelFactory(appid=APPID, app_secret=SECRET)

    assert checker.post(address("check", channel)).status_code == 302
    assert checker.post(address("disable", channel)).status_code == 403
    assert Channel.objects.get().token_ok_at


def test_nobody_is_asked_to_log_in(client):
    channel = ChannelFactory()

    for path in (LIST, ADD, address("change", channel), address("edit", channel)):
        assert client.get(path).status_code == 302
    assert client.post(address("check", channel)).status_code == 302
    assert Channel.objects.get().checked_at is None


def test_no_such_channel(admin):
    channel = ChannelFactory()
    paths = [address(name, channel) for name in ("change", *POSTS)]
    channel.delete()

    assert [admin.post(path).status_code for path in paths] == [404] * len(paths)


def test_the_list_takes_few_queries(admin, django_assert_max_num_queries):
    for _ in range(20):
        ChannelFactory()

    with django_assert_max_num_queries(12):
        assert admin.get(LIST).status_code == 200


# -- access keys -----------------------------------------------------------------------


def test_an_access_keys_secret_is_shown_once_and_works(admin, admin_user):
    response = admin.post(
        reverse("admin:channels_wechat_accesskey_add"), {"name": "crm"}
    )

    row = AccessKey.objects.get()
    (secret,) = re.findall(r"<code>([0-9a-f]{48})</code>", response.content.decode())
    assert holder(row.key, secret) == row
    assert row.created_by == admin_user
    assert "no-store" in response["Cache-Control"]
    for name, args in (("changelist", []), ("change", [row.pk])):
        path = reverse(f"admin:channels_wechat_accesskey_{name}", args=args)
        page = admin.get(path).content.decode()
        assert row.key in page
        assert secret not in page
        assert row.secret_hash not in page


def test_a_name_is_taken_once(admin):
    add = reverse("admin:channels_wechat_accesskey_add")
    admin.post(add, {"name": "crm"})

    response = admin.post(add, {"name": "crm"})

    assert list(errors(response)) == ["name"]
    assert AccessKey.objects.count() == 1


def test_an_access_key_can_be_switched_off(admin):
    admin.post(reverse("admin:channels_wechat_accesskey_add"), {"name": "crm"})
    row = AccessKey.objects.get()

    admin.post(
        reverse("admin:channels_wechat_accesskey_change", args=[row.pk]),
        {"name": "crm"},
    )

    again = AccessKey.objects.get()
    assert not again.enabled
    assert (again.key, again.secret_hash) == (row.key, row.secret_hash)
