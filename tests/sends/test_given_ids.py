"""Whom a request names: in one row until each is a delivery. Both databases."""

import contextlib
import json

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from sends import audience, control, preparing, reviewing, sweeping
from sends.models import (
    AudienceRow,
    CallbackURL,
    Delivery,
    GivenIDs,
    Send,
    StatusCallback,
)
from tests.factories import OpenIDFactory, UserFactory
from tests.jums_fixture import sent

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]

OPENIDS = [f"o{n:027d}" for n in range(25)]


@pytest.fixture
def send(shop):
    """A request to 25 openIDs, three of which are named twice among its instances."""
    again = {"instance": "wechatoa", "data": OPENIDS[:3]}
    body = shop.body(aud_wechatoa=[{"data": OPENIDS}, again])
    del body["aud_userid"]
    return sent(shop.post("sent", body))


def lines(send):
    return list(Delivery.objects.filter(send=send).order_by("pk"))


def prepare(send):
    """Prepare it as a worker does that comes after the one before is gone."""
    Send.objects.filter(pk=send.pk).update(prepare_lease_until=None)
    return preparing.prepare(send.pk)


class Killed(Exception):
    """The worker is gone."""


@contextlib.contextmanager
def killed(at, number=1):
    """Kill the worker when it has made so many statements that begin so."""
    seen = []

    def look(execute, sql, parameters, many, context):
        result = execute(sql, parameters, many, context)
        if at in sql:
            seen.append(sql)
            if len(seen) == number:
                raise Killed
        return result

    with connection.execute_wrapper(look), contextlib.suppress(Killed):
        yield
    assert len(seen) == number, "it was never killed"


def test_they_become_deliveries_in_their_order_and_then_are_gone(send):
    kept = GivenIDs.objects.get(send=send)
    assert (kept.kind, json.loads(kept.ids)) == ("openid", OPENIDS + OPENIDS[:3])
    assert str(kept) == f"openids of send {send.pk}"

    assert preparing.prepare(send.pk)

    assert [one.openid for one in lines(send)] == OPENIDS + OPENIDS[:3]
    assert [one.reason for one in lines(send)] == [""] * 25 + ["duplicate"] * 3
    assert not GivenIDs.objects.exists()
    assert not AudienceRow.objects.exists()
    assert not preparing.prepare(send.pk)
    assert len(lines(send)) == 28


@pytest.mark.parametrize("userid", ["张三", 'a"b\\', "x" * 64])
def test_a_userid_comes_out_as_it_went_in(send, userid):
    GivenIDs.objects.filter(send=send).update(
        kind="userid", ids=json.dumps([userid], ensure_ascii=False)
    )
    bound = OpenIDFactory(channel=send.channel, recipient__userid=userid)

    preparing.prepare(send.pk)

    assert [(one.userid, one.openid) for one in lines(send)] == [(userid, bound.openid)]


def test_a_placeholder_for_a_person_is_filled(shop):
    shop.person.recipient.phone = "13800000000"
    shop.person.recipient.save()
    message = shop.message(data={**shop.data, "thing1": "{{phone}}"})

    send = sent(shop.post("sent", shop.body(msg_wechatoa=[message])))
    preparing.prepare(send.pk)

    assert [one.variables for one in lines(send)] == [{"phone": "13800000000"}]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("at", "number"),
    [
        ("INSERT INTO sends_delivery", 1),
        ("INSERT INTO sends_delivery", 2),
        ("INSERT INTO sends_chunk", 1),
        ('DELETE FROM "sends_givenids"', 1),
    ],
)
def test_each_becomes_one_delivery_whenever_a_worker_is_killed(
    send, monkeypatch, at, number
):
    monkeypatch.setattr(preparing, "LINES_A_RANGE", 10)

    with killed(at, number):
        preparing.prepare(send.pk)
    assert GivenIDs.objects.filter(send=send).exists()
    assert prepare(send)

    assert [one.openid for one in lines(send)] == OPENIDS + OPENIDS[:3]
    send.refresh_from_db()
    assert (send.status, send.n_waiting, send.n_skipped) == ("running", 25, 3)
    assert not GivenIDs.objects.exists()


def test_a_paused_send_goes_on_with_those_who_are_left(send, monkeypatch):
    monkeypatch.setattr(preparing, "LINES_A_RANGE", 10)
    with killed("INSERT INTO sends_delivery", 2):
        preparing.prepare(send.pk)
    control.pause(send, by="li")
    assert not prepare(send)

    control.resume(send, by="li")
    assert prepare(send)

    assert len(lines(send)) == 28


@pytest.fixture
def told(shop):
    """What the shop's own address is told."""
    CallbackURL.objects.create(
        url="https://crm.example.com/status",
        types=list(range(9)),
        default=True,
        verified_at=timezone.now(),
        business_channel=shop.row,
    )
    items = StatusCallback.objects.order_by("pk")
    return lambda: list(items.values_list("userid", "type", "error_code"))


def test_a_send_canceled_before_it_is_prepared_leaves_nothing_behind(shop, told):
    send = sent(shop.post("sent", shop.body(aud_userid=[shop.userid, "nobody"])))

    control.cancel(send, by="li")

    assert told() == [(shop.userid, 7, None), ("nobody", 1, 9001)]
    assert not GivenIDs.objects.exists()
    assert not prepare(send)
    assert sweeping.sends_to_prepare() == []
    assert not lines(send)


@pytest.mark.django_db(transaction=True)
def test_a_send_canceled_half_prepared_tells_those_who_are_left(
    shop, told, monkeypatch
):
    monkeypatch.setattr(preparing, "LINES_A_RANGE", 1)
    send = sent(shop.post("sent", shop.body(aud_userid=[shop.userid, "nobody"])))
    with killed("INSERT INTO sends_delivery", 2):
        preparing.prepare(send.pk)

    control.cancel(send, by="li")

    assert told() == [("nobody", 1, 9001)]
    assert [one.userid for one in lines(send)] == [shop.userid]
    assert not GivenIDs.objects.exists()


@pytest.fixture
def waiting(shop):
    """Two sends of one request that waits for a review."""
    shop.set(review=True)
    UserFactory(username="lin")
    messages = [shop.message(), shop.message(url="https://example.com/2")]
    body = shop.body(
        aud_userid=[shop.userid, "nobody"],
        msg_wechatoa=messages,
        option={"owner": "lin"},
    )
    return sent(shop.post("sent", body))


def test_a_reviewer_sees_them(person, shop, waiting):
    client = Client()
    client.force_login(person("sends.view_send", "sends.review_send").user)

    page = client.get(reverse("admin:sends_send_change", args=[waiting.pk])).text

    assert shop.userid in page
    assert "nobody" in page
    assert audience.counts(waiting).total == 2


def test_a_rejected_request_leaves_nothing_behind(shop, told, waiting):
    reviewing.reject(waiting, UserFactory(), "No")

    assert told() == [(shop.userid, 1, 9400), ("nobody", 1, 9001)] * 2
    assert not GivenIDs.objects.exists()


def test_an_approved_request_is_prepared(shop, waiting):
    reviewing.approve(waiting, UserFactory())

    assert [prepare(send) for send in Send.objects.all()] == [True, True]

    assert Delivery.objects.filter(userid=shop.userid, status=0).count() == 2
    assert not GivenIDs.objects.exists()


def test_they_go_with_their_send(send):
    send.delete()

    assert not GivenIDs.objects.exists()
