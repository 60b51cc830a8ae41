"""The fixtures `shop`, `rival` and `crm`: business systems that call /v1."""

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from channels_wechat.access_keys import create_access_key
from channels_wechat.business_channels import create_business_channel
from channels_wechat.models import BusinessChannel
from sends import preparing
from sends.models import Delivery, Send
from templates_mgmt.models import GeneralTemplate
from tests.api_fixture import basic
from tests.factories import ChannelFactory, OpenIDFactory, TemplateFactory
from users.models import OpenID


class Caller:
    """A program with a pair of keys; the answers are Django's."""

    def __init__(self, key: str, secret: str) -> None:
        self.pair = key, secret

    def call(self, method: str, path: str, body: Any = "", **options: Any) -> Any:
        """Call `/v1/{path}`; a `body` that is no text is sent as JSON."""
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        headers = {"authorization": basic(*self.pair), **options.pop("headers", {})}
        return Client(**options.pop("client", {})).generic(
            method,
            f"/v1/{path}",
            data,
            content_type=options.pop("content_type", "application/json"),
            headers=headers,
            **options,
        )

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = "", **options: Any) -> Any:
        return self.call("POST", path, body, **options)

    def upload(self, **fields: Any) -> Any:
        """POST /v1/material, as a form."""
        headers = {"authorization": basic(*self.pair)}
        return Client().post("/v1/material", fields, headers=headers)


class Shop(Caller):
    """A business channel with one of everything: `channel`, `template`, `general`, and
    a person who is bound to the channel."""

    data = {"thing1": "周会", "time2": "10:00"}

    def __init__(self, name: str) -> None:
        self.channel = ChannelFactory(code=name, templates_refreshed_at=timezone.now())
        self.template = TemplateFactory(channel=self.channel)
        self.row, secret = create_business_channel(name, [self.channel])
        super().__init__(self.row.key, secret)
        self.person = self.bind(f"{name}-person")
        self.userid = self.person.recipient.userid
        self.general = GeneralTemplate.objects.create(
            name=name,
            template=self.template,
            data={"thing1": "{{topic}}", "time2": "10:00"},
        )

    def set(self, **fields: Any) -> None:
        """Change the business channel."""
        BusinessChannel.objects.filter(pk=self.row.pk).update(**fields)

    def bind(self, userid: str, **fields: Any) -> OpenID:
        """Bind a new person to the channel."""
        return OpenIDFactory(channel=self.channel, recipient__userid=userid, **fields)

    def message(self, **changes: Any) -> dict[str, Any]:
        template_id = self.template.template_id
        return {"type": 0, "template_id": template_id, "data": self.data, **changes}

    def body(self, **changes: Any) -> dict[str, Any]:
        """An ordinary request to the person."""
        return {
            "aud_userid": [self.userid],
            "msg_wechatoa": [self.message()],
            **changes,
        }

    def general_body(self, **changes: Any) -> dict[str, Any]:
        """A request for the general template to the person."""
        return {
            "aud_userid": [self.userid],
            "template_id": self.general.pk,
            "template_para": {"topic": "周会"},
            **changes,
        }


def sent(answer: Any) -> Send:
    """Return the send that a call made."""
    body = answer.json()
    assert (answer.status_code, body["code"]) == (200, 0), body
    return Send.objects.get(msgid=body["msgid"])


def targets(answer: Any) -> dict[str, str]:
    """Prepare what a call made; return {userid or openid: why not, or ""} of all its
    parts."""
    send = sent(answer)
    family = [send, *send.parts.order_by("pk")]
    for part in family:
        preparing.prepare(part.pk)
    return {
        delivery.userid or delivery.openid: delivery.reason
        for delivery in Delivery.objects.filter(send__in=family).order_by("pk")
    }


def refusal(answer: Any) -> tuple[int, int]:
    """Return HTTP status and code of a refusal, which has nothing but a sentence."""
    body = answer.json()
    assert set(body) == {"code", "message"}
    assert body["message"]
    return answer.status_code, body["code"]


@pytest.fixture
def shop(db) -> Shop:
    return Shop("shop")


@pytest.fixture
def rival(db) -> Shop:
    """Another business channel, on a channel of its own."""
    return Shop("rival")


@pytest.fixture
def crm(db) -> Caller:
    """A holder of an access key."""
    row, secret = create_access_key("crm")
    return Caller(row.key, secret)
