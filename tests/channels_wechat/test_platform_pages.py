"""The console's pages of the third-party platform and of connecting by a scan."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from channels_wechat import links, platforms
from channels_wechat.checking import check
from channels_wechat.models import Authorization, Avatar, Channel, PlatformLink
from tests.channels_wechat.test_api_platform import codes, platform  # noqa: F401
from tests.factories import ChannelFactory, UserFactory
from tests.wechat.scripted import http

pytestmark = pytest.mark.django_db
PAGE = "/console/channels_wechat/platform/"
SCAN = "/console/channels_wechat/channel/scan/"


@pytest.fixture
def console(client):
    client.force_login(UserFactory(is_superuser=True))
    return client


@pytest.fixture
def authorised(platform):  # noqa: F811  # the fixture
    """A channel that was connected by a scan, without set 89."""
    channel = ChannelFactory(authorization="platform", app_secret="")
    Authorization.objects.create(
        channel=channel,
        platform=platform,
        permission_sets=[1, 7, 11, 15],
        authorised_at=timezone.now(),
        account_name="云杉生活",
        service_type=2,
        verify_type=0,
    )
    return channel


def test_the_page_says_what_to_enter_at_wechat(console, platform, settings):  # noqa: F811
    text = console.get(PAGE).content.decode()

    for part in (
        "https://jums.example.com/wechattpp/event",
        "https://jums.example.com/wechattpp/$APPID$/message",
        "sandboxplatform",
        "SpruceLivingSandboxPlatformKey0123456789abc",
        "203.0.113.7",
        "jums.example.com",
    ):
        assert f'data-copy="{part}"' in text, part
    assert "ticket@@@1" not in text
    assert settings.WECHATTPP_COMPONENT_APP_SECRET not in text


def test_token_and_key_are_for_those_who_may_change_the_platform(person, platform):  # noqa: F811
    text = person("channels_wechat.view_platform").get(PAGE).content.decode()

    assert "sandboxplatform" not in text
    assert "/wechattpp/event" in text
    assert person().get(PAGE).status_code == 403


def test_without_a_platform_the_page_says_how_to_get_one(console):
    text = console.get(PAGE).content.decode()

    assert "WECHATTPP_" in text
    assert "Start pushing tickets" not in text


def test_a_refused_call_is_in_the_log_with_the_address(console, platform, scripted):  # noqa: F811
    words = "access clientip is not registered requestIP: 14.145.194.154 rid: 658"
    scripted.otherwise = http(json.dumps({"errcode": 61004, "errmsg": words}))

    console.post(PAGE + "check/")
    text = console.get(PAGE + "live/").content.decode()

    assert "The address is 14.145.194.154." in text
    assert "IP whitelist of the third-party platform" in text


def test_tickets_are_asked_for_by_a_button(console, platform, scripted):  # noqa: F811
    scripted.otherwise = http('{"errcode":0,"errmsg":"ok"}')

    console.post(PAGE + "start/")

    assert scripted.requests[0].target == "/cgi-bin/component/api_start_push_ticket"
    platform.refresh_from_db()
    assert platform.push_asked_at
    assert [e.kind for e in platform.platformevent_set.all()] == ["push_asked"]


def test_the_buttons_need_their_permission(person, platform):  # noqa: F811
    viewer = person("channels_wechat.view_platform")
    viewer.handler.enforce_csrf_checks = False

    for name in ("check", "start"):
        assert viewer.post(f"{PAGE}{name}/").status_code == 403


def test_code_and_name_lead_to_the_qr_code(console, platform, codes):  # noqa: F811
    form = console.get(SCAN)
    answer = console.post(SCAN, {"code": "hr", "name": ""})
    page = console.get(answer["Location"])

    link = PlatformLink.objects.get()
    text = page.content.decode()
    assert form.status_code == 200
    assert (link.code, link.name) == ("hr", "")
    assert page["Referrer-Policy"] == "origin"
    assert "<svg" in text
    assert links.page_url(link) in text
    assert 'id="authorise-pc"' in text


def test_a_used_code_is_refused(console, platform):  # noqa: F811
    ChannelFactory(code="hr")

    answer = console.post(SCAN, {"code": "hr", "name": ""})

    assert "Another channel has this code" in answer.content.decode()
    assert not PlatformLink.objects.exists()


def test_a_channel_shows_its_sets_and_what_is_missing(console, authorised):
    Avatar.objects.create(
        channel=authorised, image=b"\x89PNG\r\n", content_type="image/png"
    )
    page = f"/console/channels_wechat/channel/{authorised.pk}/change/"

    text = console.get(page).content.decode()
    picture = console.get(f"/console/channels_wechat/channel/{authorised.pk}/avatar/")

    assert "云杉生活" in text
    assert text.count("Missing") == 2  # 89 and 8
    assert "no subscribe-notification can be sent" in text
    assert "Authorise again" in text
    assert "EncodingAESKey" not in text
    assert (picture["Content-Type"], picture.content) == ("image/png", b"\x89PNG\r\n")


def test_a_withdrawn_authorisation_shows_nothing_as_granted(console, authorised):
    Authorization.objects.update(ended_at=timezone.now())

    page = f"/console/channels_wechat/channel/{authorised.pk}/change/"
    text = console.get(page).content.decode()

    assert "withdrawn" in text
    assert "Granted" not in text


def test_the_check_tells_what_the_missing_set_stops(console, authorised, scripted):
    scripted.otherwise = http('{"errcode":61007,"errmsg":"no"}')
    found = {
        f.check: (f.level, f.detail) for f in check(authorised) if f.level == "bad"
    }

    assert found["sets"] == (
        "bad",
        "Without set 89 no subscribe-notification can be sent.",
    )


def test_authorise_again_makes_a_link_for_that_channel(console, authorised, codes):  # noqa: F811
    page = f"/console/channels_wechat/channel/{authorised.pk}/authorise/"

    answer = console.post(page)

    assert console.get(answer["Location"]).status_code == 200
    assert PlatformLink.objects.get().channel == authorised


def test_an_app_secret_connects_the_channel_the_other_way(console, authorised):
    page = f"/console/channels_wechat/channel/{authorised.pk}/edit/"
    form = console.get(page).context["adminform"].form
    given = {name: form[name].value() or "" for name in form.fields}

    console.post(page, {**given, "new_secret": "5ec2e75ec2e75ec2e75ec2e75ec2e75e"})

    authorised.refresh_from_db()
    assert authorised.authorization == "secret"


def test_a_link_that_has_expired_says_so(client, platform, codes):  # noqa: F811
    link = links.make_link("hr", "HR")
    PlatformLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    text = client.get(f"/wechattpp/link/{links.state_of(link)}").content.decode()

    assert "This link has expired" in text
    assert "componentloginpage" not in text


def test_the_list_of_channels_leads_to_the_scan(console, authorised):
    text = console.get("/console/channels_wechat/channel/").content.decode()

    assert "Connect by scan" in text
    assert Channel.objects.get().get_authorization_display() in text
    assert platforms.is_set_up()
