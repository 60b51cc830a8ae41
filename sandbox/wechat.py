"""The WeChat side of the server: who calls, what goes wrong, what is answered."""

import asyncio
import json
import random
import time
from typing import Any

from . import calls, faults, sending
from .accounts import SEND, Account
from .answers import Refusal, dump, error
from .http import Reply, Request, payload, wechat_json
from .pushing import Push, Pusher
from .world import LogLine, World

_BAD_GATEWAY = payload(
    502,
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad "
    b"Gateway</h1></center><hr><center>nginx</center></body></html>",
    "text/html",
)
_METHODS = {path: method for method, path in (*calls.CALLS, *calls.TOKEN_CALLS)}
_METHODS[SEND] = "POST"


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
            token_call = calls.TOKEN_CALLS.get((request.method, path))
            if token_call is None:
                value = request.argument("access_token")
                appid = world.tokens.appid_of(value, time.time())
            if world.faults.active:
                fault = world.faults.pick(path, appid, request.body)
                if fault and not fault.after:
                    return self._faulty_before(fault, request, appid, ip)
            if token_call is not None:
                appid, answered = token_call(world, request, ip)
                body = dump(answered)
            else:
                account = self._account(appid, path)
                if path == SEND:
                    body, after = self._send(account, request)
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

    def _account(self, appid: str, path: str) -> Account:
        account = self.world.accounts.get(appid)
        if account is None:
            raise Refusal(40013)
        if account.refuses:
            raise Refusal(account.refuses)
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
        if accepted.status and account.callback and account.callback.enabled:
            push = Push(
                account.appid,
                accepted.openid,
                accepted.msgid,
                accepted.status,
                accepted.at,
            )
            if self.world.settings.receipt_before_reply:
                after = asyncio.ensure_future(self._first(push))
            else:
                self.pusher.schedule(push)
        return b'{"errcode":0,"errmsg":"ok","msgid":%d}' % accepted.msgid, after

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
