"""Drains against the sandbox: what is sent, what each answer leads to."""

import contextlib
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from channels_wechat.models import AccessToken, Channel
from channels_wechat.wechat.limits import parse_fields
from sandbox import people
from sends import (
    audience,
    claiming,
    control,
    preparing,
    querysets,
    recording,
    sending,
    sweeping,
    turns,
)
from sends.leases import Lease, LeaseLost
from sends.models import Chunk, Delivery, Drain, Send
from sends.querysets import Result
from tests.factories import ChannelFactory, OpenIDFactory, SendFactory, TemplateFactory
from tests.sandbox_fixture import SEND

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]

APPID = "wx5a0db0c5e70000e9"
SECRET = "5a0db0c5e70000e95a0db0c5e70000e9"
MEETING = "会议预约提醒"


@pytest.fixture
def channel(sandbox, settings):
    # An account where everyone follows.
    sandbox.add_account(appid=APPID, secret=SECRET, followers=1300)
    settings.WECHAT_API_BASE = sandbox.url
    return ChannelFactory(appid=APPID, app_secret=SECRET)


@pytest.fixture
def template(channel, sandbox):
    known = sandbox.templates(APPID)[MEETING]
    return TemplateFactory(
        channel=channel,
        template_id=known["template_id"],
        fields=[field._asdict() for field in parse_fields(known["content"])],
    )


VALUES = {"thing": "周会", "time": "2026年5月8日 10:00", "character_string": "A1"}


@pytest.fixture
def prepared(template):
    """Make a prepared send to the sandbox's people number 1 to `count`."""

    def make(count=20, **fields):
        send = SendFactory(
            template=template,
            status=Send.Status.PREPARING,
            data={f["key"]: VALUES[f["type"]] for f in template.fields},
            **fields,
        )
        openids = [people.openid(APPID, n) for n in range(1, count + 1)]
        audience.stage(send, [], [("", openid) for openid in openids])
        preparing.prepare(send.pk)
        return send

    return make


def counts(send):
    return {k: v for k, v in Send.objects.get(pk=send.pk).counts.items() if v}


def by_status(send):
    return dict(
        Counter(
            Delivery.Status(status).name.lower()
            for status in Delivery.objects.filter(send=send).values_list(
                "status", flat=True
            )
        )
    )


def make_all_due():
    Chunk.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    Drain.objects.update(hold_until=None)


def test_everyone_is_sent_to_once(channel, prepared, sandbox):
    send = prepared(count=1200)

    sending.drain(channel.pk)

    assert counts(send) == {"accepted": 1200}
    assert sandbox.shown()["total"] == 1200
    assert sandbox.shown()["max_per_openid"] == 1
    send.refresh_from_db()
    assert send.status == Send.Status.FINISHED
    assert send.finished_at is not None
    assert Delivery.objects.filter(send=send, wechat_msgid__gt=2**53).count() == 1200


def test_a_second_drain_finds_the_lease_taken(channel, prepared):
    send = prepared()
    lease = Lease.take(channel.pk)

    sending.drain(channel.pk)
    assert counts(send) == {"waiting": 20}

    lease.release()
    sending.drain(channel.pk)
    assert counts(send) == {"accepted": 20}


@pytest.mark.parametrize("kind", ["busy_after", "truncated", "bad_gateway_after"])
def test_an_answer_never_seen_is_repeated_and_shown_once(
    channel, prepared, sandbox, kind
):
    send = prepared()
    sandbox.faults(kind=kind, calls=7)

    sending.drain(channel.pk)

    assert counts(send) == {"accepted": 20}
    assert sandbox.shown()["total"] == 20
    assert sandbox.shown()["max_per_openid"] == 1


