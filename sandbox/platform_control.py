"""The control API's part about the third-party platform and texts from phones."""

import time
from typing import Any

from . import authorising, chat
from .accounts import Account
from .authorising import Administrator, Asked
from .chat import Said
from .outgoing import Answer
from .platform import Grant
from .pushing import Push, Pusher
from .release import ReleaseTest
from .replies import BadReply, passive_text
from .world import World

Body = dict[str, Any]


class NotThere(LookupError):
    """No such account, or not authorised; the sentence says which."""


def _answered(answer: Answer | None) -> Body:
    if answer is None:
        return {"pushed": False, "status": 0, "answer": "no address configured"}
    text = answer.error or answer.body[:500].decode(errors="replace")
    return {"pushed": True, "status": answer.status, "answer": text}


def _numbers(value: Any) -> list[int]:
    if not isinstance(value, list) or not all(isinstance(n, int) for n in value):
        raise ValueError("func_ids: a list of numbers")
    return value


class PlatformControl:
    def __init__(self, world: World, pusher: Pusher) -> None:
        self.world, self.pusher = world, pusher
        self.administrator = Administrator(world, pusher)
        self.testing = False

    def _account(self, appid: object) -> Account:
        account = self.world.accounts.get(str(appid or ""))
        if account is None:
            raise NotThere(f"no account {appid}")
        return account

    # -- the Open Platform -------------------------------------------------------------
    def show(self) -> Body:
        platform, pusher = self.world.platform, self.pusher
        issued = list(platform.tickets.values())
        return {
            **platform.listing(),
            "tickets_issued": len(issued),
            "ticket_issued_at": issued[-1] if issued else None,
            "authorisations": [self._grant(g) for g in platform.authorised()],
            "pushes": list(pusher.outbox(platform.appid).recent)[-20:],
        }

    def _grant(self, grant: Grant) -> Body:
        account = self.world.account(grant.appid)
        return {
            "appid": grant.appid,
            "name": account.name if account else grant.appid,
            "kind": account.kind if account else "",
            "verified": bool(account and account.verified),
            "func_ids": grant.func_ids,
            "at": grant.at,
            "refresh_token": grant.refresh_token,
        }

    def change(self, body: Body) -> Body:
        base = body.pop("connect", None)
        if base:
            self.world.platform.connect(str(base))
        self.world.platform.change(body)
        return self.show()

    async def push_ticket(self) -> Body:
        """Push a ticket now, whatever the interval."""
        platform, now = self.world.platform, time.time()
        platform.ticket_due_at = now + self.world.settings.ticket_interval_s
        return _answered(await self.pusher.push_now(self.pusher.ticket(now)))

    async def test_release(self) -> Body:
        if self.testing:
            raise ValueError("a release test is running")
        self.testing = True
        try:
            return await ReleaseTest(self.world, self.pusher).play()
        finally:
            self.testing = False

    # -- accounts' administrators ------------------------------------------------------
    def offer(self, link: dict[str, str]) -> Body:
        """What the authorisation page of a link lets choose."""
        asked = _asked(link)
        platform = self.world.platform
        return {
            "sets": authorising.offered_sets(self.world, asked),
            "accounts": [
                {
                    "appid": account.appid,
                    "name": account.name,
                    "kind": account.kind,
                    "verified": account.verified,
                    "authorised": account.appid in platform.grants,
                    "admitted": platform.admits(account.appid),
                }
                for account in authorising.offered_accounts(self.world, asked)
            ],
        }

    async def authorise(self, body: Body) -> Body:
        """Confirm an authorisation link for `appid`; where the browser goes then."""
        account = self._account(body.get("appid"))
        if not body.get("pre_auth_code") or not body.get("redirect_uri"):
            raise ValueError("pre_auth_code and redirect_uri: of the link")
        sets, twice = body.get("func_ids"), body.get("twice")
        return await self.administrator.authorise(
            account,
            _asked(body),
            None if sets is None else _numbers(sets),
            order=str(body.get("order") or ""),
            twice=twice if isinstance(twice, bool) else None,
        )

    async def change_sets(self, appid: str, body: Body) -> Body:
        self._granted(appid)
        func_ids = _numbers(body.get("func_ids"))
        changed = await self.administrator.change_sets(appid, func_ids)
        return {**self._grant(self._granted(appid)), "changed": changed}

    async def take_back(self, appid: str) -> Body:
        self._granted(appid)
        await self.administrator.take_back(appid)
        return {}

    def _granted(self, appid: str) -> Grant:
        grant = self.world.platform.grants.get(appid)
        if grant is None:
            raise NotThere(f"{appid} has not authorised the platform")
        return grant

    # -- people ------------------------------------------------------------------------
    async def text(self, account: Account, openid: str, content: str) -> Body:
        """Let someone write to an account; `reply` is the text that comes back."""
        if openid not in account.people:
            raise NotThere(f"no openid {openid}")
        if not content:
            raise ValueError("content: not empty")
        world, now = self.world, time.time()
        world.chats.note(account, openid, Said(now, content, by_person=True))
        world.chats.open(account, openid, now, chat.WRITTEN)
        fields = {"MsgType": "text", "Content": content, "MsgId": world.next_msgid()}
        push = Push(account.appid, openid, at=now, fields=fields)
        route = self.pusher.route(account)
        answer = await self.pusher.push_now(push)
        told: Body = {**_answered(answer), "reply": None, "problem": ""}
        if answer is None or route is None:
            return told
        try:
            reply = passive_text(route, answer, openid, account.original_id)
        except BadReply as bad:
            return {**told, "problem": str(bad)}
        if reply is not None:
            said = Said(time.time(), reply, by_person=False)
            world.chats.note(account, openid, said)
        return {**told, "reply": reply}


def _asked(link: Body) -> Asked:
    def text(name: str, default: str = "") -> str:
        return str(link.get(name) or default)

    return Asked(
        pre_auth_code=text("pre_auth_code"),
        redirect_uri=text("redirect_uri"),
        auth_type=text("auth_type", "3"),
        biz_appid=text("biz_appid"),
        category_id_list=text("category_id_list"),
        on_phone=link.get("on_phone") in (True, "1", "true"),
    )
