"""The test before nationwide release, as WeChat's automatic accounts play it.

Source: developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/operation/
thirdparty/releases_instructions.html, read 2026-11; case 4 is from older editions.
"""

import asyncio
import random
import time
from typing import Any, NamedTuple

from . import chat
from .accounts import Account
from .outgoing import Answer
from .people import openid
from .platform import AUTOMATIC
from .pushing import Push, Pusher
from .replies import BadReply, passive_text
from .world import Inbox, World

LIMIT_S = 5.0
TEXT = "TESTCOMPONENT_MSG_TYPE_TEXT"
EVENTS = ("LOCATION", "subscribe", "CLICK", "VIEW")
SETS_NEEDED = [1]
POLL_S = 0.05


class Case(NamedTuple):
    """How one case went: `reason` is empty when it passed."""

    case: int
    reason: str
    seconds: float

    def listing(self) -> dict[str, Any]:
        return {"passed": not self.reason, **self._asdict()}


class Failed(Exception):
    """A case is not passed; the sentence says why."""


class ReleaseTest:
    """One run with one of the automatic accounts. Each step has `limit_s` seconds."""

    def __init__(self, world: World, pusher: Pusher, limit_s: float = LIMIT_S) -> None:
        self.world, self.pusher, self.limit_s = world, pusher, limit_s
        appid = random.choice(list(AUTOMATIC))
        self.account = Account(appid, "", AUTOMATIC[appid], AUTOMATIC[appid])
        self.account.add_people(1)
        self.openid = openid(appid, 1)

    async def play(self) -> dict[str, Any]:
        """Play all four cases; return the account and each case's listing."""
        world, appid = self.world, self.account.appid
        world.automatic[appid] = self.account
        world.inboxes[appid] = Inbox()
        try:
            cases = [
                await self._timed(number, step)
                for number, step in enumerate(
                    (self._ticket, self._text, self._code, self._event), start=1
                )
            ]
        finally:
            world.automatic.pop(appid, None)
            world.inboxes.pop(appid, None)
            world.platform.grants.pop(appid, None)
            self.pusher.outboxes.pop(appid, None)
        return {
            "account": {"appid": appid, "original_id": self.account.original_id},
            "passed": all(not case.reason for case in cases),
            "cases": [case.listing() for case in cases],
        }

    async def _timed(self, number: int, step: Any) -> Case:
        start = time.monotonic()
        try:
            await step()
            reason = ""
        except (Failed, BadReply) as failed:
            reason = str(failed)
        return Case(number, reason, round(time.monotonic() - start, 3))

    async def _ticket(self) -> None:
        answer = await self._push(self.pusher.ticket(time.time()))
        if answer.body != b"success":
            text = answer.body[:80].decode(errors="replace")
            raise Failed(f"the ticket was answered with {text!r}, not success")

    async def _text(self) -> None:
        shown = await self._say({"MsgType": "text", "Content": TEXT})
        self._expect(shown, f"{TEXT}_callback")

    async def _code(self) -> None:
        platform, now = self.world.platform, time.time()
        platform.grant(self.account.appid, SETS_NEEDED, now)
        code = platform.new_auth_code(
            self.account.appid, now, self.world.settings.auth_code_life_s
        )
        content = f"QUERY_AUTH_CODE:{code.value}"
        shown = await self._say({"MsgType": "text", "Content": content})
        if shown is not None:
            raise Failed(f"the reply shows {shown!r}; it must be empty")
        wanted = f"{code.value}_from_api"
        until = time.monotonic() + self.limit_s
        while time.monotonic() < until:
            said = self._said()
            if wanted in said:
                return
            await asyncio.sleep(POLL_S)
        if not code.used:
            raise Failed("api_query_auth was not called with the code")
        raise Failed(f"no customer-service message {wanted}; there were: {said or '-'}")

    async def _event(self) -> None:
        event = random.choice(EVENTS)
        fields = {"Event": event}
        if event == "LOCATION":
            fields |= {"Latitude": "23.1", "Longitude": "113.3", "Precision": "40.0"}
        self._expect(await self._say(fields), f"{event}from_callback")

    def _expect(self, shown: str | None, wanted: str) -> None:
        if shown != wanted:
            raise Failed(f"the reply shows {shown!r}, not {wanted!r}")

    def _said(self) -> list[str]:
        said = self.world.chats.of(self.account, self.openid)
        return [s.text for s in said if not s.by_person]

    async def _say(self, fields: dict[str, Any]) -> str | None:
        """Push a message or an event; return what its passive reply shows."""
        now = time.time()
        route = self.pusher.route(self.account)
        if route is None:
            raise Failed("no message URL")
        if fields.get("MsgType") == "text":
            fields = {**fields, "MsgId": self.world.next_msgid()}
            chats = self.world.chats
            chats.open(self.account, self.openid, now, chat.WRITTEN)
        push = Push(self.account.appid, self.openid, at=now, fields=fields)
        answer = await self._push(push)
        return passive_text(route, answer, self.openid, self.account.original_id)

    async def _push(self, push: Push) -> Answer:
        answer = await self.pusher.push_once(push, self.limit_s)
        if answer is None:
            raise Failed("no authorisation event URL")
        if answer.error or answer.status != 200:
            raise Failed(answer.error or f"HTTP {answer.status}")
        return answer