def test_a_doubt_older_than_wechats_memory_becomes_unknown(channel, prepared, sandbox):
    send = prepared()
    first = Delivery.objects.filter(send=send).order_by("pk").values("pk")[:3]
    Delivery.objects.filter(pk__in=list(first.values_list("pk", flat=True))).update(
        doubt_since=timezone.now() - timedelta(minutes=10)
    )

    sending.drain(channel.pk)

    assert counts(send) == {"accepted": 17, "unknown": 3}
    assert sandbox.shown()["total"] == 17
    send.refresh_from_db()
    assert send.status == Send.Status.FINISHED


def test_a_dead_worker_leaves_doubt_that_the_next_drain_settles(
    channel, prepared, sandbox
):
    send = prepared()
    dead = Lease.take(channel.pk)
    chunk = Chunk.objects.get(send=send)
    chunk.state, chunk.fence = Chunk.State.CLAIMED, dead.fence
    chunk.claimed_at = timezone.now() - timedelta(minutes=1)
    chunk.save()
    rows = Delivery.objects.claim(chunk)
    Send.objects.filter(pk=send.pk).update(n_waiting=0, n_sending=20)
    assert sweeping.channels_to_drain() == []  # its lease lives

    Drain.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert sweeping.channels_to_drain() == [channel.pk]
    sending.drain(channel.pk)

    assert counts(send) == {"accepted": 20}
    assert sandbox.shown()["max_per_openid"] == 1
    with pytest.raises(LeaseLost):
        dead.hold()
    # Whatever the dead one still brings changes nothing.
    late = [Result(row.id, Delivery.Status.REFUSED) for row in rows]
    assert not Delivery.objects.record(late)


def test_40001_costs_one_refresh_and_no_message(channel, prepared, sandbox):
    send = prepared(count=600)
    sandbox.faults(kind="token_dies", calls=1)

    sending.drain(channel.pk)

    assert counts(send) == {"accepted": 600}
    assert sandbox.stats()["tokens_issued"] == 2
    assert AccessToken.objects.get(channel=channel).generation == 2
    assert sandbox.shown()["max_per_openid"] == 1


def test_a_token_that_dies_again_and_again_pauses_instead_of_looping(
    channel, prepared, sandbox
):
    send = prepared()
    sandbox.faults(kind="errcode", errcode=40001)

    sending.drain(channel.pk)

    send.refresh_from_db()
    assert (send.status, send.pause_code) == ("paused", "channel")
    assert counts(send) == {"waiting": 20}
    assert sandbox.stats()["tokens_issued"] <= 3


def test_45009_pauses_says_why_and_when_it_goes_on(channel, prepared, sandbox):
    send = prepared(count=600)
    other = prepared(count=5)
    sandbox.faults(kind="daily_quota")

    sending.drain(channel.pk)

    send.refresh_from_db()
    assert (send.status, send.pause_code, send.pause_errcode) == (
        "paused",
        "quota",
        45009,
    )
    assert send.resume_at > timezone.now()
    assert send.resume_at - timezone.now() < timedelta(days=1, minutes=6)
    assert counts(send) == {"waiting": 600}
    assert Send.objects.get(pk=other.pk).status == "paused"

    sandbox.clear_faults()
    Send.objects.update(resume_at=timezone.now())
    sweeping.sends_to_prepare()
    sending.drain(channel.pk)
    assert counts(send) == {"accepted": 600}


def test_a_wrong_ip_pauses_with_wechats_own_words(channel, prepared, sandbox):
    send = prepared()
    sandbox.change_account(APPID, ip_whitelist=["192.0.2.1"])

    sending.drain(channel.pk)

    send.refresh_from_db()
    assert (send.status, send.pause_code, send.pause_errcode) == (
        "paused",
        "channel",
        40164,
    )
    assert "127.0.0.1" in send.pause_detail
    assert counts(send) == {"waiting": 20}


