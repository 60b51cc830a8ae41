"""WeChat's calls besides template/send: tokens, templates, users, quotas.

Sources: developers.weixin.qq.com/doc/offiaccount (Basic_Information, User_Management,
Message_Management/Template_Message_Interface.html, openApi), read 2026-11.
"""

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from . import chat
from .accounts import (
    BIZSEND,
    SEND,
    TEMPLATE_LIMIT,
    Account,
    Template,
    new_template_id,
)
from .answers import OK, Refusal
from .http import Request
from .library import INDUSTRIES, LIBRARY, OLD_LIBRARY
from .people import BLACKLISTED, FOLLOWS
from .world import World

PAGE = 10_000


def body_of(request: Request) -> dict[str, Any]:
    """Return the call's JSON object. Raises Refusal 47001."""
    try:
        body = json.loads(request.body)
    except ValueError:
        raise Refusal(47001) from None
    if not isinstance(body, dict):
        raise Refusal(47001)
    return body


# -- tokens ----------------------------------------------------------------------------

# What the calls for tokens answer for an account; the others answer any errcode.
TOKEN_REFUSALS = frozenset({40243, 50004, 50007, *range(89501, 89508)})


def _credentials(
    world: World, appid: str, secret: str, grant_type: str, ip: str
) -> Account:
    if grant_type != "client_credential":
        raise Refusal(40002)
    if not appid:
        raise Refusal(41002)
    if not secret:
        raise Refusal(41004)
    account = world.accounts.get(appid)
    if account is None:
        raise Refusal(40013)
    if not account.allows(ip):
        raise Refusal(40164, f"{ip} ipv6 ::ffff:{ip}" if ":" not in ip else ip)
    if account.secret != secret:
        raise Refusal(40125)
    if account.refuses in TOKEN_REFUSALS:
        raise Refusal(account.refuses)
    return account


def _spend(account: Account, path: str) -> None:
    if not account.spend(path, time.time()):
        raise Refusal(45009)


def token(world: World, request: Request, ip: str) -> tuple[str, dict[str, Any]]:
    """GET /cgi-bin/token: a new token on every call."""
    account = _credentials(
        world,
        request.argument("appid"),
        request.argument("secret"),
        request.argument("grant_type"),
        ip,
    )
    _spend(account, "/cgi-bin/token")
    now = time.time()
    issued = world.tokens.issue_classic(account.appid, now)
    return account.appid, _token_answer(issued.value, issued.ends_at - now)


def stable_token(world: World, request: Request, ip: str) -> tuple[str, dict[str, Any]]:
    """POST /cgi-bin/stable_token: the same token until shortly before its end."""
    body = body_of(request)
    account = _credentials(
        world,
        str(body.get("appid") or ""),
        str(body.get("secret") or ""),
        str(body.get("grant_type") or ""),
        ip,
    )
    _spend(account, "/cgi-bin/stable_token")
    now = time.time()
    force = body.get("force_refresh") is True
    issued = world.tokens.issue_stable(account.appid, now, force)
    return account.appid, _token_answer(issued.value, issued.ends_at - now)


def clear_quota_v2(
    world: World, request: Request, ip: str
) -> tuple[str, dict[str, Any]]:
    """POST /cgi-bin/clear_quota/v2: the same as clear_quota, by AppSecret."""
    body = body_of(request)
    appid, secret = str(body.get("appid") or ""), str(body.get("appsecret") or "")
    account = _credentials(world, appid, secret, "client_credential", ip)
    _clear(account)
    return account.appid, OK


def _token_answer(value: str, left_s: float) -> dict[str, Any]:
    return {"access_token": value, "expires_in": max(1, round(left_s))}


# (world, request, the caller's address) -> (whose call it is, answer)
OwnCall = Callable[[World, Request, str], tuple[str, dict[str, Any]]]
TOKEN_CALLS: dict[tuple[str, str], OwnCall] = {
    ("GET", "/cgi-bin/token"): token,
    ("POST", "/cgi-bin/stable_token"): stable_token,
    ("POST", "/cgi-bin/clear_quota/v2"): clear_quota_v2,
}


# -- templates -------------------------------------------------------------------------
def templates(world: World, account: Account, request: Request) -> dict[str, Any]:
    return {"template_list": [t.listing() for t in account.templates.values()]}


