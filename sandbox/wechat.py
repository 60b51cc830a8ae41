"""The WeChat side of the server: who calls, what goes wrong, what is answered."""

import asyncio
import json
import random
import time
from typing import Any

from . import calls, component, faults, newtmpl, notifying, sending, webauth
from .accounts import BIZSEND, SEND, Account
from .answers import Refusal, dump, error
from .http import Reply, Request, payload, wechat_json
from .pushing import Push, Pusher
from .tokens import Token
from .world import LogLine, World

_BAD_GATEWAY = payload(
    502,
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad "
    b"Gateway</h1></center><hr><center>nginx</center></body></html>",
    "text/html",
)
calls.CALLS.update(newtmpl.CALLS | webauth.CALLS)
# Calls that no access token of an account opens: they say themselves who calls.
_OWN_CALLS = {**calls.TOKEN_CALLS, **component.CALLS, **webauth.OWN_CALLS}
_METHODS = {path: method for method, path in (*calls.CALLS, *_OWN_CALLS)}
_METHODS[SEND] = _METHODS[BIZSEND] = "POST"
_NOTIFYING = (
    "/cgi-bin/message/template/",
    "/cgi-bin/message/subscribe/",
    "/cgi-bin/template/",
    "/wxaapi/newtmpl/",
)
# A test account (测试号) writes its templates on its own page and has no notices.
_NOT_FOR_TEST = (
    "/wxaapi/newtmpl/",
    "/cgi-bin/message/subscribe/",
    "/cgi-bin/template/api_add_template",
)


