"""One business channel's key sees and touches nothing of another's; and two calls at
one moment with one Idempotency-Key are one send."""

import base64
import json
import threading

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from channels_wechat import business_channels
from sends import preparing
from sends.models import CallbackURL, Delivery, Send, Strategy
from templates_mgmt.models import GeneralTemplate
from tests.factories import ChannelFactory, OpenIDFactory, TagFactory, TemplateFactory
from users.models import OpenID, RecipientTag


class Side:
    """A business channel with one of everything."""

    def __init__(self, name: str) -> None:
        self.channel = ChannelFactory(code=name, templates_refreshed_at=timezone.now())
        self.template = TemplateFactory(channel=self.channel)
        self.sender, self.secret = business_channels.create_business_channel(
            name, [self.channel]
        )
        self.person = OpenIDFactory(
            channel=self.channel, recipient__userid=f"{name}-person"
        )
        self.general = GeneralTemplate.objects.create(
            name=name, template=self.template, data=self.data
        )
        self.strategy = Strategy.objects.create(name=name, business_channel=self.sender)
        self.url = CallbackURL.objects.create(
            business_channel=self.sender,
            url=f"https://{name}.example/",
            verified_at=timezone.now(),
        )

    data = {"thing1": "Weekly", "time2": "10:00"}

    def message(self) -> dict:
        return {"template_id": self.template.template_id, "data": self.data}

    def call(self, path: str, body: object = None, client=None, **headers: str):
        pair = base64.b64encode(f"{self.sender.key}:{self.secret}".encode()).decode()
        headers["authorization"] = f"Basic {pair}"
        client = client or Client()
        if body is None:
            return client.get(f"/v1/{path}", headers=headers).json()
        return client.post(
            f"/v1/{path}",
            data=json.dumps(body),
            content_type="application/json",
            headers=headers,
        ).json()


@pytest.fixture
def mine(db):
    return Side("mine")


@pytest.fixture
def other(db):
    return Side("other")


def to(side, **more):
    return {"aud_userid": [side.person.recipient.userid], **more}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("sent", lambda o: to(o, msg_wechatoa=[o.message()]), 4004),
        ("broadcast", lambda o: {"msg_wechatoa": [o.message()]}, 4004),
        ("template/sent", lambda o: to(o, template_id=o.general.pk), 1015008),
        ("template/broadcast", lambda o: {"template_id": o.general.pk}, 1015008),
        ("user/delete", lambda o: [o.person.recipient.userid], 4005),
    ],
)
def test_anothers_templates_and_users_are_out_of_reach(mine, other, path, body, code):
    before = Send.objects.count()

    assert mine.call(path, body(other))["code"] == code
    assert Send.objects.count() == before
    assert OpenID.objects.filter(pk=other.person.pk).exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda o: {"rule_id": o.strategy.pk}, 1015026),
        (lambda o: {"callback": {"url": o.url.url}}, 4004),
    ],
)
def test_anothers_strategies_and_urls_cannot_be_named(mine, other, change, code):
    body = to(mine, msg_wechatoa=[mine.message()]) | change(other)

    assert mine.call("sent", body)["code"] == code


def test_anothers_message_cannot_be_retracted(mine, other):
    msgid = other.call("sent", to(other, msg_wechatoa=[other.message()]))["msgid"]

    assert mine.call(f"retract/{msgid}", {})["code"] == 4004
    assert Send.objects.get(msgid=msgid).status == "preparing"


def test_anothers_token_is_not_given_out(mine, other):
    assert mine.call("token?type=wechatoa&code=other")["code"] == 1015008


def test_anothers_bind_ids_cannot_be_written(mine, other):
    userid = other.person.recipient.userid
    items = [
        {"userid": userid, "set": {"wechatoa": {"other": "o" + "x" * 27}}},
        {"userid": userid, "del": {"wechatoa": {"other": ""}}},
        {"userid": userid, "set": {"tag": {other.sender.key: ["mine"]}}},
    ]

    answer = mine.call("user/opt", items)

    assert [item["errcode"] for item in answer["data"]["fail"]] == ["4005"] * 3
    assert OpenID.objects.get(pk=other.person.pk).openid == other.person.openid
    assert not RecipientTag.objects.exists()


def test_anothers_private_tags_choose_nobody(mine, other):
    bound = OpenIDFactory(channel=mine.channel, recipient__userid="both")
    TagFactory(recipient=bound.recipient, name="vip", bind=other.sender.key)

    answer = mine.call("sent", {"aud_tag": ["vip"], "msg_wechatoa": [mine.message()]})

    assert answer["code"] == 0
    preparing.prepare(Send.objects.get().pk)
    assert Send.objects.get().status == "finished"
    assert not Delivery.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_calls_at_one_moment_with_one_key_are_one_send():
    side = Side("mine")
    body = to(side, msg_wechatoa=[side.message()])
    gate, answers = threading.Barrier(4), []

    def call():
        gate.wait()
        try:
            answers.append(side.call("sent", body, **{"idempotency-key": "k"}))
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer["code"] for answer in answers} == {0}
    assert len({answer["msgid"] for answer in answers}) == 1
    assert Send.objects.count() == 1
