"""WeChat's pushes, as they come over HTTP: to the web process and to the receiver,
which must not be told apart."""

import json
import time
from datetime import timedelta

import pytest
from celery import current_app
from django.test import Client
from django.utils import timezone

from channels_wechat.models import Channel
from channels_wechat.wechat.callbacks import MAX_BODY_BYTES
from sends import receipts
from sends.api import ringing
from sends.models import CallbackRefusal, Delivery, InboundEvent, Send
from tests.factories import ChannelFactory, SendFactory

from .pushes import RECEIPT, ReceiverClient, WeChat

pytestmark = pytest.mark.django_db
OTHER_KEY = "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba"

EVENT = """<xml><ToUserName>{to}</ToUserName><FromUserName>o-1</FromUserName>
<CreateTime>{at}</CreateTime><MsgType>event</MsgType><Event>{event}</Event></xml>"""
TEXT = """<xml><ToUserName>{to}</ToUserName><FromUserName>o-1</FromUserName>
<CreateTime>{at}</CreateTime><MsgType>text</MsgType><Content>hi</Content>
<MsgId>6425</MsgId></xml>"""


@pytest.fixture(params=[Client, ReceiverClient], ids=["web", "receiver"])
def client(request, db):
    return request.param()


@pytest.fixture(params=["plain", "compatible", "safe"])
def any_mode(request, client):
    return WeChat(ChannelFactory(callback_mode=request.param), client)


@pytest.fixture
def wechat(client):
    return WeChat(ChannelFactory(), client)


def stored():
    return list(InboundEvent.objects.values_list("event", "msgid", "outcome", "status"))


def test_a_receipt_in_each_mode_reaches_its_delivery(any_mode):
    send = SendFactory(template__channel=any_mode.channel)
    delivery = Delivery.objects.create(
        send=send, channel=send.channel, openid="o-1", status=2, wechat_msgid=2**62
    )
    Send.objects.update(n_accepted=1)

    answer = any_mode.receipt(2**62, "failed: user block")
    receipts.apply_waiting(send.channel_id)

    assert (answer.status_code, answer.content) == (200, b"success")
    delivery.refresh_from_db()
    assert (delivery.status, delivery.error) == (4, "user block")
    assert Send.objects.all().drift() == []


def test_json_with_the_other_spelling(any_mode):
    body = {
        "ToUserName": any_mode.channel.original_id,
        "FromUserName": "o-1",
        "CreateTime": int(time.time()),
        "MsgType": "event",
        "Event": "TEMPLATESENDJOBFINISH",
        "MsgId": 12,
        "status": "success",
    }
    assert any_mode.push(json.dumps(body)).content == b"success"
    assert stored() == [("templatesendjobfinish", 12, "success", 0)]


def test_a_repeat_is_stored_once(wechat):
    text = RECEIPT.format(
        to="gh_1", openid="o-1", at=1700000000, msgid=5, status="success"
    )

    answers = [wechat.push(text).content for _ in range(3)]

    assert answers == [b"success"] * 3
    assert len(stored()) == 1


def test_what_needs_no_work_is_kept_as_ignored(wechat):
    for event in ("subscribe", "SCAN", "never_heard_of"):
        wechat.push(EVENT.format(to="gh_1", at=int(time.time()), event=event))
    wechat.push(TEXT.format(to="gh_1", at=int(time.time())))

    assert [(event, status) for event, _, _, status in stored()] == [
        ("subscribe", InboundEvent.Status.WAITING),
        ("scan", InboundEvent.Status.IGNORED),
        ("never_heard_of", InboundEvent.Status.IGNORED),
        ("text", InboundEvent.Status.IGNORED),
    ]


def test_a_receipt_without_a_msgid_is_kept(wechat):
    wechat.receipt(0)

    assert stored() == [("templatesendjobfinish", None, "success", 0)]


