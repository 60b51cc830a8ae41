"""Receipts and events on their way to an account's callback URL.

Source: developers.weixin.qq.com/doc/offiaccount/Basic_Information/
Access_Overview.html and Message_Management/Template_Message_Interface.html,
read 2026-11.
"""

import asyncio
import json
import random
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlencode

from channels_wechat.wechat.crypto import sign

from .accounts import Account, Callback
from .notifying import in_json
from .outgoing import Answer, Poster
from .world import World

TICK_S = 0.05
RETRY_AFTER_S = 0.2
PATIENT_RETRY_S = 1.0
KEPT_PUSHES = 200


@dataclass(slots=True)
class Push:
    """One event for one account. Receipts are millions: fields are built late."""

    appid: str
    openid: str
    msgid: int = 0
    status: str = ""
    at: float = 0.0
    fields: dict[str, Any] | None = None
    attempts: int = 0
    first_at: float = 0.0
    request: tuple[str, bytes, str] | None = None
    # An event about the platform itself: a ticket, or an authorisation.
    of_platform: bool = False

    def content(self, account: Account) -> dict[str, Any]:
        """The event's fields in WeChat's order."""
        event = self.fields or {
            "Event": "TEMPLATESENDJOBFINISH",
            "MsgID": self.msgid,
            "Status": self.status,
        }
        return {
            "ToUserName": account.original_id,
            "FromUserName": self.openid,
            "CreateTime": int(self.at),
            "MsgType": "event",
            **event,
        }

    @property
    def name(self) -> str:
        fields = self.fields or {"Event": "TEMPLATESENDJOBFINISH"}
        for key in ("InfoType", "Event", "MsgType"):
            if key in fields:
                return str(fields[key])
        return ""


def to_xml(fields: dict[str, Any]) -> str:
    """Numbers bare, texts as CDATA, lists as repeated elements, as WeChat writes it."""

    def element(name: str, value: Any) -> str:
        if isinstance(value, list):
            return "".join(element(name, part) for part in value)
        if isinstance(value, dict):
            return (
                f"<{name}>{''.join(element(*item) for item in value.items())}</{name}>"
            )
        if isinstance(value, int):
            return f"<{name}>{value}</{name}>"
        safe = str(value).replace("]]>", "]]]]><![CDATA[>")
        return f"<{name}><![CDATA[{safe}]]></{name}>\n"

    return f"<xml>{''.join(element(*item) for item in fields.items())}</xml>"


class Route(NamedTuple):
    """Where a push goes and how it is addressed: `shell` stands around `Encrypt`."""

    callback: Callback
    receive_id: str
    shell: dict[str, Any]


def sealed(route: Route, openid: str, fields: dict[str, Any]) -> tuple[str, bytes, str]:
    """Return (URL with signature, body, content type) in the callback's mode."""
    callback = route.callback
    as_json = callback.format == "json"

    def written(content: dict[str, Any]) -> str:
        if as_json:
            return json.dumps(in_json(content), ensure_ascii=False)
        return to_xml(content)

    timestamp, nonce = str(int(time.time())), str(secrets.randbelow(10**10))
    query = {
        "signature": sign(callback.token, timestamp, nonce),
        "timestamp": timestamp,
        "nonce": nonce,
    }
    if openid:
        query["openid"] = openid
    text = written(fields)
    if callback.mode != "plain":
        encrypted = callback.crypt(route.receive_id).encrypt(text)
        query["encrypt_type"] = "aes"
        query["msg_signature"] = sign(callback.token, timestamp, nonce, encrypted)
        shell = {**route.shell, "Encrypt": encrypted}
        text = written({**fields, **shell} if callback.mode == "compatible" else shell)
    url = callback.url + ("&" if "?" in callback.url else "?") + urlencode(query)
    return url, text.encode(), "application/json" if as_json else "text/xml"


@dataclass
class Outbox:
    """What waits for one account, and how the last pushes went."""

    ready: deque[Push] = field(default_factory=deque)
    running: int = 0
    scheduled: int = 0
    answered: int = 0
    given_up: int = 0
    attempts: int = 0
    recent: deque[dict[str, Any]] = field(
        default_factory=lambda: deque(maxlen=KEPT_PUSHES)
    )


