"""Web pages inside WeChat: silent authorisation, and what JS-SDK signatures rest on.

Sources: developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/
Wechat_webpage_authorization.html and JS-SDK.html, read 2026-11.
"""

import hashlib
import secrets
import time
from typing import Any
from urllib.parse import quote, urlsplit

from .accounts import Account
from .answers import OK, Refusal
from .calls import Endpoint
from .component import authorised, check_token
from .http import Request
from .people import FOLLOWS
from .people import openid as openid_of
from .web import Code, Ticket
from .world import World

SCOPES = ("snsapi_base", "snsapi_userinfo")
MAX_STATE = 128
# WeChat's error pages of the authorisation: number -> text.
ERROR_PAGES = {
    10003: "redirect_uri 域名与后台配置不一致",
    10004: "此公众号被封禁",
    10005: "此公众号并没有这些 scope 的权限",
    10006: "必须关注此测试号",
    10010: "scope 不能为空",
    10011: "redirect_uri 不能为空",
    10012: "appid 不能为空",
    10013: "state 参数有误",
    10015: "公众号未授权第三方平台",
    10016: "不支持微信开放平台的 Appid",
}


class ErrorPage(Exception):
    """The authorisation page stays where it is and shows one of ERROR_PAGES."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def authorize(world: World, request: Request, person: int) -> str:
    """Return where the authorisation page leads person `person` back to.

    Raises ErrorPage.
    """
    asked = request.argument
    account = world.accounts.get(asked("appid"))
    if not asked("appid"):
        raise ErrorPage(10012)
    if account is None or not account.may_notify:
        raise ErrorPage(10016 if account is None else 10005)
    if account.refuses:
        raise ErrorPage(10004)
    back, scope, state = asked("redirect_uri"), asked("scope"), asked("state")
    if not back:
        raise ErrorPage(10011)
    if not scope:
        raise ErrorPage(10010)
    if scope not in SCOPES or asked("response_type") != "code":
        raise ErrorPage(10005)
    if len(state.encode()) > MAX_STATE:
        raise ErrorPage(10013)
    component_appid = asked("component_appid")
    if component_appid and (
        component_appid != world.platform.appid
        or account.appid not in world.platform.grants
    ):
        raise ErrorPage(10015)
    domain = world.domains[component_appid or account.appid].oauth
    if domain not in (None, urlsplit(back).netloc, urlsplit(back).hostname):
        raise ErrorPage(10003)
    openid = _identity(account, person)
    if account.kind == "test" and not account.people[openid] & FOLLOWS:
        raise ErrorPage(10006)
    code = secrets.token_urlsafe(24)
    world.web.codes[code] = Code(
        account.appid, openid, scope, time.time(), component_appid
    )
    address, _hash, fragment = back.partition("#")
    joined = "&" if "?" in address else "?"
    address += f"{joined}code={code}&state={quote(state, safe='')}"
    if component_appid:
        address += f"&appid={account.appid}"
    return address + (f"#{fragment}" if fragment else "")


def _identity(account: Account, person: int) -> str:
    """Return the person's openid; someone the account has never met gets one now."""
    openid = openid_of(account.appid, person)
    account.people.setdefault(openid, person << 3)
    return openid


# -- calls -----------------------------------------------------------------------------
def _exchange(
    world: World, request: Request, component_appid: str
) -> tuple[str, dict[str, Any]]:
    if request.argument("grant_type") != "authorization_code":
        raise Refusal(40002)
    value = request.argument("code")
    if not value:
        raise Refusal(41008)
    code = world.web.codes.get(value)
    if (
        code is None
        or code.appid != request.argument("appid")
        or code.component_appid != component_appid
    ):
        raise Refusal(40029)
    if code.used:
        raise Refusal(40163)
    if time.time() - code.at > world.settings.oauth_code_life_s:
        raise Refusal(42003)
    code.used = True
    answer: dict[str, Any] = {
        "access_token": f"92_{secrets.token_urlsafe(64)}",
        "expires_in": 7200,
        "refresh_token": f"92_{secrets.token_urlsafe(64)}",
        "openid": code.openid,
        "scope": code.scope,
    }
    if world.settings.snapshot_users:
        # A visitor of the snapshot page: an identity of that page, nobody's openid.
        answer["openid"] = "oSS" + secrets.token_urlsafe(19)[:25]
        answer["is_snapshotuser"] = 1
    return code.appid, answer


def access_token(world: World, request: Request, ip: str) -> tuple[str, dict[str, Any]]:
    """GET /sns/oauth2/access_token: from a code to the openid."""
    account = world.accounts.get(request.argument("appid"))
    if not request.argument("appid"):
        raise Refusal(41002)
    if account is None:
        raise Refusal(40013)
    if not request.argument("secret"):
        raise Refusal(41004)
    if account.secret != request.argument("secret"):
        raise Refusal(40125)
    return _exchange(world, request, "")


def component_access_token(
    world: World, request: Request, ip: str
) -> tuple[str, dict[str, Any]]:
    """GET /sns/oauth2/component/access_token: the same for a third-party platform."""
    check_token(world, request)
    world.platform.check_ip(ip)
    component_appid = request.argument("component_appid")
    if component_appid != world.platform.appid:
        raise Refusal(41018 if not component_appid else 40013)
    authorised(world, request.argument("appid"))
    return _exchange(world, request, component_appid)


def ticket(world: World, account: Account, request: Request) -> dict[str, Any]:
    """GET /cgi-bin/ticket/getticket?type=jsapi"""
    if request.argument("type") != "jsapi":
        raise Refusal(40035)
    now, tickets = time.time(), world.web.tickets
    current = tickets.get(account.appid)
    if current is None or current.ends_at <= now:
        current = Ticket(secrets.token_urlsafe(64), now + 7200)
        tickets[account.appid] = current
    left = max(1, round(current.ends_at - now))
    return {**OK, "ticket": current.value, "expires_in": left}


def config_problem(world: World, account: Account, asked: dict[str, str]) -> str:
    """Return "" or the `errMsg` with which `wx.config` of a page fails.

    `asked` has timestamp, nonceStr, signature and the page's url without its fragment.
    """
    url = asked.get("url", "").partition("#")[0]
    allowed = world.domains[account.appid].js
    if account.appid in world.platform.grants:
        # A platform's pages are on the platform's own domains.
        theirs = world.domains[world.platform.appid].js
        allowed = None if allowed is None or theirs is None else allowed + theirs
    host = urlsplit(url)
    if allowed is not None and not {host.netloc, host.hostname} & set(allowed):
        return "config:fail,Error: invalid url domain"
    current = world.web.tickets.get(account.appid)
    if current is None:
        return "config:fail,Error: invalid signature"
    signed = (
        f"jsapi_ticket={current.value}&noncestr={asked.get('nonceStr', '')}"
        f"&timestamp={asked.get('timestamp', '')}&url={url}"
    )
    digest = hashlib.sha1(signed.encode(), usedforsecurity=False).hexdigest()
    if digest != asked.get("signature"):
        return "config:fail,Error: invalid signature"
    return ""


CALLS = {("GET", "/cgi-bin/ticket/getticket"): Endpoint(ticket)}
OWN_CALLS = {
    ("GET", "/sns/oauth2/access_token"): access_token,
    ("GET", "/sns/oauth2/component/access_token"): component_access_token,
}
