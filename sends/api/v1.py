"""Sending and retracting, as JUMS' clients call it."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat.api import idempotency
from channels_wechat.api.v1 import JumsView, done
from sends import accepting
from sends.requested import Message

from . import v1_parsing as parsing

_SEND = {
    "type": "object",
    "additionalProperties": True,
    "properties": {
        "aud_userid": {"type": "array", "items": {"type": "string"}},
        "aud_tag": {"type": "array", "items": {"type": "string"}},
        "msg_wechatoa": {"type": "array", "items": {"type": "object"}},
        "option": {"type": "object"},
        "callback": {"type": "object"},
    },
}
_ANSWERS = {
    200: {
        "type": "object",
        "properties": {
            "code": {"type": "integer"},
            "message": {"type": "string"},
            "msgid": {"type": "string"},
            "sendno": {"type": "string"},
        },
        "required": ["code", "message"],
    },
    **dict.fromkeys(
        (400, 401, 403),
        {
            "type": "object",
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
            },
            "required": ["code", "message"],
        },
    ),
}
_EXAMPLE = OpenApiExample(
    "to two people",
    value={
        "aud_userid": ["zhangsan", "lisi"],
        "msg_wechatoa": [
            {
                "type": 0,
                "template_id": "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
                "data": {"thing1": {"value": "Weekly meeting"}},
            }
        ],
        "option": {"sendno": "42"},
    },
    request_only=True,
)


class _SendView(JumsView):
    broadcast = False

    def answer(self, body: dict[str, Any], messages: list[Message]) -> Response:
        options = parsing.options(body)
        audience = None if self.broadcast else parsing.targets(body)

        def accept() -> dict[str, Any]:
            send = accepting.accept(self.business_channel, messages, audience, options)
            sendno = {"sendno": options.sendno} if options.sendno else {}
            return {"msgid": send.msgid, **sendno}

        accepting.learn_templates(self.business_channel)
        key = self.request.headers.get("Idempotency-Key", "")
        called = [self.request.path, body]
        return done(**idempotency.once(self.business_channel, key, called, accept))


class SentView(_SendView):
    @extend_schema(
        summary="Send to given people",
        request={"application/json": _SEND},
        responses=_ANSWERS,
        examples=[_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        body = parsing.body_of(self.body(request))
        return self.answer(body, parsing.messages(body))


class BroadcastView(SentView):
    broadcast = True

    @extend_schema(
        summary="Send to everyone",
        request={"application/json": _SEND},
        responses=_ANSWERS,
    )
    def post(self, request: Request) -> Response:
        return super().post(request)


class TemplateSentView(_SendView):
    @extend_schema(
        summary="Send a general template to given people",
        request={"application/json": _SEND},
        responses=_ANSWERS,
    )
    def post(self, request: Request) -> Response:
        body = parsing.body_of(self.body(request))
        parsing.no_messages(body)
        message = accepting.general_message(
            self.business_channel,
            parsing.template_number(body),
            parsing.parameters(body),
        )
        return self.answer(body, [message])


class TemplateBroadcastView(TemplateSentView):
    broadcast = True

    @extend_schema(
        summary="Send a general template to everyone",
        request={"application/json": _SEND},
        responses=_ANSWERS,
    )
    def post(self, request: Request) -> Response:
        return super().post(request)


class RetractView(JumsView):
    @extend_schema(
        summary="Stop what of a message has not left yet",
        request=None,
        responses=_ANSWERS,
    )
    def post(self, request: Request, msgid: str) -> Response:
        accepting.retract(self.business_channel, msgid)
        return done()
