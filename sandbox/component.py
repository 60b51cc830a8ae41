"""A third-party platform's calls under /cgi-bin/component/.

Each takes the component token as component_access_token (older pages, every SDK) or
access_token (newer pages). Where the sources give two errcodes for one mistake, one
of them is drawn, so that a client is seen to know both.

Sources: developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/ticket-token and
authorization-management, read 2026-11.
"""

import random
import time
from typing import Any

from .accounts import Account
from .answers import OK, Refusal
from .calls import OwnCall, body_of
from .http import Request
from .platform import Grant, Platform
from .world import World

PAGE = 500
OPTIONS = {
    "location_report": ("0", "1", "2"),
    "voice_recognize": ("0", "1"),
    "customer_service": ("0", "1"),
}
SERVICE_TYPES = {"service": 2, "test": 2, "subscription": 0, "miniprogram": 0}
# How soon a ticket follows api_start_push_ticket; WeChat says within ten minutes.
START_S = 0.5

Answered = tuple[str, dict[str, Any]]


# -- the platform proves itself --------------------------------------------------------
def _own(world: World, body: dict[str, Any], secret: str, ip: str) -> Platform:
    """Return the platform whose appid and secret these are. Raises Refusal."""
    platform = world.platform
    appid = body.get("component_appid")
    if not appid:
        raise Refusal(41018)
    if appid != platform.appid:
        raise Refusal(random.choice((40013, 61011)))
    platform.check_ip(ip)
    if not body.get(secret):
        raise Refusal(41004)
    if body[secret] != platform.secret:
        raise Refusal(random.choice((40001, 40125)))
    return platform


def component_token(world: World, request: Request, ip: str) -> Answered:
    """POST api_component_token: from a live ticket, any of them."""
    body = body_of(request)
    platform = _own(world, body, "component_appsecret", ip)
    now = time.time()
    issued_at = platform.tickets.get(str(body.get("component_verify_ticket")))
    if issued_at is None:
        raise Refusal(61006)
    if now - issued_at >= world.settings.ticket_life_s:
        raise Refusal(61005)
    token = world.tokens.issue_component(platform.appid, now)
    return platform.appid, {
        "component_access_token": token.value,
        "expires_in": _left(token.ends_at - now),
    }


def start_push_ticket(world: World, request: Request, ip: str) -> Answered:
    """POST api_start_push_ticket: tickets come again, the first one soon."""
    platform = _own(world, body_of(request), "component_secret", ip)
    world.settings.tickets = True
    platform.ticket_due_at = min(platform.ticket_due_at, time.time() + START_S)
    return platform.appid, OK


def clear_quota(world: World, request: Request, ip: str) -> Answered:
    """POST clear_quota/v2: the daily counters of an authorised account, by secret."""
    body = body_of(request)
    platform = _own(world, body, "appsecret", ip)
    account, _grant = authorised(world, body.get("appid"))
    account.used.clear()
    return platform.appid, OK


def _left(seconds: float) -> int:
    return max(1, round(seconds))


# -- calls with the component token ----------------------------------------------------
def check_token(world: World, request: Request) -> None:
    """Check the component token of a call. Raises Refusal."""
    argument = request.argument
    value = argument("component_access_token") or argument("access_token")
    if not value:
        raise Refusal(41021)
    token = world.tokens.known.get(value)
    if token is None or token.appid != world.platform.appid:
        raise Refusal(61014 if token else random.choice((40001, 40094)))
    if token.ends_at <= time.time():
        raise Refusal(40001 if token.replaced else random.choice((42001, 42006)))


def _asked(world: World, request: Request, ip: str) -> dict[str, Any]:
    """Return the body of a call that the component token opens. Raises Refusal."""
    check_token(world, request)
    world.platform.check_ip(ip)
    body = body_of(request)
    if not body.get("component_appid"):
        raise Refusal(41018)
    if body["component_appid"] != world.platform.appid:
        raise Refusal(61011)
    return body


def authorised(world: World, appid: object) -> tuple[Account, Grant]:
    """Return an account and its authorisation. Raises Refusal 41002, 61003."""
    if not appid:
        raise Refusal(41002)
    grant = world.platform.grants.get(str(appid))
    account = world.account(str(appid))
    if grant is None or account is None:
        raise Refusal(61003)
    return account, grant


def pre_auth_code(world: World, request: Request, ip: str) -> Answered:
    """POST api_create_preauthcode: for one authorisation."""
    _asked(world, request, ip)
    now, platform = time.time(), world.platform
    made = platform.new_pre_auth_code(now, world.settings.pre_auth_code_life_s)
    answer = {"pre_auth_code": made.value, "expires_in": _left(made.ends_at - now)}
    return platform.appid, answer


def query_auth(world: World, request: Request, ip: str) -> Answered:
    """POST api_query_auth: the first tokens of an account, once for each code."""
    body = _asked(world, request, ip)
    platform, now = world.platform, time.time()
    code = platform.auth_codes.get(str(body.get("authorization_code")))
    if code is None:
        raise Refusal(61009)
    if code.used:
        raise Refusal(random.choice((61009, 61010)))
    if code.ends_at <= now:
        raise Refusal(61010)
    if not platform.admits(code.appid):
        raise Refusal(61028)
    _account, grant = authorised(world, code.appid)
    code.used = True
    return platform.appid, {
        "authorization_info": {
            "authorizer_appid": grant.appid,
            **_tokens(world, grant, now),
            "func_info": grant.func_info(),
        }
    }


