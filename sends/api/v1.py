"""Sending and retracting, as JUMS' clients call it."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat.api import idempotency
from channels_wechat.api.schema import Function, v1_call
from channels_wechat.api.v1 import JumsView, done
from sends import accepting
from sends.requested import IDS_AT_MOST, Message

from . import v1_parsing as parsing

_TEXTS = {"type": "array", "items": {"type": "string"}}
_AUDIENCE = {
    "aud_userid": {**_TEXTS, "maxItems": IDS_AT_MOST},
    "aud_tag": {**_TEXTS, "maxItems": parsing.TAGS_AT_MOST},
    "aud_segment": {**_TEXTS, "maxItems": 1},
    "aud_wechatoa": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"instance": {"type": "string"}, "data": _TEXTS},
        },
    },
}
_MORE = {
    "rule_id": {"type": "integer"},
    "option": {"type": "object"},
    "callback": {"type": "object"},
}
_MESSAGES = {"msg_wechatoa": {"type": "array", "items": {"type": "object"}}}
_GENERAL = {
    "template_id": {"type": "integer"},
    "template_para": {"type": "object", "additionalProperties": {"type": "string"}},
}
_MESSAGE_EXAMPLE = {
    "msg_wechatoa": [
        {
            "type": 0,
            "template_id": "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY",
            "url": "https://example.com/meeting",
            "data": {"thing1": {"value": "Weekly meeting"}},
        }
    ],
    "option": {"sendno": "42"},
}
_GENERAL_EXAMPLE = {
    "template_id": 3,
    "template_para": {"topic": "Weekly meeting"},
    "option": {"sendno": "42"},
}
_PEOPLE = {"aud_userid": ["zhangsan", "lisi"]}
_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="The same call with the same key is done once within a day.",
)


def _describe(
    summary: str, description: str, fields: dict[str, Any], example: dict[str, Any]
) -> Callable[[Function], Function]:
    """Describe a call that sends."""
    return v1_call(
        summary,
        f"{description} The answer says that it is stored; what becomes of it comes by "
        "status callbacks.",
        {"msgid": "v:1t:1763812800p:12345678n:123456", "sendno": "42"},
        body={"application/json": {"type": "object", "properties": fields | _MORE}},
        examples={"a message": example},
        statuses=[409],
        parameters=[_KEY],
    )


class _SendView(JumsView):
    broadcast = False

    def answer(self, body: dict[str, Any], messages: list[Message]) -> Response:
        options = parsing.options(body)
        audience = None if self.broadcast else parsing.targets(body)

        def accept() -> dict[str, Any]:
            send = accepting.accept(
                self.business_channel, messages, audience, options, channels
            )
            sendno = {"sendno": options.sendno} if options.sendno else {}
            return {"msgid": send.msgid, **sendno}

        channels = accepting.learn_templates(self.business_channel)
        key = self.request.headers.get("Idempotency-Key", "")
        called = [self.request.path, body]
        return done(**idempotency.once(self.business_channel, key, called, accept))


class SentView(_SendView):
    @_describe(
        "Send to given people",
        "To userids, tags and a segment together, or to openIDs.",
        _AUDIENCE | _MESSAGES,
        _PEOPLE | _MESSAGE_EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        body = parsing.body_of(self.body(request))
        return self.answer(body, parsing.messages(body))


class BroadcastView(SentView):
    broadcast = True

    @_describe(
        "Send to everyone",
        "To everyone who is bound to a channel that has the template.",
        _MESSAGES,
        _MESSAGE_EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        return super().post(request)


class TemplateSentView(_SendView):
    @_describe(
        "Send a general template to given people",
        "The template's number, and its variables in `template_para`.",
        _AUDIENCE | _GENERAL,
        _PEOPLE | _GENERAL_EXAMPLE,
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

    @_describe(
        "Send a general template to everyone",
        "The template's number, and its variables in `template_para`.",
        _GENERAL,
        _GENERAL_EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        return super().post(request)


class RetractView(JumsView):
    @v1_call(
        "Stop what of a message has not left yet",
        "Within 24 hours. Whoever is stopped is told as type 7, those whose message "
        "has left as type 8.",
        {},
    )
    def post(self, request: Request, msgid: str) -> Response:
        accepting.retract(self.business_channel, msgid)
        return done()