class Pusher:
    """Delivers pushes in time: bounded connections per account, repeats, patience."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.poster = Poster()
        self.outboxes: dict[str, Outbox] = {}
        self.later: dict[int, list[Push]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.clock: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.clock = asyncio.get_running_loop().create_task(self._tick())

    def outbox(self, appid: str) -> Outbox:
        return self.outboxes.setdefault(appid, Outbox())

    def route(self, account: Account) -> Route | None:
        """Where an account's messages go; None: nowhere.

        An authorisation takes the account's own server configuration out of use.
        """
        platform = self.world.platform
        shell = {"ToUserName": account.original_id}
        callback = platform.messages_to(account)
        if callback is not None:
            return Route(callback, platform.appid, shell)
        if account.appid in platform.grants or account.callback is None:
            return None
        if not account.callback.enabled:
            return None
        return Route(account.callback, account.appid, shell)

    def reaches(self, account: Account) -> bool:
        return self.route(account) is not None

    def _sealed(self, push: Push) -> tuple[str, bytes, str] | None:
        if push.of_platform:
            platform = self.world.platform
            callback = platform.events_to()
            if callback is None:
                return None
            route = Route(callback, platform.appid, {"AppId": platform.appid})
            return sealed(route, "", push.fields or {})
        account = self.world.account(push.appid)
        way = self.route(account) if account else None
        if account is None or way is None:
            return None
        return sealed(way, push.openid, push.content(account))

    def _push_ticket_when_due(self) -> None:
        platform, settings = self.world.platform, self.world.settings
        now = time.time()
        if not settings.tickets or not platform.event_url:
            return
        if now < platform.ticket_due_at:
            return
        platform.ticket_due_at = now + settings.ticket_interval_s
        self._put(self.ticket(now), 0.0)

    def ticket(self, now: float) -> Push:
        """Return the push of a new ticket."""
        fields = {"ComponentVerifyTicket": self.world.platform.new_ticket(now)}
        return self.platform_push("component_verify_ticket", fields, now)

    def platform_push(self, kind: str, fields: dict[str, Any], now: float) -> Push:
        """Return a push to the authorisation event URL."""
        appid = self.world.platform.appid
        head = {"AppId": appid, "CreateTime": int(now), "InfoType": kind}
        return Push(appid, "", at=now, fields={**head, **fields}, of_platform=True)

    def reset(self) -> None:
        """Forget what waits; what is on its way is cut off."""
        for task in self.tasks:
            task.cancel()
        self.later.clear()
        self.outboxes.clear()

    def waiting(self) -> int:
        """Pushes scheduled and not yet answered or given up."""
        return sum(o.scheduled - o.answered - o.given_up for o in self.of_accounts())

    def of_accounts(self) -> list[Outbox]:
        """The outboxes of accounts, without the platform's own."""
        own = self.world.platform.appid
        return [box for appid, box in self.outboxes.items() if appid != own]

    def schedule(self, push: Push) -> None:
        """Push after the delay drawn from the settings; perhaps twice."""
        settings = self.world.settings
        low, high = settings.receipt_delay_s
        self._put(push, random.uniform(low, high) if high else 0.0)
        if (
            settings.receipt_duplicates
            and random.random() < settings.receipt_duplicates
        ):
            again = Push(push.appid, push.openid, push.msgid, push.status, push.at)
            again.fields = push.fields
            self._put(again, random.uniform(low, high) + random.random())

    def _put(self, push: Push, delay_s: float) -> None:
        outbox = self.outbox(push.appid)
        outbox.scheduled += 1
        self._due(push, outbox, delay_s)

    def _due(self, push: Push, outbox: Outbox, delay_s: float) -> None:
        if delay_s < TICK_S and (self.world.settings.receipts or push.of_platform):
            outbox.ready.append(push)
            self._wake(push.appid, outbox)
        else:
            tick = int((time.monotonic() + delay_s) / TICK_S)
            self.later.setdefault(tick, []).append(push)

    async def _tick(self) -> None:
        """Move what is due from the buckets to the outboxes."""
        while True:
            await asyncio.sleep(TICK_S)
            self._push_ticket_when_due()
            if not self.world.settings.receipts:
                continue
            now = int(time.monotonic() / TICK_S)
            for tick in sorted(t for t in self.later if t <= now):
                due = self.later.pop(tick)
                if self.world.settings.receipt_shuffle:
                    random.shuffle(due)
                for push in due:
                    outbox = self.outbox(push.appid)
                    outbox.ready.append(push)
                    self._wake(push.appid, outbox)

    def _wake(self, appid: str, outbox: Outbox) -> None:
        if outbox.running >= self.world.settings.push_connections:
            return
        outbox.running += 1
        task = asyncio.get_running_loop().create_task(self._work(appid, outbox))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _work(self, appid: str, outbox: Outbox) -> None:
        try:
            while outbox.ready:
                await self._attempt(outbox.ready.popleft(), outbox)
        finally:
            outbox.running -= 1

    async def _attempt(self, push: Push, outbox: Outbox) -> Answer | None:
        settings = self.world.settings
        push.request = push.request or self._sealed(push)
        if push.request is None:
            outbox.given_up += 1
            return None
        now = time.monotonic()
        push.first_at = push.first_at or now
        url, body, content_type = push.request
        push.attempts += 1
        outbox.attempts += 1
        answer = await self.poster.send(
            "POST", url, body, content_type, settings.push_timeout_s
        )
        if answer.status == 200:
            outbox.answered += 1
            self._note(outbox, push, answer)
        elif push.attempts < settings.push_attempts:
            self._due(push, outbox, RETRY_AFTER_S)
        elif now - push.first_at < settings.push_patience_s:
            self._due(push, outbox, PATIENT_RETRY_S)
        else:
            outbox.given_up += 1
            self._note(outbox, push, answer)
        return answer

    def _note(self, outbox: Outbox, push: Push, answer: Answer) -> None:
        outbox.recent.append(
            {
                "at": time.time(),
                "openid": push.openid,
                "event": push.name,
                "msgid": str(push.msgid or ""),
                "status": push.status,
                "attempts": push.attempts,
                "http_status": answer.status,
                "answer": answer.error or answer.body[:200].decode(errors="replace"),
            }
        )

    async def push_now(self, push: Push) -> Answer | None:
        """Push at once; None without a callback. A failure is tried again later."""
        push.request = self._sealed(push)
        if push.request is None:
            return None
        outbox = self.outbox(push.appid)
        outbox.scheduled += 1
        return await self._attempt(push, outbox)

    async def push_once(self, push: Push, timeout_s: float) -> Answer | None:
        """Push once and never again; None without a callback."""
        push.request = self._sealed(push)
        if push.request is None:
            return None
        url, body, content_type = push.request
        push.attempts += 1
        answer = await self.poster.send("POST", url, body, content_type, timeout_s)
        self._note(self.outbox(push.appid), push, answer)
        return answer

    async def stop(self) -> None:
        if self.clock:
            self.clock.cancel()
        for task in list(self.tasks):
            task.cancel()
        self.poster.close()


async def verify(
    callback: Callback, poster: Poster, timeout_s: float
) -> tuple[bool, str]:
    """Do the echostr check of "server configuration"; say whether and how it went."""
    timestamp, nonce = str(int(time.time())), str(secrets.randbelow(10**10))
    echostr = str(secrets.randbelow(10**19))
    query = urlencode(
        {
            "signature": sign(callback.token, timestamp, nonce),
            "echostr": echostr,
            "timestamp": timestamp,
            "nonce": nonce,
        }
    )
    url = callback.url + ("&" if "?" in callback.url else "?") + query
    answer = await poster.send("GET", url, b"", "", timeout_s)
    if answer.error:
        return False, answer.error
    if answer.status != 200:
        return False, f"HTTP {answer.status}"
    if answer.body.decode(errors="replace").strip("\ufeff") != echostr:
        text = answer.body[:80].decode(errors="replace")
        return False, f"expected echostr {echostr}, got: {text}"
    return True, f"echostr {echostr} came back"