def add_template(world: World, account: Account, request: Request) -> dict[str, Any]:
    body = body_of(request)
    short = str(body.get("template_id_short") or "")
    if short.startswith(("TM", "OPENTM")):
        industry = OLD_LIBRARY.get(short)
        if industry is None:
            raise Refusal(40037)
        # Old ones belong to an industry, and no account can add them any more.
        raise Refusal(40247 if industry in account.industries else 45027)
    entry = LIBRARY.get(short)
    if entry is None:
        raise Refusal(40037)
    names = body.get("keyword_name_list")
    title, keywords = entry
    if (
        not isinstance(names, list)
        or not 1 <= len(names) <= 5
        or len(set(map(str, names))) != len(names)
        or any(name not in keywords for name in names)
    ):
        raise Refusal(40246)
    if len(account.templates) >= TEMPLATE_LIMIT:
        raise Refusal(45026)
    keys = {name: keywords[name] for name in names}
    template = Template(
        new_template_id(),
        title,
        "".join(f"{n}:{{{{{k}.DATA}}}}\n" for n, (k, _example) in keys.items()),
        "".join(f"{n}:{example}\n" for n, (_key, example) in keys.items()),
    )
    account.templates[template.template_id] = template
    return {**OK, "template_id": template.template_id}


def remove_template(world: World, account: Account, request: Request) -> dict[str, Any]:
    template = account.templates.pop(str(body_of(request).get("template_id")), None)
    if template is None:
        raise Refusal(40037)
    # Phones go on showing what they received.
    world.inboxes[account.appid].removed[template.template_id] = template
    return OK


def set_industry(world: World, account: Account, request: Request) -> dict[str, Any]:
    body = body_of(request)
    try:
        pair = int(body["industry_id1"]), int(body["industry_id2"])
    except (KeyError, TypeError, ValueError):
        raise Refusal(40102) from None
    if not set(pair) <= set(INDUSTRIES) or pair[0] == pair[1]:
        raise Refusal(40102)
    if time.time() - account.industry_changed_at < 30 * 86400:
        raise Refusal(43100)
    account.industries, account.industry_changed_at = pair, time.time()
    return OK


def get_industry(world: World, account: Account, request: Request) -> dict[str, Any]:
    def words(code: int) -> dict[str, str]:
        first, second = INDUSTRIES[code]
        return {"first_class": first, "second_class": second}

    first, second = account.industries
    return {"primary_industry": words(first), "secondary_industry": words(second)}


# -- people ----------------------------------------------------------------------------
def _page(everyone: list[str], after: str) -> list[str]:
    if not after:
        return everyone[:PAGE]
    try:
        start = everyone.index(after) + 1
    except ValueError:
        raise Refusal(40003) from None
    return everyone[start : start + PAGE]


def _page_answer(everyone: list[str], after: str) -> dict[str, Any]:
    page = _page(everyone, after)
    answer: dict[str, Any] = {"total": len(everyone), "count": len(page)}
    if page:
        answer["data"] = {"openid": page}
    answer["next_openid"] = page[-1] if page else ""
    return answer


def followers(world: World, account: Account, request: Request) -> dict[str, Any]:
    return _page_answer(account.followers(), request.argument("next_openid"))


def _info(account: Account, openid: object, language: str) -> dict[str, Any]:
    state = account.people.get(openid) if isinstance(openid, str) else None
    if state is None:
        raise Refusal(40003)
    if not state & FOLLOWS:
        return {"subscribe": 0, "openid": openid}
    return {
        "subscribe": 1,
        "openid": openid,
        "nickname": "",
        "sex": 0,
        "language": language or "zh_CN",
        "city": "",
        "province": "",
        "country": "",
        "headimgurl": "",
        "subscribe_time": 1_700_000_000 + (state >> 3) * 61,
        "remark": "",
        "groupid": 0,
        "tagid_list": [],
        "subscribe_scene": "ADD_SCENE_QR_CODE",
        "qr_scene": 0,
        "qr_scene_str": "",
    }


def user_info(world: World, account: Account, request: Request) -> dict[str, Any]:
    return _info(account, request.argument("openid"), request.argument("lang"))


def users_info(world: World, account: Account, request: Request) -> dict[str, Any]:
    asked = body_of(request).get("user_list")
    if not isinstance(asked, list) or not 1 <= len(asked) <= 100:
        raise Refusal(40035)
    entries = [entry if isinstance(entry, dict) else {} for entry in asked]
    infos = [_info(account, e.get("openid"), str(e.get("lang") or "")) for e in entries]
    return {"user_info_list": infos}


def blacklist(world: World, account: Account, request: Request) -> dict[str, Any]:
    listed = [of for of, state in account.people.items() if state & BLACKLISTED]
    return _page_answer(listed, str(body_of(request).get("begin_openid") or ""))


