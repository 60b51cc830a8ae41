"""Sends of accounts that were connected by a scan, against the sandbox."""

import pytest

from channels_wechat import links, platforms, tokens
from channels_wechat.models import (
    AccessToken,
    Channel,
    Platform,
    PlatformEvent,
)
from channels_wechat.wechat.limits import parse_fields
from sandbox import people
from sends import audience, control, preparing, receipts, sending, sweeping
from sends.models import Drain, InboundEvent, Send
from tests.factories import SendFactory, TemplateFactory
from tests.platform_fixture import wait_until
from tests.sandbox_fixture import SECOND_APPID

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("true_counters"),
]
VALUES = {"thing": "周会", "time": "2026年5月8日 10:00", "character_string": "A1"}


@pytest.fixture
def channel(open_platform) -> Channel:
    return open_platform.connect()


@pytest.fixture
def prepared(channel, sandbox):
    """Make a prepared send to the second account's people number 1 to `count`."""
    known = sandbox.templates(SECOND_APPID)["会议预约提醒"]
    template = TemplateFactory(
        channel=channel,
        template_id=known["template_id"],
        fields=[field._asdict() for field in parse_fields(known["content"])],
    )

    def make(count=20):
        send = SendFactory(
            template=template,
            status=Send.Status.PREPARING,
            data={f["key"]: VALUES[f["type"]] for f in template.fields},
        )
        openids = [people.openid(SECOND_APPID, n) for n in range(1, count + 1)]
        audience.stage(send, [], [("", openid) for openid in openids])
        preparing.prepare(send.pk)
        return send

    return make


def served(send):
    send.refresh_from_db()
    return sum(send.counts.values()) - send.n_waiting - send.n_sending


def test_a_send_goes_out_and_its_receipts_come_back(channel, prepared, sandbox):
    send = prepared(20)

    sending.drain(channel.pk)
    wait_until(
        lambda: (
            InboundEvent.objects.filter(channel=channel, status=0).count()
            >= Send.objects.get(pk=send.pk).n_accepted
        )
    )
    receipts.apply_waiting(channel.pk)

    send.refresh_from_db()
    assert send.status == "finished"
    assert send.n_accepted == 0
    assert send.n_delivered + send.n_undelivered + send.n_refused == 20
    assert send.n_delivered


def test_a_withdrawal_pauses_and_authorising_again_goes_on(
    channel, prepared, open_platform, sandbox
):
    send = prepared(20)

    sandbox.deauthorise(SECOND_APPID)
    wait_until(lambda: Send.objects.get(pk=send.pk).status == "paused")
    send.refresh_from_db()
    sending.drain(channel.pk)

    assert Channel.objects.get(pk=channel.pk).status == "unauthorized"
    assert send.pause_code == "channel"
    assert send.pause_errcode == 61003
    assert send.pause_detail

    open_platform.scan(links.make_link(channel.code, channel.name, channel))
    wait_until(lambda: Send.objects.get(pk=send.pk).status == "running")
    sending.drain(channel.pk)

    send.refresh_from_db()
    assert send.status == "finished"
    assert served(send) == 20
    assert sandbox.shown(appid=SECOND_APPID)["max_per_openid"] == 1


def test_wechats_word_comes_before_the_event(channel, prepared, sandbox):
    send = prepared(5)
    sandbox.faults(kind="errcode", errcode=61003, appid=SECOND_APPID)

    sending.drain(channel.pk)

    send.refresh_from_db()
    channel.refresh_from_db()
    assert (send.status, send.pause_errcode) == ("paused", 61003)
    assert channel.status == "unauthorized"
    assert PlatformEvent.objects.filter(kind="error", errcode=61003).exists()


def test_a_send_that_a_person_paused_stays_paused(channel, prepared, open_platform):
    send = prepared(5)
    control.pause(send, "operator")

    open_platform.scan(links.make_link(channel.code, channel.name, channel))

    wait_until(
        lambda: channel.platform_authorization.__class__.objects.get().number > 1
    )
    send.refresh_from_db()
    assert (send.status, send.pause_code) == ("paused", "operator")


def test_a_missing_set_pauses_and_granting_it_goes_on(
    channel, prepared, open_platform, sandbox
):
    send = prepared(5)
    sandbox.change_sets([1, 89])
    wait_until(
        lambda: Channel.objects.get().platform_authorization.permission_sets == [1, 89]
    )

    sending.drain(channel.pk)
    send.refresh_from_db()
    assert (send.status, send.pause_errcode) == ("paused", 61007)

    sandbox.change_sets([1, 7, 89])
    wait_until(lambda: Send.objects.get(pk=send.pk).status == "running")
    sending.drain(channel.pk)
    assert served(send) == 5


def test_without_a_ticket_a_send_waits_and_goes_on_by_itself(
    channel, prepared, sandbox
):
    send = prepared(5)
    ticket = Platform.objects.get().ticket
    Platform.objects.update(ticket="", value="", generation=9)
    AccessToken.objects.update(value="")

    sending.drain(channel.pk)
    drain = Drain.objects.get()
    assert Send.objects.get(pk=send.pk).status == "running"
    assert "ticket" in drain.hold_reason

    platforms.take_ticket(
        platforms.current(), ticket, Platform.objects.get().ticket_created_at
    )
    Drain.objects.update(hold_until=None)
    assert channel.pk in sweeping.channels_to_drain()
    sending.drain(channel.pk)
    assert served(send) == 5


def test_tokens_that_end_every_second_or_two_fail_nobody(channel, prepared, sandbox):
    sandbox.settings(token_life_s=2)
    AccessToken.objects.update(value="")
    Platform.objects.update(value="")
    Channel.objects.update(rate_per_s=100)
    send = prepared(400)

    sending.drain(channel.pk)

    send.refresh_from_db()
    assert send.status == "finished"
    assert send.n_waiting == send.n_unknown == 0
    assert tokens.source(channel).get()
    assert AccessToken.objects.get().generation > 2
