"""Users, as JUMS' clients upload and delete them."""

from typing import Any, ClassVar

from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat.api.schema import ACCESS_KEY, CHANNEL_KEY, v1_call
from channels_wechat.api.v1 import JumsView, done
from channels_wechat.refusals import ILLEGAL, Refused
from users import opting

ITEMS_AT_MOST = 1000

_REPORT = {
    "data": {
        "success": ["zhangsan"],
        "fail": [
            {"userid": "li si", "errcode": "4004", "errmsg": "userid: At most 64 …"}
        ],
    }
}


class UserOptView(JumsView):
    takes: ClassVar[set[str]] = {"business", "access"}

    @v1_call(
        "Create and change users",
        "Of each user `del`, then `set`, then `add`. One that fails spoils no other, "
        "and the call has worked all the same.",
        _REPORT,
        body={
            "application/json": {
                "type": "array",
                "items": {"type": "object"},
                "maxItems": ITEMS_AT_MOST,
            }
        },
        examples={
            "bind an openID": [
                {
                    "userid": "zhangsan",
                    "set": {
                        "wechatoa": {"wechatoa123": "oRcf0w_yHT-1F_pioV1cHbf7ghFI"}
                    },
                }
            ]
        },
        keys=[CHANNEL_KEY, ACCESS_KEY],
    )
    def post(self, request: Request) -> Response:
        return _report(opting.opt(_items(self.body(request)), self.sender))


class UserDeleteView(JumsView):
    takes: ClassVar[set[str]] = {"access"}

    @v1_call(
        "Delete users",
        "With everything that is bound to them. Unknown ones count as deleted.",
        _REPORT,
        body={
            "application/json": {
                "type": "array",
                "items": {"type": "string"},
                "maxItems": ITEMS_AT_MOST,
            }
        },
        examples={"two": ["zhangsan", "lisi"]},
        keys=[ACCESS_KEY],
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