def _blacklisting(on: bool) -> "Call":
    def call(world: World, account: Account, request: Request) -> dict[str, Any]:
        openids = body_of(request).get("openid_list")
        if not isinstance(openids, list) or not 1 <= len(openids) <= 20:
            raise Refusal(40035)
        if any(not isinstance(o, str) or o not in account.people for o in openids):
            raise Refusal(40003)
        for openid in openids:
            account.flag(openid, BLACKLISTED, on)
        return OK

    return call


# -- customer-service messages ---------------------------------------------------------
def custom_send(world: World, account: Account, request: Request) -> dict[str, Any]:
    chat.serve(world.chats, account, body_of(request), time.time())
    return OK


# -- quotas and network ----------------------------------------------------------------
def quota(world: World, account: Account, request: Request) -> dict[str, Any]:
    path = body_of(request).get("cgi_path")
    if not isinstance(path, str) or not path.startswith("/") or "?" in path:
        raise Refusal(76003)
    if path not in (SEND, BIZSEND) and all(path != known for _method, known in CALLS):
        raise Refusal(76022 if path.startswith("/sns") else 76021)
    if (path in (SEND, BIZSEND) and not account.may_notify) or (
        path == BIZSEND and account.kind == "test"
    ):
        raise Refusal(76022)
    limit, used = account.limit(path), account.used_today(path, time.time())
    return {
        **OK,
        "quota": {"daily_limit": limit, "used": used, "remain": max(0, limit - used)},
    }


def clear_quota(world: World, account: Account, request: Request) -> dict[str, Any]:
    if body_of(request).get("appid") != account.appid:
        raise Refusal(40013)
    _clear(account)
    return OK


def _clear(account: Account) -> None:
    if account.clears_left <= 0:
        raise Refusal(48006)
    account.clears_left -= 1
    account.used.clear()


def clear_one_quota(world: World, account: Account, request: Request) -> dict[str, Any]:
    account.used.pop(str(body_of(request).get("cgi_path")), None)
    return OK


def addresses(world: World, account: Account, request: Request) -> dict[str, Any]:
    return {"ip_list": ["127.0.0.1", "::1"]}


def rid(world: World, account: Account, request: Request) -> dict[str, Any]:
    wanted = str(body_of(request).get("rid") or "")
    for line in world.log:
        if wanted and line.errmsg.endswith(wanted) and line.appid == account.appid:
            return {
                **OK,
                "request": {
                    "invoke_time": int(line.at),
                    "cost_in_ms": 1,
                    "request_url": line.path,
                    "request_body": "",
                    "response_body": f'{{"errcode":{line.errcode}}}',
                    "client_ip": line.ip,
                },
            }
    raise Refusal(76003)


Call = Callable[[World, Account, Request], dict[str, Any]]


class Endpoint(NamedTuple):
    call: Call
    counted: bool = True


CALLS: dict[tuple[str, str], Endpoint] = {
    ("GET", "/cgi-bin/template/get_all_private_template"): Endpoint(templates),
    ("POST", "/cgi-bin/template/api_add_template"): Endpoint(add_template),
    ("POST", "/cgi-bin/template/del_private_template"): Endpoint(remove_template),
    ("POST", "/cgi-bin/template/api_set_industry"): Endpoint(set_industry),
    ("GET", "/cgi-bin/template/get_industry"): Endpoint(get_industry),
    ("GET", "/cgi-bin/user/get"): Endpoint(followers),
    ("GET", "/cgi-bin/user/info"): Endpoint(user_info),
    ("POST", "/cgi-bin/user/info/batchget"): Endpoint(users_info),
    ("POST", "/cgi-bin/tags/members/getblacklist"): Endpoint(blacklist),
    ("POST", "/cgi-bin/tags/members/batchblacklist"): Endpoint(_blacklisting(True)),
    ("POST", "/cgi-bin/tags/members/batchunblacklist"): Endpoint(_blacklisting(False)),
    ("POST", "/cgi-bin/message/custom/send"): Endpoint(custom_send),
    ("POST", "/cgi-bin/openapi/quota/get"): Endpoint(quota, counted=False),
    ("POST", "/cgi-bin/openapi/quota/clear"): Endpoint(clear_one_quota, counted=False),
    ("POST", "/cgi-bin/openapi/rid/get"): Endpoint(rid, counted=False),
    ("POST", "/cgi-bin/clear_quota"): Endpoint(clear_quota, counted=False),
    ("GET", "/cgi-bin/getcallbackip"): Endpoint(addresses),
    ("GET", "/cgi-bin/get_api_domain_ip"): Endpoint(addresses),
}