def authorizer_token(world: World, request: Request, ip: str) -> Answered:
    """POST api_authorizer_token: a new access token, perhaps a new refresh token."""
    body = _asked(world, request, ip)
    _account, grant = authorised(world, body.get("authorizer_appid"))
    if body.get("authorizer_refresh_token") != grant.refresh_token:
        raise Refusal(61023)
    if world.settings.refresh_token_replaced:
        grant.replace_refresh_token()
    return world.platform.appid, _tokens(world, grant, time.time())


def _tokens(world: World, grant: Grant, now: float) -> dict[str, Any]:
    token = world.tokens.issue_authorizer(grant, now)
    return {
        "authorizer_access_token": token.value,
        "expires_in": _left(token.ends_at - now),
        "authorizer_refresh_token": grant.refresh_token,
    }


def authorizer_info(world: World, request: Request, ip: str) -> Answered:
    """POST api_get_authorizer_info: who the account is and what it granted."""
    body = _asked(world, request, ip)
    account, grant = authorised(world, body.get("authorizer_appid"))
    host = request.header("Host") or "127.0.0.1"
    info: dict[str, Any] = {
        "nick_name": account.name,
        "head_img": f"http://{host}/mmopen/{account.appid}/0",
        "service_type_info": {"id": SERVICE_TYPES[account.kind]},
        "verify_type_info": {"id": 0 if account.verified else -1},
        "user_name": account.original_id,
        "alias": "",
        "qrcode_url": f"http://{host}/mmbiz_qrcode/{account.appid}/0",
        "principal_name": "云杉生活服务有限公司" if account.verified else "",
        "business_info": dict.fromkeys(
            ("open_store", "open_scan", "open_pay", "open_card", "open_shake"), 0
        ),
        "idc": 1,
        "signature": "",
        "account_status": 1,
    }
    if account.kind == "miniprogram":
        info["MiniProgramInfo"] = {"network": {}, "categories": [], "visit_status": 0}
    return world.platform.appid, {
        "authorizer_info": info,
        "authorization_info": {
            "authorizer_appid": account.appid,
            "authorizer_refresh_token": grant.refresh_token,
            "func_info": grant.func_info(),
        },
    }


def authorizer_list(world: World, request: Request, ip: str) -> Answered:
    """POST api_get_authorizer_list: every authorised account, 500 a page at most."""
    body = _asked(world, request, ip)
    offset, count = body.get("offset"), body.get("count")
    if not isinstance(offset, int) or not isinstance(count, int):
        raise Refusal(40170)
    if offset < 0 or not 1 <= count <= PAGE:
        raise Refusal(40170)
    grants = world.platform.authorised()
    return world.platform.appid, {
        "total_count": len(grants),
        "list": [
            {
                "authorizer_appid": grant.appid,
                "refresh_token": grant.refresh_token,
                "auth_time": int(grant.at),
            }
            for grant in grants[offset : offset + count]
        ],
    }


# -- options ---------------------------------------------------------------------------
def _optioned(
    world: World, request: Request, ip: str, old: bool
) -> tuple[Account, dict[str, Any]]:
    """Return account and body of an option call.

    The newer pages name no account in the body, so the token must: WxJava sends the
    authorizer's. Senparc sends the component's with the account in the body.
    """
    value = request.argument("access_token")
    token = world.tokens.known.get(value)
    if not old and token and token.grant:
        world.tokens.find(value, time.time())
        account = world.account(token.appid)
        if account is None:
            raise Refusal(40013)
        world.platform.check(token.grant, request.path, ip)
        body = body_of(request)
    else:
        body = _asked(world, request, ip)
        account, _grant = authorised(world, body.get("authorizer_appid"))
    if body.get("option_name") not in OPTIONS:
        raise Refusal(61012)
    return account, body


def _get_option(old: bool) -> OwnCall:
    def call(world: World, request: Request, ip: str) -> Answered:
        account, body = _optioned(world, request, ip, old)
        name = body["option_name"]
        value = world.platform.options.get((account.appid, name), "0")
        answer = {"option_name": name, "option_value": value}
        who = {"authorizer_appid": account.appid} if old else {}
        return account.appid, {**who, **answer}

    return call


def _set_option(old: bool) -> OwnCall:
    def call(world: World, request: Request, ip: str) -> Answered:
        account, body = _optioned(world, request, ip, old)
        name, value = body["option_name"], str(body.get("option_value"))
        if value not in OPTIONS[name]:
            raise Refusal(61013)
        world.platform.options[account.appid, name] = value
        return account.appid, OK

    return call


CALLS: dict[tuple[str, str], OwnCall] = {
    ("POST", f"/cgi-bin/component/{name}"): call
    for name, call in {
        "api_component_token": component_token,
        "api_start_push_ticket": start_push_ticket,
        "api_create_preauthcode": pre_auth_code,
        "api_query_auth": query_auth,
        "api_authorizer_token": authorizer_token,
        "api_get_authorizer_info": authorizer_info,
        "api_get_authorizer_list": authorizer_list,
        "api_get_authorizer_option": _get_option(old=True),
        "get_authorizer_option": _get_option(old=False),
        "api_set_authorizer_option": _set_option(old=True),
        "set_authorizer_option": _set_option(old=False),
        "clear_quota/v2": clear_quota,
    }.items()
}
