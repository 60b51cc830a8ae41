"""From the ticket to a channel, against the sandbox, both sides on real ports."""

import json
import re

import pytest
from django.db import connection
from django.utils import timezone

from channels_wechat import authorising, avatars, links, platform_tokens, tasks, tokens
from channels_wechat.models import (
    AccessToken,
    Authorization,
    AuthorizationCode,
    Avatar,
    Channel,
    Platform,
    PlatformEvent,
    PlatformLink,
)
from tests.factories import ChannelFactory
from tests.platform_fixture import wait_until
from tests.sandbox_fixture import SECOND_APPID

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def link(open_platform):
    return links.make_link("second", "第二个号")


def test_a_ticket_is_stored_at_once_and_not_in_the_clear(open_platform):
    row = Platform.objects.get()

    assert row.ticket.startswith("ticket@@@")
    assert row.ticket_received_at
    assert {event.kind for event in PlatformEvent.objects.all()} == {"ticket"}
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM channels_wechat_platform")
        assert row.ticket not in str(cursor.fetchall())


@pytest.mark.parametrize(
    "order", ["event_first", "redirect_first", "event_only", "redirect_only"]
)
def test_a_scan_becomes_a_ready_channel_whoever_brings_the_code(
    open_platform, link, sandbox, order
):
    open_platform.scan(link, order=order, twice=True)

    wait_until(lambda: PlatformLink.objects.get().state == "done")
    channel = Channel.objects.get()
    assert (channel.code, channel.name) == ("second", "第二个号")
    assert (channel.appid, channel.status) == (SECOND_APPID, "ready")
    assert channel.original_id == sandbox.account(SECOND_APPID)["original_id"]
    code = AuthorizationCode.objects.get(link=link)
    assert (code.state, code.value, code.refresh_token) == ("done", "", "")
    assert PlatformLink.objects.get().channel == channel
    assert Authorization.objects.get().permission_sets
    assert tokens.source(channel).get()
    assert channel.client().templates()


def test_the_page_shows_the_result_and_no_code(open_platform, link, client, sandbox):
    page = f"/wechattpp/link/{links.state_of(link)}"
    waiting = client.get(page + "/live").content.decode()

    back = sandbox.scan(links.addresses(link).pc_url, order="redirect_first")
    answer = client.get(back)
    done = client.get(page + "/live")

    assert 'data-state="waiting"' in waiting
    assert answer.status_code == 302
    assert "auth_code" not in answer["Location"]
    assert 'data-state="done"' in done.content.decode()
    assert done["X-Live"] == "stop"
    assert "componentloginpage" not in client.get(page).content.decode()


def test_nothing_secret_of_an_account_is_stored_in_the_clear(open_platform, sandbox):
    channel = open_platform.connect()

    (granted,) = sandbox.platform()["authorisations"]
    token = tokens.source(channel).get()
    with connection.cursor() as cursor:
        for table in ("authorization", "authorizationcode", "accesstoken"):
            cursor.execute(f"SELECT * FROM channels_wechat_{table}")
            rows = str(cursor.fetchall())
            assert granted["refresh_token"] not in rows
            assert token not in rows
    assert Authorization.objects.get().refresh_token == granted["refresh_token"]


def test_the_accounts_name_and_picture_are_taken_over(open_platform, sandbox):
    channel = open_platform.connect()

    assert channel.name == sandbox.account(SECOND_APPID)["name"]
    assert Authorization.objects.get().account_name == channel.name
    picture = wait_until(lambda: Avatar.objects.filter(channel=channel).first())
    assert picture.content_type == "image/png"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://example.com/x.png",
        "http://qlogo.cn.example.com/x.png",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_picture_is_fetched_from_wechats_hosts_alone(db, url, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("connected"))

    avatars.copy(ChannelFactory.build(), url)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ({"kind": "subscription"}, "subscription"),
        ({"kind": "service", "verified": False}, "unverified"),
    ],
)
def test_an_account_that_cannot_send_is_explained_and_not_connected(
    open_platform, link, sandbox, client, kind, problem
):
    appid = "wx5a0db0c5e70000f1"
    sandbox.add_account(appid=appid, secret="5" * 32, **kind)

    open_platform.scan(link, appid)

    wait_until(lambda: PlatformLink.objects.get().state == "failed")
    assert PlatformLink.objects.get().problem == problem
    assert not Channel.objects.exists()
    live = client.get(f"/wechattpp/link/{links.state_of(link)}/live").content.decode()
    assert f'data-problem="{problem}"' in live


def test_after_a_wrong_choice_the_same_link_takes_the_right_one(
    open_platform, link, sandbox, client
):
    appid = "wx5a0db0c5e70000f2"
    sandbox.add_account(appid=appid, secret="5" * 32, kind="subscription")
    shown = links.addresses(link).code
    live = f"/wechattpp/link/{links.state_of(link)}/live?code={shown}"
    before = client.get(live)
    open_platform.scan(link, appid)
    wait_until(lambda: PlatformLink.objects.get().state == "failed")

    after = client.get(live)
    open_platform.scan(link)

    wait_until(lambda: PlatformLink.objects.get().state == "done")
    assert Channel.objects.get().appid == SECOND_APPID
    # A pre-auth code works once: an open page gets another one by itself.
    assert "X-Live" not in before
    assert after["X-Live"] == "reload"
    # Done: the buttons go.
    assert client.get(live)["X-Live"] == "reload"
    assert client.get(live.partition("?")[0])["X-Live"] == "stop"


