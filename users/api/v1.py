"""Users, as JUMS' clients upload and delete them."""

from typing import Any, ClassVar

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat.api.v1 import JumsView, done
from channels_wechat.refusals import ILLEGAL, Refused
from users import opting

ITEMS_AT_MOST = 1000

_ANSWERS = {
    200: {
        "type": "object",
        "properties": {
            "code": {"type": "integer"},
            "message": {"type": "string"},
            "data": {
                "type": "object",
                "properties": {
                    "success": {"type": "array", "items": {"type": "string"}},
                    "fail": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "userid": {"type": "string"},
                                "errcode": {"type": "string"},
                                "errmsg": {"type": "string"},
                            },
                        },
                    },
                },
            },
        },
        "required": ["code", "message", "data"],
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


class UserOptView(JumsView):
    takes: ClassVar[set[str]] = {"business", "access"}

    @extend_schema(
        summary="Create and change users",
        request={
            "application/json": {
                "type": "array",
                "items": {"type": "object"},
                "maxItems": ITEMS_AT_MOST,
            }
        },
        responses=_ANSWERS,
        examples=[
            OpenApiExample(
                "bind an openID",
                value=[
                    {
                        "userid": "zhangsan",
                        "set": {
                            "wechatoa": {"wechatoa123": "oRcf0w_yHT-1F_pioV1cHbf7ghFI"}
                        },
                    }
                ],
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        return _report(opting.opt(_items(self.body(request)), self.sender))


class UserDeleteView(JumsView):
    takes: ClassVar[set[str]] = {"access"}

    @extend_schema(
        summary="Delete users",
        request={
            "application/json": {
                "type": "array",
                "items": {"type": "string"},
                "maxItems": ITEMS_AT_MOST,
            }
        },
        responses=_ANSWERS,
    )
    def post(self, request: Request) -> Response:
        return _report(opting.delete(_items(self.body(request), one=(str, int))))


def _items(body: Any, one: type | tuple[type, ...] = dict) -> list[Any]:
    if isinstance(body, one) and not isinstance(body, bool):
        body = [body]  # some clients send a single one without the list
    if not isinstance(body, list):
        raise Refused(ILLEGAL, _("The body must be a JSON array."))
    if len(body) > ITEMS_AT_MOST:
        raise Refused(ILLEGAL, _("At most 1,000 items in one call."))
    return body


def _report(outcome: opting.Outcome) -> Response:
    return done(
        data={
            "success": outcome.success,
            "fail": [failure._asdict() for failure in outcome.fail],
        }
    )
