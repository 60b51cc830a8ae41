"""The whole way of a visitor: our page, WeChat's, ours again; the two connections."""

from urllib.parse import urlsplit

import pytest
import requests
from django.test import Client

from channels_wechat.models import Platform
from sandbox.inside import AGENT
from tests.factories import ChannelFactory
from tests.sandbox_fixture import SECOND_APPID
from users import binding
from users.models import OpenID

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def wechat(sandbox, settings, live_server):
    settings.PUBLIC_URL = live_server.url
    settings.WECHAT_API_BASE = settings.WECHAT_MP_BASE = sandbox.url
    settings.WECHAT_OPEN_BASE = sandbox.url
    return sandbox


@pytest.fixture
def by_secret(wechat):
    return ChannelFactory(
        code="hr", appid=wechat.appid, app_secret=wechat.secret, name="HR"
    )


@pytest.fixture
def by_platform(wechat, open_platform):
    return open_platform.connect()


def visit(channel, address, person=3):
    """Open `address` inside WeChat; return what the visitor sees in the end."""
    phone = Client(headers={"user-agent": AGENT})
    away = phone.get(address)
    assert away.status_code == 302, away.content
    wechat = requests.get(
        away["Location"],
        cookies={"sandbox_person": str(person)},
        allow_redirects=False,
        timeout=10,
    )
    assert wechat.status_code == 302, wechat.text
    home = urlsplit(wechat.headers["Location"])
    assert home.path == f"/bind/{channel.code}/back"
    return phone.get(f"{home.path}?{home.query}")


def test_a_link_binds_with_appid_and_appsecret(wechat, by_secret):
    link = binding.make_link(by_secret, "zhangsan")

    page = visit(by_secret, f"/bind/hr?link={link}")

    assert page.status_code == 200
    assert OpenID.objects.get().openid == wechat.openid(3)


def test_a_link_binds_through_the_platform(wechat, by_platform):
    link = binding.make_link(by_platform, "zhangsan")

    page = visit(by_platform, f"/bind/second?link={link}")

    assert page.status_code == 200, page.content.decode()
    row = OpenID.objects.get()
    assert row.openid == wechat.openid(3, SECOND_APPID)
    assert row.channel == by_platform


def test_a_component_token_that_died_is_renewed_once(wechat, by_platform):
    held = Platform.objects.get()
    held.value = "stale"
    held.save()
    link = binding.make_link(by_platform, "zhangsan")

    assert visit(by_platform, f"/bind/second?link={link}").status_code == 200
    assert Platform.objects.get().value != "stale"


def test_snapshot_visitors_are_bound_to_nobody(wechat, by_secret):
    wechat.settings(snapshot_users=True)
    link = binding.make_link(by_secret, "zhangsan")

    assert visit(by_secret, f"/bind/hr?link={link}").status_code == 403
    assert not OpenID.objects.exists()