def test_an_account_outside_the_test_list_is_explained(open_platform, link, sandbox):
    redirect = sandbox.scan(links.addresses(link).pc_url, order="redirect_only")
    sandbox.platform(released=False, test_list=[])

    open_platform.follow(redirect)

    link.refresh_from_db()
    assert link.errcode == 61028
    assert not Channel.objects.exists()


def test_unticked_sets_are_findings(open_platform, link):
    open_platform.scan(link, without=[89, 8])
    channel = wait_until(lambda: Channel.objects.first())

    found = {(f.level, f.detail) for f in authorising_findings(channel)}

    assert ("bad", "Without set 89 no subscribe-notification can be sent.") in found
    assert channel.status == "ready"


def authorising_findings(channel):
    from channels_wechat.platform_checking import grant_findings

    return [found.told() for found in grant_findings(channel)]


# -- authorising again -----------------------------------------------------------------


def test_authorising_again_replaces_the_refresh_token(open_platform, sandbox):
    channel = open_platform.connect()
    before = Authorization.objects.get().refresh_token

    again = links.make_link(channel.code, channel.name, channel)
    open_platform.scan(again)

    wait_until(lambda: PlatformLink.objects.get(pk=again.pk).state == "done")
    (granted,) = sandbox.platform()["authorisations"]
    after = Authorization.objects.get()
    assert after.refresh_token == granted["refresh_token"] != before
    assert after.number > 1
    assert Channel.objects.count() == 1


def test_another_account_than_the_channels_changes_nothing(open_platform, sandbox):
    channel = open_platform.connect()
    appid = "wx5a0db0c5e70000f3"
    sandbox.add_account(appid=appid, secret="5" * 32)
    again = links.make_link(channel.code, channel.name, channel)
    # The administrator gets around the account that the page had chosen.
    pc_url = links.addresses(again).pc_url.partition("&biz_appid")[0]

    open_platform.follow(sandbox.scan(pc_url, appid))

    wait_until(lambda: PlatformLink.objects.get(pk=again.pk).state == "failed")
    assert PlatformLink.objects.get(pk=again.pk).problem == "other_account"
    assert Channel.objects.get().appid == SECOND_APPID


def test_an_account_that_is_connected_makes_no_second_channel(open_platform, sandbox):
    channel = open_platform.connect()
    other = links.make_link("another", "Another")

    open_platform.scan(other)

    wait_until(lambda: PlatformLink.objects.get(pk=other.pk).state == "failed")
    assert PlatformLink.objects.get(pk=other.pk).problem == "connected"
    (granted,) = sandbox.platform()["authorisations"]
    assert Authorization.objects.get().refresh_token == granted["refresh_token"]
    assert Channel.objects.get() == channel


def test_an_account_with_a_secret_stays_until_its_own_page_asks(open_platform, link):
    known = ChannelFactory(appid=SECOND_APPID)
    open_platform.scan(link)
    wait_until(lambda: PlatformLink.objects.get().state == "failed")
    assert PlatformLink.objects.get().problem == "by_secret"

    own = links.make_link(known.code, known.name, known)
    open_platform.scan(own)

    wait_until(lambda: PlatformLink.objects.get(pk=own.pk).state == "done")
    known.refresh_from_db()
    assert (known.authorization, known.app_secret) == ("platform", "")
    assert known.client().templates()


def test_changed_sets_are_taken_over(open_platform, sandbox):
    open_platform.connect()

    sandbox.change_sets([7])

    wait_until(lambda: Authorization.objects.get().permission_sets == [7])
    assert PlatformEvent.objects.filter(kind="updated").exists()


def test_a_withdrawal_stops_every_call(open_platform, sandbox):
    channel = open_platform.connect()
    sandbox.deauthorise()
    wait_until(lambda: Authorization.objects.get().ended_at)
    calls = len(sandbox.log())

    channel.refresh_from_db()
    with pytest.raises(platform_tokens.ChannelRefused):
        channel.client().templates()

    assert len(sandbox.log()) == calls
    assert channel.status == "unauthorized"
    assert AccessToken.objects.get().value == ""


# -- what may be lost ------------------------------------------------------------------


def test_a_refresh_token_that_was_replaced_is_found_in_the_list(open_platform, sandbox):
    channel = open_platform.connect()
    Authorization.objects.update(refresh_token="lost")
    AccessToken.objects.update(value="")

    assert tokens.source(channel).get()

    (granted,) = sandbox.platform()["authorisations"]
    assert Authorization.objects.get().refresh_token == granted["refresh_token"]


