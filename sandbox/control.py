"""The control API under /sandbox/api/: JSON, for tests, demo and the page."""

import itertools
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from . import accounts, calls, inside, looking, people, pushing, subscribing
from .accounts import Account
from .answers import ERRMSG, Refusal, dump
from .chat import FOLLOWED
from .http import Reply, Request, payload
from .people import BLACKLISTED, BLOCKS, FOLLOWS
from .platform_control import NotThere, PlatformControl
from .pushing import Push, Pusher
from .world import World

JSON = "application/json; charset=utf-8"


class Refused(Exception):
    """A control call that cannot be done: HTTP status and a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status, self.detail = status, detail


Body = dict[str, Any]
Answer = Body | list[Any] | Awaitable[Body]
Call = Callable[["Control", Request, Body, list[str]], Answer]


class Control:
    def __init__(self, world: World, pusher: Pusher) -> None:
        self.world = world
        self.pusher = pusher
        self.platform = PlatformControl(world, pusher)

    def answer(self, request: Request) -> Reply | Awaitable[Reply]:
        try:
            answered = self._dispatch(request)
        except Refused as refused:
            return _refusal(refused.status, refused.detail)
        except NotThere as missing:
            return _refusal(404, str(missing))
        except ValueError as wrong:
            return _refusal(422, str(wrong))
        if isinstance(answered, dict | list):
            return _reply(answered)
        return self._late(answered)

    async def _late(self, answered: Awaitable[Body]) -> Reply:
        try:
            return _reply(await answered)
        except Refused as refused:
            return _refusal(refused.status, refused.detail)
        except NotThere as missing:
            return _refusal(404, str(missing))
        except ValueError as wrong:
            return _refusal(422, str(wrong))

    def _dispatch(self, request: Request) -> Answer:
        parts = request.path.removeprefix("/sandbox/api/").strip("/").split("/")
        name, rest = parts[0], parts[1:]
        call = CALLS.get((request.method, name))
        if call is None:
            known = any(name == other for _method, other in CALLS)
            raise Refused(405 if known else 404, f"{request.method} {request.path}")
        if request.method != "GET":
            _same_origin(request)
        return call(self, request, _body(request), rest)

    def account(self, appid: object) -> Account:
        if not appid and len(self.world.accounts) == 1:
            return next(iter(self.world.accounts.values()))
        account = self.world.accounts.get(str(appid or accounts.DEMO_APPID))
        if account is None:
            raise Refused(404, f"no account {appid}")
        return account

    # -- changing ----------------------------------------------------------------------
    def add_account(self, request: Request, body: Body, rest: list[str]) -> Body:
        account = accounts.account_from(body)
        if account.appid in self.world.accounts:
            raise Refused(409, f"{account.appid} is there already")
        self.world.add(account)
        return looking.summary(self, account)

    def change_account(self, request: Request, body: Body, rest: list[str]) -> Body:
        if not rest:
            raise Refused(404, "PATCH accounts/{appid}")
        account = self.account(rest[0])
        accounts.change(account, body)
        if "followers" in body:
            account.add_people(int(body["followers"]) - len(account.people))
        if body.get("kill_tokens"):
            self.world.tokens.kill_all(account.appid)
        return looking.summary(self, account)

    def drop_account(self, request: Request, body: Body, rest: list[str]) -> Body:
        if not rest:
            raise Refused(404, "DELETE accounts/{appid}")
        self.world.drop(self.account(rest[0]).appid)
        return {}

    def list_faults(self, request: Request, body: Body, rest: list[str]) -> list[Body]:
        return self.world.faults.listing()

    def add_fault(self, request: Request, body: Body, rest: list[str]) -> Body:
        return asdict(self.world.faults.add(body))

    def drop_fault(self, request: Request, body: Body, rest: list[str]) -> Body:
        if not rest:
            self.world.faults.active.clear()
        elif not rest[0].isdigit() or not self.world.faults.remove(int(rest[0])):
            raise Refused(404, "no such fault")
        return {}

    def show_settings(self, request: Request, body: Body, rest: list[str]) -> Body:
        return self.world.settings.listing()

    def change_settings(self, request: Request, body: Body, rest: list[str]) -> Body:
        self.world.settings.change(body)
        self.world.apply_settings()
        return self.world.settings.listing()

    def reset(self, request: Request, body: Body, rest: list[str]) -> Body:
        self.pusher.reset()
        self.platform.administrator.forget()
        self.world.reset(keep_accounts=body.get("keep_accounts") is True)
        return {}

    def people(self, request: Request, body: Body, rest: list[str]) -> list[Body]:
        """People of an account by number, name or part of an openid."""
        account = self.account(request.argument("appid"))
        wanted = request.argument("q").strip()
        limit = min(max(looking.number(request, "limit", 20), 1), 1000)
        everyone = account.people.items()
        if wanted.isdigit():
            number = int(wanted)
            found = (item for item in everyone if item[1] >> 3 == number)
        else:
            found = (item for item in everyone if _is_called(*item, wanted.lower()))
        return [looking.person(*item) for item in itertools.islice(found, limit)]

    async def change_person(self, body: Body, openid: str) -> Body:
        """Follow, unfollow (both push an event), block or blacklist."""
        account = self.account(body.get("appid"))
        if openid not in account.people:
            raise Refused(404, f"no openid {openid}")
        for name, flag in (("blocks", BLOCKS), ("blacklisted", BLACKLISTED)):
            if name in body:
                account.flag(openid, flag, body[name] is True)
        follows = body.get("follows")
        if follows is not None and follows != bool(account.people[openid] & FOLLOWS):
            account.flag(openid, FOLLOWS, follows is True)
            event = {"Event": "subscribe" if follows else "unsubscribe", "EventKey": ""}
            if follows:
                chats = self.world.chats
                chats.open(account, openid, time.time(), FOLLOWED)
            await self._push(account, openid, event)
        return looking.person(openid, account.people[openid])

    async def push(self, body: Body) -> Body:
        """Push any event now: {"appid","openid","fields": {"Event": …}}."""
        account = self.account(body.get("appid"))
        fields = body.get("fields")
        if not isinstance(fields, dict) or "Event" not in fields:
            raise Refused(422, "fields: an object with Event")
        openid = str(body.get("openid") or next(iter(account.people), ""))
        return await self._push(account, openid, fields)

    async def _push(self, account: Account, openid: str, fields: Body) -> Body:
        push = Push(account.appid, openid, at=time.time(), fields=fields)
        answer = await self.pusher.push_now(push)
        if answer is None:
            return {"pushed": False, "status": 0, "answer": "no callback configured"}
        text = answer.error or answer.body[:500].decode(errors="replace")
        return {"pushed": True, "status": answer.status, "answer": text}

    async def text(self, body: Body) -> Body:
        """Let someone write: {"appid","openid","content"}."""
        account = self.account(body.get("appid"))
        openid = str(body.get("openid") or next(iter(account.people), ""))
        return await self.platform.text(account, openid, str(body.get("content") or ""))

    async def set_callback(self, body: Body) -> Body:
        """Save the server configuration as mp.weixin.qq.com does: only if echoed."""
        account = self.account(body.pop("appid", ""))
        callback = accounts.callback_from(body)
        if callback is None:
            account.callback = None
            return {"passed": True, "detail": "removed"}
        timeout_s = self.world.settings.push_timeout_s
        passed, detail = await pushing.verify(callback, self.pusher.poster, timeout_s)
        if passed:
            callback.checked = detail
            account.callback = callback
        return {"passed": passed, "detail": detail}

    def add_template(self, request: Request, body: Body, rest: list[str]) -> Body:
        """From the library (`template_id_short`), or with any `title`, `content`…"""
        account = self.account(body.pop("appid", ""))
        if "template_id_short" in body:
            return self._from_library(account, request, body)
        if len(account.templates) >= accounts.TEMPLATE_LIMIT:
            raise Refused(409, f"{accounts.TEMPLATE_LIMIT} templates already")
        template = accounts.template_from(body)
        account.templates[template.template_id] = template
        return dict(template.listing())

    def _from_library(self, account: Account, request: Request, body: Body) -> Body:
        try:
            call = request._replace(body=dump(body))
            return calls.add_template(self.world, account, call)
        except Refusal as refused:
            detail = ERRMSG[refused.errcode]
            raise Refused(409, f"{refused.errcode} {detail}") from None

    def drop_template(self, request: Request, body: Body, rest: list[str]) -> Body:
        if len(rest) != 2 or rest[1] not in self.account(rest[0]).templates:
            raise Refused(404, "DELETE templates/{appid}/{template_id}")
        request = request._replace(body=dump({"template_id": rest[1]}))
        return calls.remove_template(self.world, self.account(rest[0]), request)


def _is_called(openid: str, state: int, wanted: str) -> bool:
    found = people.person(state >> 3)
    return (
        wanted in openid.lower() or wanted in f"{found.name_zh} {found.name_en}".lower()
    )


def _body(request: Request) -> Body:
    if not request.body:
        return {}
    body = json.loads(request.body)
    if not isinstance(body, dict):
        raise Refused(422, "the body: a JSON object")
    return body


def _same_origin(request: Request) -> None:
    """Keep other sites' pages in a visitor's browser from working the switches."""
    origin = request.header("Origin")
    if origin and urlsplit(origin).netloc != request.header("Host"):
        raise Refused(403, "another site's page")


def _reply(answered: Body | list[Any]) -> Reply:
    return Reply(payload(200, json.dumps(answered, ensure_ascii=False).encode(), JSON))


def _refusal(status: int, detail: str) -> Reply:
    return Reply(payload(status, dump({"detail": detail}), JSON))


CALLS: dict[tuple[str, str], Call] = {
    **looking.CALLS,
    ("POST", "accounts"): Control.add_account,
    ("PATCH", "accounts"): Control.change_account,
    ("DELETE", "accounts"): Control.drop_account,
    ("GET", "faults"): Control.list_faults,
    ("POST", "faults"): Control.add_fault,
    ("DELETE", "faults"): Control.drop_fault,
    ("GET", "settings"): Control.show_settings,
    ("PATCH", "settings"): Control.change_settings,
    ("POST", "settings"): Control.change_settings,
    ("GET", "people"): Control.people,
    ("PATCH", "people"): lambda c, _request, body, rest: c.change_person(
        body, rest[0] if rest else ""
    ),
    ("POST", "push"): lambda c, _request, body, _rest: c.push(body),
    ("POST", "callback"): lambda c, _request, body, _rest: c.set_callback(body),
    ("POST", "templates"): Control.add_template,
    ("DELETE", "templates"): Control.drop_template,
    ("POST", "reset"): Control.reset,
    **subscribing.CALLS,
    **inside.CALLS,
    ("POST", "texts"): lambda c, _request, body, _rest: c.text(body),
    ("GET", "platform"): lambda c, _request, _body, _rest: c.platform.show(),
    ("PATCH", "platform"): lambda c, _request, body, _rest: c.platform.change(body),
    ("POST", "tickets"): lambda c, *_: c.platform.push_ticket(),
    ("POST", "release_test"): lambda c, *_: c.platform.test_release(),
    ("GET", "authorisations"): lambda c, request, _body, _rest: c.platform.offer(
        dict(parse_qsl(request.query))
    ),
    ("POST", "authorisations"): lambda c, _request, body, _rest: c.platform.authorise(
        body
    ),
    ("PATCH", "authorisations"): lambda c, _request, body, rest: c.platform.change_sets(
        rest[0] if rest else "", body
    ),
    ("DELETE", "authorisations"): lambda c, _request, _body, rest: c.platform.take_back(
        rest[0] if rest else ""
    ),
}