def test_a_refused_person_does_not_stop_the_others(channel, prepared, sandbox):
    send = prepared()
    openid = people.openid(APPID, 3)
    bound = OpenIDFactory(channel=channel, openid=openid)
    elsewhere = OpenIDFactory(openid=openid)
    sandbox.faults(kind="errcode", errcode=43004, openid=openid)

    sending.drain(channel.pk)

    assert counts(send) == {"accepted": 19, "refused": 1}
    refused = Delivery.objects.get(send=send, status=Delivery.Status.REFUSED)
    assert (refused.openid, refused.errcode) == (openid, 43004)
    bound.refresh_from_db()
    elsewhere.refresh_from_db()
    assert (bound.followed, elsewhere.followed) == (False, None)


def test_a_deleted_template_pauses_only_its_send(channel, prepared, sandbox):
    send = prepared()
    send.template.template_id = "tSBgone"
    send.template.save()

    sending.drain(channel.pk)

    send.refresh_from_db()
    assert (send.status, send.pause_code, send.pause_errcode) == (
        "paused",
        "template",
        40037,
    )
    assert counts(send) == {"waiting": 20}


@pytest.mark.parametrize(
    ("errcode", "pause_code"),
    [(40249, "template"), (43116, "template"), (48004, "channel"), (50002, "channel")],
)
def test_what_concerns_everyone_stops_the_send_at_the_first_answer(
    channel, prepared, sandbox, errcode, pause_code
):
    Channel.objects.update(connections=1)
    send = prepared(count=30)
    sandbox.faults(kind="errcode", errcode=errcode)

    sending.drain(channel.pk)

    send.refresh_from_db()
    assert (send.status, send.pause_code) == ("paused", pause_code)
    assert send.pause_errcode == errcode
    assert sandbox.stats()["calls"][SEND] == {str(errcode): 1}


def test_twenty_identical_unknown_errors_pause_the_send(channel, prepared, sandbox):
    Channel.objects.update(connections=1)
    send = prepared(count=50)
    sandbox.faults(kind="errcode", errcode=77777, errmsg="brand new")

    sending.drain(channel.pk)

    send.refresh_from_db()
    assert (send.status, send.pause_code, send.pause_errcode) == (
        "paused",
        "unknown_errors",
        77777,
    )
    assert counts(send) == {"refused": 20, "waiting": 30}


def test_the_brake_is_pulled_for_each_send_by_itself(channel, prepared, sandbox):
    Channel.objects.update(connections=1)
    sends = [prepared(count=50), prepared(count=50)]
    sandbox.faults(kind="errcode", errcode=77777, errmsg="brand new")

    sending.drain(channel.pk)

    assert {Send.objects.get(pk=send.pk).status for send in sends} == {"paused"}
    assert sandbox.stats()["calls"][SEND] == {"77777": 40}


def test_a_send_that_is_refused_too_often_pauses(channel, prepared, settings, sandbox):
    settings.BRAKE_REFUSED_PERCENT = 30
    send = prepared(count=1000)
    sandbox.faults(kind="errcode", errcode=43004, share=0.5)

    sending.drain(channel.pk)

    send.refresh_from_db()
    assert (send.status, send.pause_code) == ("paused", "refusals")
    failed, total = map(int, send.pause_detail.split("/"))
    assert total >= 200
    assert failed / total > 0.3
    assert counts(send)["waiting"] > 0

    # Whoever resumes it has seen that.
    control.resume(send, by="li")
    sending.drain(channel.pk)
    assert set(counts(send)) == {"accepted", "refused"}


def test_fewer_refusals_than_the_limit_stop_nothing(
    channel, prepared, settings, sandbox
):
    settings.BRAKE_REFUSED_PERCENT = 80
    send = prepared(count=1000)
    sandbox.faults(kind="errcode", errcode=43004, share=0.5)

    sending.drain(channel.pk)

    assert set(counts(send)) == {"accepted", "refused"}


