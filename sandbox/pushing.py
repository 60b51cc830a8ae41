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
from typing import Any
from urllib.parse import urlencode

from channels_wechat.wechat.crypto import sign

from .accounts import Account, Callback
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


def sealed(
    account: Account, callback: Callback, openid: str, fields: dict[str, Any]
) -> tuple[str, bytes, str]:
    """Return (URL with signature, body, content type) in the callback's mode."""
    as_json = callback.format == "json"

    def written(content: dict[str, Any]) -> str:
        return json.dumps(content, ensure_ascii=False) if as_json else to_xml(content)

    timestamp, nonce = str(int(time.time())), str(secrets.randbelow(10**10))
    query = {
        "signature": sign(callback.token, timestamp, nonce),
        "timestamp": timestamp,
        "nonce": nonce,
        "openid": openid,
    }
    text = written(fields)
    if callback.mode != "plain":
        encrypted = callback.crypt(account.appid).encrypt(text)
        query["encrypt_type"] = "aes"
        query["msg_signature"] = sign(callback.token, timestamp, nonce, encrypted)
        shell = {"ToUserName": account.original_id, "Encrypt": encrypted}
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

    def reset(self) -> None:
        """Forget what waits; what is on its way is cut off."""
        for task in self.tasks:
            task.cancel()
        self.later.clear()
        self.outboxes.clear()

    def waiting(self) -> int:
        """Pushes scheduled and not yet answered or given up."""
        return sum(
            o.scheduled - o.answered - o.given_up for o in self.outboxes.values()
        )

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
        if delay_s < TICK_S and self.world.settings.receipts:
            outbox.ready.append(push)
            self._wake(push.appid, outbox)
        else:
            tick = int((time.monotonic() + delay_s) / TICK_S)
            self.later.setdefault(tick, []).append(push)

    async def _tick(self) -> None:
        """Move what is due from the buckets to the outboxes."""
        while True:
            await asyncio.sleep(TICK_S)
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
        account = self.world.accounts.get(push.appid)
        callback = account.callback if account else None
        settings = self.world.settings
        if account is None or callback is None or not callback.enabled:
            outbox.given_up += 1
            return None
        now = time.monotonic()
        push.first_at = push.first_at or now
        if push.request is None:
            fields = push.content(account)
            push.request = sealed(account, callback, push.openid, fields)
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
        fields = push.fields or {}
        outbox.recent.append(
            {
                "at": time.time(),
                "openid": push.openid,
                "event": fields.get("Event", "TEMPLATESENDJOBFINISH"),
                "msgid": str(push.msgid or ""),
                "status": push.status,
                "attempts": push.attempts,
                "http_status": answer.status,
                "answer": answer.error or answer.body[:200].decode(errors="replace"),
            }
        )

    async def push_now(self, push: Push) -> Answer | None:
        """Push at once; None without a callback. A failure is tried again later."""
        account = self.world.accounts[push.appid]
        if account.callback is None or not account.callback.enabled:
            return None
        outbox = self.outbox(push.appid)
        outbox.scheduled += 1
        return await self._attempt(push, outbox)

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
