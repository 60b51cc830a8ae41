import json
from datetime import timedelta

import pytest
from django.utils import timezone, translation

from channels_wechat import tokens
from channels_wechat.checking import check, findings, refusal
from channels_wechat.models import AccessToken, Channel
from channels_wechat.wechat.errors import CODES, error_for
from tests.factories import ChannelFactory
from tests.wechat.scripted import http


@pytest.fixture
def channel(db, at_sandbox):
    return ChannelFactory(appid=at_sandbox.appid, app_secret=at_sandbox.secret)


def found(channel):
    """The findings by their check; each is looked at once."""
    all_of_them = check(channel)
    by_check = {finding.check: finding for finding in all_of_them}
    assert len(by_check) == len(all_of_them)
    return by_check


def test_a_healthy_channel(channel):
    Channel.objects.update(
        last_push_at=timezone.now(), templates_refreshed_at=timezone.now()
    )
    channel.refresh_from_db()

    by_check = found(channel)

    assert {check: finding.level for check, finding in by_check.items()} == {
        "token": "ok",
        "templates": "ok",
        "quota": "ok",
        "address": "ok",
        "callback": "ok",
        "clock": "ok",
    }
    channel.refresh_from_db()
    assert channel.status == "ready"
    assert channel.checked_at
    assert findings(channel) == list(by_check.values())


def test_a_new_channel_is_told_what_is_left_to_do(channel):
    by_check = found(channel)

    assert by_check["token"].level == "ok"
    assert by_check["templates"].level == "warn"
    assert "Refresh" in by_check["templates"].fix
    assert by_check["callback"].level == "warn"
    assert "Submit" in by_check["callback"].fix


def test_a_wrong_address_is_shown_and_what_to_do_with_it(channel, at_sandbox):
    at_sandbox.change_account(ip_whitelist=["198.51.100.7"])

    by_check = found(channel)

    assert by_check["token"].level == "bad"
    assert "40164" in by_check["token"].detail
    assert "The address is 127.0.0.1." in by_check["token"].fix
    assert "IP白名单" in by_check["token"].fix
    # Without a token nothing else is asked of WeChat.
    assert "templates" not in by_check
    assert "quota" not in by_check
    channel.refresh_from_db()
    assert channel.status == "unauthorized"


def test_a_whitelist_that_was_changed_shows_even_with_a_token_in_hand(
    channel, at_sandbox
):
    tokens.source(channel).get()
    at_sandbox.change_account(ip_whitelist=["198.51.100.7"])

    assert found(channel)["token"].level == "bad"


def test_a_wrong_secret_says_so(channel):
    channel.app_secret = "0" * 32
    channel.save()

    finding = found(channel)["token"]

    assert finding.level == "bad"
    assert "AppSecret" in finding.fix
    assert "0" * 32 not in str(finding)


@pytest.mark.parametrize("errcode", [40243, 89503, 50007])
def test_every_refusal_of_a_token_says_what_to_do(channel, settings, scripted, errcode):
    settings.WECHAT_API_BASE = scripted.url
    scripted.otherwise = http(json.dumps({"errcode": errcode, "errmsg": "no way"}))

    finding = found(channel)["token"]

    assert finding.level == "bad"
    assert CODES[errcode].meaning in finding.detail
    assert f"no way (errcode {errcode})" in finding.detail
    assert finding.fix == CODES[errcode].advice


def test_an_unreachable_wechat_is_bad_but_no_crash(channel, settings):
    settings.WECHAT_API_BASE = "http://127.0.0.1:9"

    by_check = found(channel)

    assert by_check["token"].level == "bad"
    assert "cannot be reached" in by_check["token"].detail
    assert "WeChat's words" not in by_check["token"].detail
    assert by_check["clock"].level == "warn"
    channel.refresh_from_db()
    assert channel.refused_at is None


def test_a_clock_that_is_wrong_is_found(channel, settings, scripted):
    settings.WECHAT_API_BASE = scripted.url
    told = timezone.now() - timedelta(minutes=10)
    date = told.strftime("%a, %d %b %Y %H:%M:%S GMT")
    scripted.otherwise = http('{"errcode":-1}', headers=f"Date: {date}\r\n")

    finding = found(channel)["clock"]

    assert finding.level == "bad"
    assert "60" in finding.detail  # 599 to 602 seconds
    assert finding.fix


def test_a_disabled_channel_says_so_first(channel):
    channel.enabled = False

    assert check(channel)[0].check == "enabled"


@pytest.mark.parametrize(
    ("public_url", "level"),
    [
        ("https://jums.example.com", "ok"),
        ("http://jums.example.com", "ok"),
        ("https://jums.example.com:8443", "warn"),
        ("http://jums.example.com:8000", "warn"),
        ("http://127.0.0.1:8000", "warn"),
        ("http://localhost", "warn"),
        ("https://10.1.2.3", "warn"),
        ("https://jums", "warn"),
        ("https://jums.corp.internal", "warn"),
    ],
)
def test_an_address_that_the_real_wechat_could_not_reach(
    db, settings, monkeypatch, public_url, level
):
    # Public by name, and nobody there: nothing is asked of the real one.
    settings.WECHAT_API_BASE = "http://wechat.invalid.example"
    settings.PUBLIC_URL = public_url

    assert found(ChannelFactory())["address"].level == level


def test_findings_are_read_in_the_language_of_whoever_reads(channel, at_sandbox):
    at_sandbox.change_account(ip_whitelist=["198.51.100.7"])
    with translation.override("zh-hans"):
        chinese = check(channel)
    channel.refresh_from_db()

    english = findings(channel)

    assert [each.check for each in chinese] == [each.check for each in english]
    assert "The address is 127.0.0.1." in english[0].fix
    assert "127.0.0.1" in chinese[0].fix
    assert english[0].detail != chinese[0].detail
    with translation.override("zh-hans"):
        assert findings(channel) == chinese


def test_an_unknown_code_keeps_wechats_words():
    told = refusal(error_for(99999, "brand new rid: 611740a4-27f9a8ba-065da01b"))

    assert told.words == "brand new (errcode 99999)"
    assert "do not know" in told.meaning
    assert told.words in told.detail


def test_checking_leaves_no_second_token(channel):
    check(channel)
    check(channel)

    assert AccessToken.objects.count() == 1