class TestRefused:
    """403, nothing stored, and one row that says why."""

    @pytest.fixture(autouse=True)
    def nothing_stored(self, wechat):
        before = Channel.objects.values().get()
        yield
        assert stored() == []
        assert Channel.objects.values().get() == before

    def reason(self, answer):
        assert answer.status_code == 403
        (refusal,) = CallbackRefusal.objects.all()
        assert (refusal.count, refusal.address) == (1, "127.0.0.1")
        return refusal.reason

    def test_a_wrong_signature(self, wechat):
        assert self.reason(wechat.receipt(msg_signature="0" * 40)) == "bad_signature"

    def test_a_signature_of_the_query_alone(self, wechat):
        signature = wechat.query()["signature"]
        assert self.reason(wechat.receipt(msg_signature=signature)) == "bad_signature"

    def test_a_readable_push_to_a_safe_channel(self, wechat):
        assert self.reason(wechat.receipt(mode="plain")) == "downgraded"

    @pytest.mark.parametrize("minutes", [-31, 31])
    def test_more_than_half_an_hour_off(self, wechat, minutes):
        assert self.reason(wechat.receipt(at=time.time() + 60 * minutes)) == "stale"

    def test_another_account(self, wechat):
        answer = wechat.receipt(appid="wx0000000000000000")
        assert self.reason(answer) == "wrong_receiver"

    def test_another_key(self, wechat):
        assert self.reason(wechat.receipt(key=OTHER_KEY)) == "not_decrypted"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "no xml",
            "<xml>",
            '{"a": "\\ud800"}',
            '<!DOCTYPE x [<!ENTITY a "b">]><xml><FromUserName>&a;</FromUserName></xml>',
            "<xml>" * 1000,
            EVENT.format(to="gh_1", at=10**18, event="subscribe"),
            EVENT.format(to="gh_1", at="now", event="subscribe"),
            EVENT.format(to="gh_1", at=1, event="x" * 65),
        ],
    )
    def test_a_body_that_says_nothing(self, wechat, text):
        assert self.reason(wechat.push(text)) == "bad_body"

    def test_an_empty_request(self, wechat):
        assert wechat.client.post(wechat.path).status_code == 403

    def test_too_much(self, wechat):
        answer = wechat.post("x" * (MAX_BODY_BYTES + 1), wechat.query())
        assert answer.status_code == 413

    def test_a_flood_costs_one_row_and_one_write_a_second(
        self, wechat, django_assert_max_num_queries
    ):
        wechat.receipt(msg_signature="0")
        with django_assert_max_num_queries(2 * 3):
            for _ in range(3):
                wechat.receipt(msg_signature="0")
        CallbackRefusal.objects.update(last_at=timezone.now() - timedelta(seconds=2))
        wechat.receipt(msg_signature="0")

        assert CallbackRefusal.objects.get().count == 2


def test_in_compatible_mode_only_the_encrypted_part_is_believed(client):
    wechat = WeChat(ChannelFactory(callback_mode="compatible"), client)
    text = RECEIPT.format(
        to="gh_1", openid="o-1", at=int(time.time()), msgid=5, status="success"
    )

    assert wechat.push(text, mode="plain").status_code == 403
    wechat.push(text)

    assert stored() == [("templatesendjobfinish", 5, "success", 0)]


def test_after_a_change_of_key_the_previous_one_still_opens(wechat):
    Channel.objects.update(previous_aes_key=OTHER_KEY)

    assert wechat.receipt(key=OTHER_KEY).status_code == 200


def test_a_push_is_noted_on_the_channel_at_most_every_few_seconds(
    wechat, django_assert_num_queries
):
    # The channel, the event, the channel's times.
    with django_assert_num_queries(3):
        wechat.receipt(1)
    wechat.channel.refresh_from_db()
    assert wechat.channel.last_push_at
    assert wechat.channel.callback_verified_at

    # The receiver knows the channel for a second.
    with django_assert_num_queries(2 if isinstance(wechat.client, Client) else 1):
        wechat.receipt(2)