def test_a_refresh_token_is_replaced_with_the_access_token(open_platform, sandbox):
    channel = open_platform.connect()
    sandbox.settings(refresh_token_replaced=True)
    before = Authorization.objects.get().refresh_token

    for _ in range(3):
        tokens.ask(channel)

    (granted,) = sandbox.platform()["authorisations"]
    assert Authorization.objects.get().refresh_token == granted["refresh_token"]
    assert granted["refresh_token"] != before
    assert not PlatformEvent.objects.filter(errcode=61023).exists()


def test_an_authorisation_locks_the_token_first_as_renewing_does(
    open_platform, sandbox
):
    channel = open_platform.connect()
    tables = []

    def watch(execute, sql, *rest):
        if sql.startswith("UPDATE") or "FOR UPDATE" in sql:
            tables.extend(re.findall(r'"channels_wechat_(\w+)"', sql)[:1])
        return execute(sql, *rest)

    with connection.execute_wrapper(watch):
        tokens.ask(channel)
        renewing, tables = tables, []
        authorising.end(channel, timezone.now())

    # Two orders of locks are two processes that wait for each other.
    kept = renewing.index("authorization")
    assert "accesstoken" in renewing[:kept]
    if connection.features.has_select_for_update:
        assert tables.index("accesstoken") < tables.index("authorization")


def test_an_account_that_is_not_in_the_list_has_to_authorise_again(
    open_platform, sandbox
):
    channel = open_platform.connect()
    Authorization.objects.update(refresh_token="lost")
    AccessToken.objects.update(value="")
    # Withdrawn, and the event never came.
    sandbox.platform(event_url="")
    sandbox.deauthorise()

    with pytest.raises(platform_tokens.ChannelRefused):
        tokens.source(channel).get()

    channel.refresh_from_db()
    assert channel.status == "unauthorized"
    assert channel.refused_errcode in {61003, 61023}


def test_a_code_whose_exchange_nobody_stored_is_made_up_for(
    open_platform, link, sandbox
):
    redirect = sandbox.scan(links.addresses(link).pc_url, order="redirect_only")
    code = redirect.partition("auth_code=")[2].partition("&")[0]
    from urllib.parse import unquote

    # A process that died right after the exchange.
    platform_tokens.component().query_auth(unquote(code))
    row = authorising._keep(
        link.platform,
        unquote(code),
        SECOND_APPID,
        link,
        Platform.objects.get().ticket_created_at,
        Platform.objects.get().ticket_created_at.replace(year=2100),
    )

    tasks.sweep_platform()

    row.refresh_from_db()
    assert row.state == "done"
    assert Channel.objects.get().client().templates()


def test_a_code_is_tried_again_while_wechat_is_away(open_platform, link, sandbox):
    redirect = sandbox.scan(links.addresses(link).pc_url, order="redirect_only")
    sandbox.faults(kind="errcode", errcode=-1, path="/cgi-bin/component/api_query_auth")
    open_platform.follow(redirect)
    link.refresh_from_db()
    assert (link.state, link.errcode) == ("waiting", -1)

    sandbox.clear_faults()
    wait_until(lambda: tasks.sweep_platform() or Channel.objects.exists())

    link.refresh_from_db()
    assert (link.state, link.errmsg) == ("done", "")


def test_tickets_are_asked_for_when_they_are_late_and_not_too_often(
    open_platform, sandbox
):
    Platform.objects.update(ticket_received_at="2026-01-01T00:00:00Z")

    asked = [platform_tokens.ask_when_late() for _ in range(3)]

    assert asked == [True, False, False]
    wait_until(lambda: Platform.objects.get().ticket_received_at.year >= 2026)
    (line,) = PlatformEvent.objects.filter(kind="push_asked")
    assert line.count == 1


def test_the_release_test_is_passed(open_platform, sandbox):
    result = sandbox.release_test()

    assert [case for case in result["cases"] if not case["passed"]] == []
    assert result["passed"]
    details = set(
        PlatformEvent.objects.filter(kind="release_test").values_list(
            "detail", flat=True
        )
    )
    assert details >= {"case 2", "case 3", "case 3, message sent", "case 4"}
    assert not Channel.objects.exists()


def test_a_platform_refused_for_its_address_recovers_with_every_channel(
    open_platform, sandbox
):
    channel = open_platform.connect()
    Platform.objects.update(value="")
    AccessToken.objects.update(value="")
    sandbox.platform(ip_whitelist=["203.0.113.1"])
    with pytest.raises(platform_tokens.ChannelRefused):
        tokens.source(channel).get()
    channel.refresh_from_db()
    line = PlatformEvent.objects.get(errcode=61004)
    assert (channel.status, line.ip) == ("unauthorized", "127.0.0.1")

    sandbox.platform(ip_whitelist=None)
    platform_tokens.ComponentSource(Platform.objects.get()).get()

    channel.refresh_from_db()
    assert channel.status == "ready"
    assert json.dumps(sandbox.platform()["authorisations"])
