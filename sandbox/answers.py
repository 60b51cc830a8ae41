"""How WeChat answers: error texts with a rid, always HTTP 200.

Texts: developers.weixin.qq.com/doc/offiaccount (Global_Return_Code.html and the page
of each call), read 2026-11.
"""

import json
import time
from random import getrandbits
from typing import Any

ERRMSG = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest, "
    "could get access_token by getStableAccessToken, more details at "
    "https://mmbizurl.cn/s/JtxxFh33r",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40008: "invalid message type",
    40013: "invalid appid",
    40014: "invalid access_token",
    40029: "invalid code",
    40035: "invalid parameter",
    40036: "invalid template_id size",
    40037: "invalid template_id",
    40039: "invalid url size",
    40066: "invalid url",
    40094: "invalid component credential",
    40102: "invalid industry id",
    40125: "invalid appsecret",
    40163: "code been used",
    40164: "invalid ip {detail}, not in whitelist",
    40165: "invalid weapp pagepath",
    40166: "invalid weapp appid",
    40170: "invalid count or offset",
    40241: "The message is duplicate in 60 seconds",
    40246: "invalid keyword list",
    40247: "the template is no longer available, use a category template",
    40243: "AppSecret has been frozen",
    40249: "template message is blocked for illegal content",
    40252: "template message is under review",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    41008: "missing code",
    41018: "component_appid missing",
    41021: "component_access_token missing",
    41030: "invalid page",
    42001: "access_token expired",
    42003: "code expired",
    42006: "component_access_token expired",
    43001: "require GET method",
    43002: "require POST method",
    43004: "require subscribe",
    43101: "user refuse to accept the msg",
    43019: "user is in the blacklist",
    43100: "modify template is too frequent",
    43104: "this appid does not have permission",
    43106: "this appid is punished",
    43116: "the template is banned",
    43117: "the message to this user is too frequent",
    44004: "empty content",
    45002: "message content out of limit",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    45015: "response out of time limit or subscription is canceled",
    45026: "template num exceeds limit",
    45027: "template conflict with industry",
    45047: "out of response count limit",
    45168: "content contains forbidden keyword",
    47001: "data format error",
    47003: "argument invalid! {detail}",
    48001: "api unauthorized",
    48004: "api forbidden",
    48006: "forbid to clear quota because of reaching the limit",
    50002: "user limited",
    50005: "user is unsubscribed",
    50007: "account frozen",
    61003: "component is not authorized by this account",
    61004: "access clientip is not registered requestIP: {detail}",
    61005: "component ticket is expired",
    61006: "component ticket is invalid",
    61007: "api is unauthorized to component",
    61009: "code is invalid",
    61010: "code is expired",
    61011: "invalid component",
    61012: "invalid option name",
    61013: "invalid option value",
    61014: "must use component token for component api",
    61015: "must use biz token or component biz token for biz api",
    61023: "refresh_token is invalid",
    61028: "component has not published, and account is not in the test list",
    76003: "bad cgi_path",
    76021: "cgi_path not found",
    76022: "could not use this cgi_path",
    200002: "invalid parameter",
    200011: "this account has been banned",
    200012: "private template count reach limit",
    200013: "this template has been banned",
    200014: "invalid tid",
    200016: "invalid start",
    200017: "invalid limit",
    200018: "missing ids",
    200019: "invalid ids",
    200020: "invalid kidList",
    200021: "invalid sceneDesc",
    200022: "template already exists",
}


class Refusal(Exception):
    """WeChat says no: an errcode, and what its text names."""

    def __init__(self, errcode: int, detail: str = "") -> None:
        super().__init__(errcode, detail)
        self.errcode, self.detail = errcode, detail


def new_rid() -> str:
    return f"{int(time.time()):08x}-{getrandbits(32):08x}-{getrandbits(32):08x}"


def error(errcode: int, detail: str = "", errmsg: str = "") -> dict[str, Any]:
    """Return the error object as WeChat words it; `errmsg` overrides the text."""
    text = errmsg or ERRMSG.get(errcode, "error").format(detail=detail)
    return {"errcode": errcode, "errmsg": f"{text} rid: {new_rid()}"}


OK = {"errcode": 0, "errmsg": "ok"}


def dump(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