class TestVerifying:
    """WeChat's GET when the administrator saves the address."""

    def test_the_echostr_comes_back_bare(self, wechat):
        query = {**wechat.query(), "echostr": "4375120948345356249"}
        answer = wechat.client.get(wechat.path, query)

        assert answer.content == b"4375120948345356249"
        assert answer["Content-Type"] == "text/plain"
        wechat.channel.refresh_from_db()
        assert wechat.channel.callback_verified_at

    def test_a_wrong_token_is_refused_and_noted(self, wechat):
        query = {**wechat.query(), "echostr": "1", "signature": "0" * 40}

        assert wechat.client.get(wechat.path, query).status_code == 403
        assert CallbackRefusal.objects.get().reason == "bad_signature"
        wechat.channel.refresh_from_db()
        assert wechat.channel.callback_verified_at is None

    def test_nothing_is_reflected_that_wechat_would_not_send(self, wechat):
        query = {**wechat.query(), "echostr": "<script>"}

        assert wechat.client.get(wechat.path, query).status_code == 403

    def test_without_a_code_the_token_tells(self, wechat):
        ChannelFactory(callback_token="anothertoken")
        query = {**wechat.query(), "echostr": "99"}

        assert wechat.client.get("/v1/wechatoa/callback", query).content == b"99"
        verified = Channel.objects.exclude(callback_verified_at=None)
        assert [channel.pk for channel in verified] == [wechat.channel.pk]

    def test_a_disabled_channel_is_not_tried_without_a_code(self, wechat):
        Channel.objects.update(enabled=False)
        query = {**wechat.query(), "echostr": "99"}

        assert wechat.client.get("/v1/wechatoa/callback", query).status_code == 403


class TestWithoutACode:
    """The shared address: the original id says which channel."""

    path = "/v1/wechatoa/callback"

    def test_the_original_id_routes(self, wechat):
        ChannelFactory()

        assert wechat.receipt(path=self.path).content == b"success"
        assert InboundEvent.objects.get().channel == wechat.channel

    def test_an_unknown_original_id_is_learned_from_a_believed_push(self, wechat):
        Channel.objects.update(original_id="")
        ChannelFactory(original_id="", callback_token="anothertoken")

        assert wechat.receipt(path=self.path).content == b"success"
        wechat.channel.refresh_from_db()
        assert wechat.channel.original_id.startswith("gh_")

    def test_two_channels_that_would_both_believe_it(self, client):
        first, _ = (ChannelFactory(callback_mode="plain", original_id="") for _ in "12")

        assert WeChat(first, client).receipt(path=self.path).status_code == 403
        assert stored() == []

    def test_nobody_has_that_id(self, wechat):
        wechat.channel.original_id = "gh_of_somebody_else"

        assert wechat.receipt(path=self.path).status_code == 403
        assert stored() == []

    @pytest.mark.parametrize(
        "body", [b"\xff", b"", b"{}", b'{"ToUserName": "\\u0000"}']
    )
    def test_a_body_without_a_receiver(self, wechat, body):
        answer = wechat.post(body, wechat.query(), self.path)
        assert answer.status_code == 403


def test_an_unknown_code_or_method(wechat):
    assert wechat.client.post("/v1/wechatoa/callback/nobody").status_code == 404
    assert Client().put(wechat.path).status_code == 405


def test_a_worker_is_woken_up_once_for_many():
    nobody_elses = 987_654_321  # the broker in memory holds other tests' calls, too
    with current_app.connection_for_write() as connection:
        queue = connection.default_channel
        queue.queue_declare("celery")

        def calls():
            found = iter(lambda: queue.basic_get("celery", no_ack=True), None)
            return [m for m in found if m.payload[0] == [nobody_elses]]

        for _ in range(50):
            ringing.ring(nobody_elses)
        heard, deadline = calls(), time.monotonic() + 10
        while not heard and time.monotonic() < deadline:
            time.sleep(0.02)
            heard = calls()

    # The first call at once, the others together a second later.
    assert 1 <= len(heard) <= 2


def test_our_own_fault_is_never_a_success(wechat, settings):
    wechat.client.raise_request_exception = False
    key = dict(settings.FIELD_KEYS)
    settings.FIELD_KEYS = {"other": next(iter(key.values()))}

    answer = wechat.receipt()

    assert answer.status_code == 500
    assert b"success" not in answer.content
