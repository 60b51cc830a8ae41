"""What an account's administrator does about a third-party platform.

Source: developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/
Before_Develop/Authorization_Process_Technical_Description.html and
authorize_event.html, read 2026-11.
"""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from .accounts import Account
from .http import Request
from .platform import AuthCode, Grant
from .pushing import Push, Pusher
from .settings import ORDERS
from .world import World

PAGES = {
    "/cgi-bin/componentloginpage": "pc",
    "/wxaopen/safe/bindcomponent": "phone",
    "/safe/bindcomponent": "phone",
}
# How long after the browser the event comes when it comes second.
LATER_S = 1.0
# auth_type -> the kinds of account the page offers.
OFFICIAL, MINIPROGRAM = {"service", "subscription"}, {"miniprogram"}
KINDS = {"1": OFFICIAL, "2": MINIPROGRAM, "3": OFFICIAL | MINIPROGRAM}
KINDS["6"] = KINDS["3"]


class NotOffered(ValueError):
    """The authorisation page does not open; `code` names the text it shows."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code} {detail}".strip())
        self.code, self.detail = code, detail


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def check_entry(world: World, request: Request) -> None:
    """Let a browser see the authorisation page. Raises NotOffered.

    WeChat asks that the page before it and the page after it lie on the platform's
    registered login domain; a typed address or a redirect by a server has no page
    before it.
    """
    _check_link(world, request.argument("component_appid"))
    came_from = _host(request.header("Referer"))
    back_to = _host(request.argument("redirect_uri"))
    allowed = world.platform.login_domain.partition(":")[0] or back_to
    if not came_from or came_from != allowed or back_to != allowed:
        empty = "(empty)"
        raise NotOffered("domain", f"{came_from or empty} / {back_to or empty}")
    _check_code(world, request.argument("pre_auth_code"))


def _check_link(world: World, component_appid: str) -> None:
    if component_appid != world.platform.appid:
        raise NotOffered("component", component_appid)


def _check_code(world: World, pre_auth_code: str) -> None:
    code = world.platform.pre_auth_codes.get(pre_auth_code)
    if code is None or code.used:
        raise NotOffered("code")
    if code.ends_at <= time.time():
        raise NotOffered("expired")


@dataclass(frozen=True)
class Asked:
    """What an authorisation link asks for."""

    pre_auth_code: str
    redirect_uri: str
    auth_type: str = "3"
    biz_appid: str = ""
    category_id_list: str = ""
    # The page inside WeChat, which mangles a query it is to return to.
    on_phone: bool = False


def offered_accounts(world: World, asked: Asked) -> list[Account]:
    """Accounts the page lets pick from; `biz_appid` wins over `auth_type`."""
    everyone = world.accounts.values()
    if asked.biz_appid:
        return [a for a in everyone if a.appid == asked.biz_appid]
    kinds = KINDS.get(asked.auth_type, set())
    return [account for account in everyone if account.kind in kinds]


def offered_sets(world: World, asked: Asked) -> list[int]:
    """Permission sets the platform asks for, narrowed by `category_id_list`."""
    wanted = {int(n) for n in asked.category_id_list.split("|") if n.isdigit()}
    sets = world.platform.permission_sets
    return [n for n in sets if n in wanted] if wanted else list(sets)


class Administrator:
    """Authorises accounts, changes their permission sets, takes them back."""

    def __init__(self, world: World, pusher: Pusher) -> None:
        self.world, self.pusher = world, pusher
        self.tasks: set[asyncio.Task[None]] = set()

    async def authorise(
        self,
        account: Account,
        asked: Asked,
        func_ids: list[int] | None = None,
        order: str = "",
        twice: bool | None = None,
    ) -> dict[str, Any]:
        """Confirm on the page; return where the browser goes, "" for nowhere.

        Event and browser come in `order` (default: the setting). Raises NotOffered.
        """
        world, settings = self.world, self.world.settings
        order = order or settings.authorised_order
        if order not in ORDERS:
            raise ValueError(f"order: one of {', '.join(ORDERS)}")
        _check_code(world, asked.pre_auth_code)
        if account not in offered_accounts(world, asked):
            raise NotOffered("account", account.appid)
        if not world.platform.admits(account.appid):
            raise NotOffered("unreleased", account.appid)
        offered = offered_sets(world, asked)
        granted = offered if func_ids is None else func_ids
        if not granted or not set(granted) <= set(offered):
            raise NotOffered("sets")
        world.platform.pre_auth_codes[asked.pre_auth_code].used = True
        before = world.platform.grants.get(account.appid)
        code = self._grant(account.appid, sorted(granted))
        if order == "random":
            order = random.choice(("event_first", "redirect_first"))
        if order != "redirect_only":
            kind = _kind(before, granted)
            pushes = [] if not kind else [self._event(kind, code, asked.pre_auth_code)]
            twice = settings.authorised_twice if twice is None else twice
            if pushes and twice:
                pushes.append(self._event(kind, code, asked.pre_auth_code))
            if order == "redirect_first":
                self._later(pushes)
            else:
                await self._push(pushes)
        expires_in = round(code.ends_at - time.time())
        back = "" if order == "event_only" else _way_back(asked, code, expires_in)
        return {"redirect": back, "auth_code": code.value, "order": order}

    async def change_sets(self, appid: str, func_ids: list[int]) -> bool:
        """Grant other permission sets; False when nothing changes, hence no event."""
        platform = self.world.platform
        before = platform.grants[appid]
        if set(func_ids) == set(before.func_ids):
            return False
        code = self._grant(appid, sorted(set(func_ids)))
        made = platform.new_pre_auth_code(time.time(), 0.0)
        await self._push([self._event("updateauthorized", code, made.value)])
        return True

    async def take_back(self, appid: str) -> None:
        """De-authorise: every token of the platform for this account is dead."""
        platform, now = self.world.platform, time.time()
        platform.grants.pop(appid).ended = True
        fields = {"AuthorizerAppid": appid}
        await self._push([self.pusher.platform_push("unauthorized", fields, now)])

    def forget(self) -> None:
        """Drop events that have not gone out yet."""
        for task in self.tasks:
            task.cancel()

    def _grant(self, appid: str, func_ids: list[int]) -> AuthCode:
        platform, now = self.world.platform, time.time()
        platform.grant(appid, func_ids, now)
        life_s = self.world.settings.auth_code_life_s
        return platform.new_auth_code(appid, now, life_s)

    def _event(self, kind: str, code: AuthCode, pre_auth_code: str) -> Push:
        fields = {
            "AuthorizerAppid": code.appid,
            "AuthorizationCode": code.value,
            "AuthorizationCodeExpiredTime": int(code.ends_at),
            "PreAuthCode": pre_auth_code,
        }
        return self.pusher.platform_push(kind, fields, time.time())

    async def _push(self, pushes: list[Push]) -> None:
        for push in pushes:
            await self.pusher.push_now(push)

    def _later(self, pushes: list[Push]) -> None:
        async def push() -> None:
            await asyncio.sleep(LATER_S)
            await self._push(pushes)

        task = asyncio.get_running_loop().create_task(push())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


def _kind(before: Grant | None, granted: list[int]) -> str:
    """The event an authorisation causes; "": none, as nothing changed."""
    if before is None:
        return "authorized"
    return "updateauthorized" if set(before.func_ids) != set(granted) else ""


def _way_back(asked: Asked, code: AuthCode, expires_in: int) -> str:
    uri = asked.redirect_uri
    if asked.on_phone:
        # Seen there: a second parameter `&x=` comes back as `amp;x`.
        uri = uri.replace("&", "&amp;")
    joint = "&" if urlsplit(uri).query else "?"
    value = quote(code.value, safe="")
    return f"{uri}{joint}auth_code={value}&expires_in={expires_in}"
