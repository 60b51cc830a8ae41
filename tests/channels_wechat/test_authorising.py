"""From the ticket to a channel, against the sandbox, both sides on real ports."""

import time

import pytest

from channels_wechat import links, tokens
from channels_wechat.models import (
    AuthorizationCode,
    Channel,
    Platform,
    PlatformEvent,
)
from tests.sandbox_fixture import SECOND_APPID

pytestmark = pytest.mark.django_db(transaction=True)


def wait_until(condition, timeout_s=10):
    until = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)
    return found


@pytest.fixture
def wechat(at_sandbox, platform_set_up, live_server, settings):
    """The sandbox that knows our addresses and has pushed a ticket."""
    settings.PUBLIC_URL = live_server.url
    settings.WECHAT_MP_BASE = settings.WECHAT_OPEN_BASE = at_sandbox.url
    at_sandbox.platform(connect=live_server.url)
    at_sandbox.push_ticket()
    return at_sandbox


@pytest.fixture
def link(wechat):
    return links.make_link("second", "第二个号")


def scan(wechat, link, **how):
    return wechat.scan(links.addresses(link).pc_url, **how)


def test_a_ticket_is_stored_at_once_and_not_in_the_clear(wechat):
    row = Platform.objects.get()

    assert row.ticket.startswith("ticket@@@")
    assert row.ticket_received_at
    assert PlatformEvent.objects.get().kind == "ticket"
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM channels_wechat_platform")
        assert row.ticket not in str(cursor.fetchall())


@pytest.mark.parametrize("order", ["event_first", "redirect_first"])
def test_a_scan_becomes_a_ready_channel_in_either_order(wechat, link, client, order):
    back = scan(wechat, link, order=order, twice=True)
    answer = client.get(back)

    channel = wait_until(lambda: Channel.objects.filter(code="second").first())
    link.refresh_from_db()
    assert answer.status_code == 302
    assert "auth_code" not in answer["Location"]
    assert (channel.name, channel.appid) == ("第二个号", SECOND_APPID)
    assert (channel.status, channel.authorization) == ("ready", "platform")
    assert channel.original_id == wechat.account(SECOND_APPID)["original_id"]
    assert link.state == "done"
    assert AuthorizationCode.objects.get().state == "done"
    assert tokens.source(channel).get()
    assert channel.client().templates()
