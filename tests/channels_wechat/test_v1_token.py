"""GET /v1/token: chapter 8 of the JUMS API."""

from datetime import timedelta

import pytest
from django.utils import timezone

from channels_wechat.models import AccessToken, Channel
from tests.factories import ChannelFactory
from tests.jums_fixture import refusal

pytestmark = pytest.mark.django_db
TOKEN = "token?type=wechatoa"


@pytest.fixture
def hold(shop):
    """Give a channel an access token that lives so many seconds."""

    def token(value, channel=None, lives_s=7000.9):
        channel = channel or shop.channel
        ends = timezone.now() + timedelta(seconds=lives_s)
        AccessToken.objects.create(
            channel=channel,
            value=value,
            credentials=channel.credentials,
            generation=1,
            obtained_at=ends - timedelta(hours=2),
            expires_at=ends,
        )

    return token


def test_the_token_comes_with_its_true_remainder_as_text(shop, hold):
    hold("the-token")

    body = shop.get(TOKEN).json()

    assert set(body) == {"code", "message", "token", "expires_in"}
    assert (body["code"], body["message"], body["token"]) == (0, "success", "the-token")
    assert isinstance(body["expires_in"], str)
    assert 6990 <= int(body["expires_in"]) <= 7000


def test_everybody_gets_the_same_one_token(shop, at_sandbox):
    shop.channel.appid, shop.channel.app_secret = at_sandbox.appid, at_sandbox.secret
    shop.channel.save()

    first, again = shop.get(TOKEN).json(), shop.get(TOKEN).json()

    assert first["token"] == again["token"] == AccessToken.objects.get().value


def test_one_that_ends_soon_is_renewed_first(shop, hold, at_sandbox):
    shop.channel.appid, shop.channel.app_secret = at_sandbox.appid, at_sandbox.secret
    shop.channel.save()
    hold("old", lives_s=200)

    body = shop.get(TOKEN).json()

    assert body["token"] != "old"
    assert int(body["expires_in"]) > 300


def test_of_several_channels_the_oldest_enabled_one_unless_it_is_named(shop, hold):
    second, foreign = ChannelFactory(code="second"), ChannelFactory(code="foreign")
    shop.row.channels.add(second)
    for value, channel in [("1", None), ("2", second), ("3", foreign)]:
        hold(value, channel)

    def token(query=""):
        return shop.get(TOKEN + query).json().get("token")

    assert [token(), token("&code="), token("&code=shop")] == ["1", "1", "1"]
    assert token("&code=second") == "2"
    shop.channel.enabled = False
    shop.channel.save()
    assert token() == "2"
    for query in ("&code=shop", "&code=foreign", "&code=nobody"):
        assert refusal(shop.get(TOKEN + query)) == (400, 1015008)


@pytest.mark.parametrize("query", ["", "&code=shop"])
def test_the_token_of_a_scanned_channel_is_not_shared(shop, hold, query):
    Channel.objects.update(authorization=Channel.By.PLATFORM)
    hold("a platform's token", Channel.objects.get())

    assert refusal(shop.get(TOKEN + query)) == (400, 4004)


def test_a_literal_null_body_changes_nothing(shop, hold):
    hold("the-token")

    assert shop.get(TOKEN, body="null").json()["token"] == "the-token"


@pytest.mark.parametrize(
    "type_", ["wechatmp", "dingtalkcc", "wechatwk", "", "WECHATOA", "x", "\0", "wechat"]
)
def test_another_type_is_4004(shop, hold, type_):
    hold("the-token")

    assert refusal(shop.get(f"token?type={type_}")) == (400, 4004)
    assert refusal(shop.get("token")) == (400, 4004)


@pytest.mark.parametrize("state", ["none", "disabled"])
def test_without_a_usable_channel_it_is_1015008(shop, hold, state):
    hold("the-token")
    if state == "none":
        shop.row.channels.clear()
    else:
        shop.channel.enabled = False
        shop.channel.save()

    assert refusal(shop.get(TOKEN)) == (400, 1015008)


def test_wechats_refusal_is_5000_with_its_own_words(shop, at_sandbox):
    shop.channel.appid, shop.channel.app_secret = at_sandbox.appid, "f" * 32
    shop.channel.save()

    answer = shop.get(TOKEN)

    assert refusal(answer) == (500, 5000)
    assert "40125" in answer.json()["message"]
    assert "invalid appsecret" in answer.json()["message"]


def test_a_wechat_that_cannot_be_asked_is_5000(shop):
    # Nobody listens where the tests' WeChat would be.
    assert refusal(shop.get(TOKEN)) == (500, 5000)