class WeChat:
    """Answers api.weixin.qq.com's calls. Checks in this order: method, token, account,
    quota, then the call's own."""

    def __init__(self, world: World, pusher: Pusher) -> None:
        self.world = world
        self.pusher = pusher

    def answer(self, request: Request) -> Reply:
        world = self.world
        path = request.path
        ip = world.settings.caller_ip or request.peer
        appid, fault, after = "", None, None
        errcode, errmsg, body = 0, "", b""
        try:
            if _METHODS.get(path) != request.method:
                wanted = _METHODS.get(path, "")
                raise Refusal({"GET": 43001, "POST": 43002}.get(wanted, 40066))
            own_call = _OWN_CALLS.get((request.method, path))
            if own_call is None:
                value = request.argument("access_token")
                token = world.tokens.find(value, time.time())
                appid = token.appid
            if world.faults.active:
                fault = world.faults.pick(path, appid, request.body)
                if fault and not fault.after:
                    return self._faulty_before(fault, request, appid, ip)
            if own_call is not None:
                appid, answered = own_call(world, request, ip)
                body = dump(answered)
            else:
                account = self._account(token, path, ip)
                if path == SEND:
                    body, after = self._send(account, request)
                elif path == BIZSEND:
                    body, after = self._notify(account, request)
                else:
                    endpoint = calls.CALLS[request.method, path]
                    body = dump(endpoint.call(world, account, request))
        except Refusal as refused:
            errcode = refused.errcode
            refusal = error(errcode, refused.detail)
            errmsg, body = refusal["errmsg"], dump(refusal)
        self._log(request, appid, errcode, errmsg, ip, fault.kind if fault else "")
        low, high = world.settings.reply_delay_ms
        delay_s = random.uniform(low, high) / 1000 if high else 0.0
        if fault:
            return self._faulty_after(fault, body, delay_s, after)
        return Reply(wechat_json(body), delay_s, after=after)

    def _account(self, token: Token, path: str, ip: str) -> Account:
        world = self.world
        account = world.account(token.appid)
        if account is None:
            raise Refusal(61015 if token is world.tokens.component else 40013)
        if token.grant is not None:
            world.platform.check(token.grant, path, ip)
        if account.refuses:
            raise Refusal(account.refuses)
        if not account.may_notify and path.startswith(_NOTIFYING):
            raise Refusal(48001)
        if account.kind == "test" and path.startswith(_NOT_FOR_TEST):
            raise Refusal(48001)
        endpoint = calls.CALLS.get((_METHODS[path], path))
        counted = endpoint is None or endpoint.counted
        if counted and not account.spend(path, time.time()):
            raise Refusal(45009)
        return account

    def _send(
        self, account: Account, request: Request
    ) -> tuple[bytes, "asyncio.Future[None] | None"]:
        accepted = sending.accept(self.world, account, request.body)
        after = None
        if accepted.status:
            push = Push(
                account.appid,
                accepted.openid,
                accepted.msgid,
                accepted.status,
                accepted.at,
            )
            after = self._receipt(account, push)
        return b'{"errcode":0,"errmsg":"ok","msgid":%d}' % accepted.msgid, after

    def _notify(
        self, account: Account, request: Request
    ) -> tuple[bytes, "asyncio.Future[None] | None"]:
        sent, template_id = notifying.accept(self.world, account, request.body)
        push = Push(account.appid, sent.openid, sent.msgid, sent.status, sent.at)
        push.fields = notifying.sent(template_id, sent.msgid, sent.status)
        after = self._receipt(account, push)
        if self.world.settings.bizsend_msgid:
            return b'{"errcode":0,"errmsg":"ok","msgid":%d}' % sent.msgid, after
        return b'{"errcode":0,"errmsg":"ok"}', after

    def _receipt(self, account: Account, push: Push) -> "asyncio.Future[None] | None":
        """Let a receipt follow; what the reply has to wait for, if anything."""
        if not self.pusher.reaches(account):
            return None
        if self.world.settings.receipt_before_reply:
            return asyncio.ensure_future(self._first(push))
        self.pusher.schedule(push)
        return None

    async def _first(self, push: Push) -> None:
        await self.pusher.push_now(push)

    def _faulty_before(
        self, fault: faults.Fault, request: Request, appid: str, ip: str
    ) -> Reply:
        """The call fails and has no effect."""
        kind, errcode = fault.kind, fault.errcode
        if kind == "token_dies":
            self.world.tokens.kill(request.argument("access_token"))
        errcode = {
            "busy": -1,
            "daily_quota": 45009,
            "rate_limit": 45011,
            "token_dies": 40001,
        }.get(kind, errcode)
        refusal = error(errcode, errmsg=fault.errmsg)
        self._log(request, appid, errcode, refusal["errmsg"], ip, kind)
        if kind == "close_before":
            return Reply(b"", close=True)
        if kind == "bad_gateway":
            return Reply(_BAD_GATEWAY)
        return Reply(wechat_json(dump(refusal)))

    def _faulty_after(
        self,
        fault: faults.Fault,
        body: bytes,
        delay_s: float,
        after: "asyncio.Future[None] | None",
    ) -> Reply:
        """The call took effect; only its answer goes wrong."""
        wire = wechat_json(body)
        if fault.kind == "slow":
            return Reply(wire, delay_s + fault.delay_s, after=after)
        if fault.kind == "close":
            return Reply(b"", delay_s, close=True, after=after)
        if fault.kind == "truncated":
            return Reply(wire[: -max(1, len(body) // 2)], delay_s, True, after)
        if fault.kind == "bad_gateway_after":
            return Reply(_BAD_GATEWAY, delay_s, after=after)
        answered: dict[str, Any] = json.loads(body)
        if fault.kind == "busy_after":
            answered = error(-1)
        elif fault.kind == "no_msgid":
            answered.pop("msgid", None)
        elif fault.kind == "errcode_string":
            answered["errcode"] = str(answered.get("errcode", 0))
        return Reply(wechat_json(dump(answered)), delay_s, after=after)

    def _log(
        self,
        request: Request,
        appid: str,
        errcode: int,
        errmsg: str,
        ip: str,
        fault: str,
    ) -> None:
        world = self.world
        # Only known paths: anyone may ask for anything, and the counter never forgets.
        path = request.path if request.path in _METHODS else "(unknown)"
        world.calls[appid, path, errcode] += 1
        world.log.append(
            LogLine(
                time.time(), appid, request.method, path, errcode, errmsg, ip, fault
            )
        )