def test_45011_lets_the_channel_rest_and_goes_on(channel, prepared, sandbox):
    send = prepared()
    sandbox.faults(kind="rate_limit", calls=1)

    sending.drain(channel.pk)

    drain = Drain.objects.get(channel=channel)
    assert drain.hold_until > timezone.now() + timedelta(seconds=50)
    assert "45011" in drain.hold_reason
    assert sweeping.channels_to_drain() == []
    assert Send.objects.get(pk=send.pk).status == "running"

    make_all_due()
    assert sweeping.channels_to_drain() == [channel.pk]
    sending.drain(channel.pk)
    assert counts(send) == {"accepted": 20}


def test_a_busy_wechat_slows_the_channel_down(channel, prepared, sandbox, admin_client):
    send = prepared(count=200)
    sandbox.faults(kind="busy", calls=5)

    sending.drain(channel.pk)

    drain = Drain.objects.get(channel=channel)
    assert counts(send) == {"accepted": 200}
    assert 0.4 < drain.pace < 0.8
    assert "-1" in drain.pace_reason
    Send.objects.filter(pk=send.pk).update(status="running")
    page = admin_client.get(reverse("admin:sends_send_change", args=[send.pk])).text
    assert "% of the channel" in page


def test_wechat_out_of_reach_loses_and_doubts_nothing(channel, prepared, settings):
    send = prepared(count=60)
    AccessToken.objects.create(
        channel=channel,
        value="kept",
        generation=1,
        obtained_at=timezone.now(),
        expires_at=timezone.now() + timedelta(hours=1),
    )
    settings.WECHAT_API_BASE = "http://127.0.0.1:9"

    sending.drain(channel.pk)

    assert counts(send) == {"waiting": 60}
    assert not Delivery.objects.filter(doubt_since__isnull=False).exists()
    assert Drain.objects.get(channel=channel).hold_reason


def test_a_canceled_send_is_settled_doubts_as_unknown(channel, prepared, sandbox):
    send = prepared()
    first = Delivery.objects.filter(send=send).order_by("pk").values("pk")[:2]
    Delivery.objects.filter(pk__in=list(first.values_list("pk", flat=True))).update(
        doubt_since=timezone.now()
    )
    fresh = prepared(count=5)
    control.cancel(send, by="li")
    control.cancel(fresh, by="li")

    assert sweeping.channels_to_drain() == [channel.pk]
    sending.drain(channel.pk)

    assert counts(send) == {"canceled": 18, "unknown": 2}
    assert counts(fresh) == {"canceled": 5}


def test_a_send_canceled_while_it_is_prepared_is_settled(channel, template):
    send = SendFactory(template=template, status=Send.Status.PREPARING)
    delivery = Delivery.objects.create(send=send, channel=channel, openid="o1")
    Send.objects.filter(pk=send.pk).update(n_waiting=1)
    control.cancel(send, by="li")

    assert sweeping.channels_to_drain() == [channel.pk]
    sending.drain(channel.pk)

    delivery.refresh_from_db()
    assert delivery.status == Delivery.Status.CANCELED


def test_a_disabled_channel_pauses_its_sends(channel, prepared, sandbox):
    send = prepared()
    Channel.objects.update(enabled=False)

    sending.drain(channel.pk)

    send.refresh_from_db()
    assert (send.status, send.pause_code) == ("paused", "disabled")
    assert sandbox.shown()["total"] == 0


def test_urgent_sends_go_first(channel, prepared, sandbox):
    slow = prepared(count=30, priority=3)
    urgent = prepared(count=2, priority=1)
    Channel.objects.update(rate_per_s=20, connections=1)

    sending.drain(channel.pk)

    assert counts(slow) == {"accepted": 30}
    first_slow = Delivery.objects.filter(send=slow).order_by("wechat_msgid").first()
    for delivery in Delivery.objects.filter(send=urgent):
        assert delivery.wechat_msgid < first_slow.wechat_msgid


def test_an_urgent_send_is_claimed_next_in_the_middle_of_a_large_one(channel, prepared):
    large = prepared(count=1300, priority=3)
    lease = Lease.take(channel.pk)
    claimer = claiming.Claimer(lease)
    assert claimer.claim(500, 500).claim.send == large

    urgent = prepared(count=2, priority=1)

    assert claimer.claim(500, 500).claim.send == urgent
    assert claimer.claim(500, 500).claim.send == large
    control.cancel(large, by="li")
    assert claimer.claim(500, 500) is None
    lease.release()
    sending.drain(channel.pk)
    assert counts(urgent) == {"accepted": 2}


def test_what_is_urgent_is_written_without_waiting_for_the_large_one(channel, prepared):
    prepared(count=30, priority=3)
    lease = Lease.take(channel.pk)
    claimer, book = claiming.Claimer(lease), recording.Book(lease)
    large = claimer.claim(20, 20)
    book.open(large.claim)
    prepared(count=2, priority=1)
    urgent = claimer.claim(20, 20)
    book.open(urgent.claim)
    (first, _), (second, _) = urgent.calls

    book.final(urgent.claim, first, Delivery.Status.ACCEPTED, msgid=1)
    assert not book.is_urgent()
    book.final(urgent.claim, second, Delivery.Status.ACCEPTED, msgid=2)
    assert book.is_urgent()
    book.flush()
    assert not book.is_urgent()
    for number, (row, _call) in enumerate(large.calls):
        book.final(large.claim, row, Delivery.Status.ACCEPTED, msgid=10 + number)
    assert not book.is_urgent()


@contextlib.contextmanager
def meanwhile(*acts):
    """Do one of `acts` after the other in the middle of a drain, between its claims;
    each is tried again until it returns True."""
    left = list(acts)

    def act(execute, sql, parameters, many, context):
        if left and sql.startswith('SELECT "channels_wechat_channel"'):
            mine, left[:] = left[:], []  # not from within itself
            left[:] = mine[1:] if mine[0]() else mine
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(act):
        yield
    assert not left


def test_an_urgent_message_overtakes_what_waits_in_the_process(
    channel, prepared, sandbox
):
    """At twenty messages a second, one claim of the large send is half a minute's
    work."""
    Channel.objects.update(connections=1)
    sandbox.settings(reply_delay_ms=[50, 50])
    large = prepared(count=600, priority=2)
    before = 0

    def comes():
        nonlocal before
        if not sandbox.shown()["total"]:
            return False
        prepared(count=1, priority=1)
        before = sandbox.shown()["total"]
        return True

    def ends():
        if sandbox.shown()["total"] < before + 60:
            return False
        control.cancel(large, by="li")
        return True

    with meanwhile(comes, ends):
        sending.drain(channel.pk)

    urgent = Delivery.objects.get(send__priority=1)
    assert urgent.status == Delivery.Status.ACCEPTED
    sooner = Delivery.objects.filter(send=large, wechat_msgid__lt=urgent.wechat_msgid)
    assert sooner.count() <= before + 45
    assert counts(large)["canceled"] > 400
    assert sandbox.shown()["max_per_openid"] <= 2  # number 1 is in both


def test_nobody_waits_until_a_large_send_is_settled(
    channel, prepared, sandbox, monkeypatch
):
    monkeypatch.setattr(sending, "CHUNKS_A_SETTLING", 1)
    monkeypatch.setattr(querysets, "ROWS_A_CHUNK", 500)
    large = prepared(count=1300)
    control.cancel(large, by="li")
    settled_before = []
    urgent = prepared(count=1, priority=1)

    def look(execute, sql, parameters, many, context):
        if "WHEN doubt_since IS NULL" in sql:
            settled_before.append(counts(urgent))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(look):
        sending.drain(channel.pk)

    assert counts(large) == {"canceled": 1300}
    assert len(settled_before) == 3
    assert settled_before[1:] == [{"accepted": 1}] * 2


def test_a_large_send_lets_other_channels_have_their_turn(
    channel, prepared, sandbox, monkeypatch
):
    monkeypatch.setattr(turns, "TURN", timedelta(0))
    Channel.objects.update(connections=1)
    sandbox.settings(reply_delay_ms=[20, 20])
    send = prepared(count=600)
    seats = turns.Turns(1)
    monkeypatch.setattr(sending, "turns", seats)

    with meanwhile(lambda: sandbox.shown()["total"] and not seats.take(-1)):
        sending.drain(channel.pk)

    assert 0 < counts(send)["accepted"] < 600
    assert "sending" not in counts(send)
    assert seats.take(-1)
    sending.drain(channel.pk)
    assert counts(send)["waiting"]
    seats.end(-1, again=False)
    Channel.objects.update(connections=50)
    sending.drain(channel.pk)
    assert counts(send) == {"accepted": 600}
    assert sandbox.shown()["max_per_openid"] == 1


QUOTA = "/cgi-bin/openapi/quota/get"


def test_the_console_leaves_the_reserve_to_business_systems(channel, prepared, sandbox):
    sandbox.change_account(APPID, limits={SEND: 30})
    Channel.objects.update(api_reserve=12)
    send = prepared(count=25)

    sending.drain(channel.pk)

    send.refresh_from_db()
    assert counts(send) == {"accepted": 18, "waiting": 7}
    assert (send.status, send.pause_code) == ("paused", "reserve")
    assert timezone.now() < send.resume_at < timezone.now() + timedelta(days=1.1)
    assert sandbox.stats()["calls"][SEND] == {"0": 18}

    of_a_system = prepared(count=12, source=Send.Source.API)
    sending.drain(channel.pk)
    assert counts(of_a_system) == {"accepted": 12}

    # The next day.
    sandbox.change_account(APPID, used={SEND: 0})
    Send.objects.filter(pk=send.pk).update(resume_at=timezone.now())
    sweeping.sends_to_prepare()
    sending.drain(channel.pk)
    assert counts(send) == {"accepted": 25}


def test_who_may_not_ask_for_the_quota_sends_as_ever(channel, prepared, sandbox):
    sandbox.faults(kind="errcode", errcode=76022, path=QUOTA)
    Channel.objects.update(api_reserve=100_000)
    send = prepared(count=25)

    sending.drain(channel.pk)

    assert counts(send) == {"accepted": 25}


def test_without_a_reserve_nobody_asks_for_the_quota(channel, prepared, sandbox):
    prepared(count=5)

    sending.drain(channel.pk)

    assert QUOTA not in sandbox.stats()["calls"]


def test_a_slow_channel_claims_only_what_it_can_send_soon(channel, prepared, sandbox):
    Channel.objects.update(rate_per_s=40)
    send = prepared(count=90)

    sending.drain(channel.pk)

    assert counts(send) == {"accepted": 90}
    sizes = [
        Delivery.objects.of_chunk(chunk).count()
        for chunk in Chunk.objects.filter(send=send)
    ]
    assert sum(sizes) == 90
    assert max(sizes) <= 40


def test_another_channels_openid_is_never_touched(channel, template, sandbox):
    other = ChannelFactory()
    OpenIDFactory(channel=other, openid="oForeign0000000000000000000f")
    send = SendFactory(template=template, status=Send.Status.PREPARING)
    audience.stage(send, [], [("", "oForeign0000000000000000000f")])
    preparing.prepare(send.pk)

    sending.drain(channel.pk)

    assert counts(send) == {"skipped": 1}
    assert sandbox.stats()["calls"].get("/cgi-bin/message/template/send") is None


def test_client_msg_ids_are_fixed_short_and_different(prepared):
    one, two = prepared(count=1), prepared(count=1)
    ids = {claiming.client_msg_id(send.dedupe_key, 2**62) for send in (one, one, two)}

    assert len(ids) == 2
    assert max(map(len, ids)) <= 32
