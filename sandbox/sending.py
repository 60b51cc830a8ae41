"""template/send: WeChat's checks in WeChat's order, then the message appears.

Source: developers.weixin.qq.com/doc/service/api/notify/template/
api_sendtemplatemessage.html, read 2026-11.
"""

import json
import random
import time
from typing import TYPE_CHECKING, Any

from . import values
from .accounts import Account, Template, value_text
from .answers import Refusal
from .people import BLACKLISTED, BLOCKS, FOLLOWS

if TYPE_CHECKING:
    from .world import World

MAX_URL = 2048
STATUSES = {
    "success": "success",
    "user_block": "failed:user block",
    "system_failed": "failed: system failed",
}


# json.loads guesses the encoding of bytes each time; raw control characters pass.
_read = json.JSONDecoder(strict=False).decode


class Accepted:
    """A message WeChat took: what to answer, and what its receipt will say."""

    __slots__ = ("at", "msgid", "openid", "status")

    def __init__(self, openid: str, msgid: int, status: str, at: float) -> None:
        self.openid, self.msgid, self.status, self.at = openid, msgid, status, at


def accept(world: "World", account: Account, body: bytes) -> Accepted:
    """Check a send and show it; `status` is "" for a repeat, which has no receipt.

    Raises Refusal.
    """
    try:
        call = _read(body.decode())
    except ValueError:
        raise Refusal(47001) from None
    if not isinstance(call, dict):
        raise Refusal(47001)
    openid, template_id = call.get("touser"), call.get("template_id")
    state = account.people.get(openid) if isinstance(openid, str) else None
    if state is None or not isinstance(openid, str):
        raise Refusal(40003)
    if not isinstance(template_id, str) or not 1 <= len(template_id) <= 64:
        raise Refusal(40036)
    template = account.templates.get(template_id)
    if template is None:
        raise Refusal(40037)
    if template.banned:
        raise Refusal(43116)
    check_links(account, call)
    now = time.time()
    client_msg_id = call.get("client_msg_id") or ""
    inbox = world.inboxes[account.appid]
    if client_msg_id:
        key = (openid, str(client_msg_id))
        first = inbox.first_msgid(key, now - world.settings.same_message_s)
        if first is not None:
            inbox.repeated_count += 1
            return Accepted(openid, first, "", now)
    if not state & FOLLOWS:
        raise Refusal(43004)
    if state & BLACKLISTED:
        raise Refusal(43019)
    check_data(template, call.get("data"), typed=account.kind != "test")
    msgid = world.next_msgid()
    if client_msg_id:
        inbox.remember(key, msgid, now)
    inbox.accepted_count += 1
    fate = "user_block" if state & BLOCKS else outcome(world)
    if fate == "success":
        world.show(
            account.appid, openid, msgid, now, template_id, str(client_msg_id), body
        )
    return Accepted(openid, msgid, STATUSES[fate], now)


def outcome(world: "World") -> str:
    """Return the fate of a message by the settings' weights."""
    weights = world.settings.receipt_outcomes
    if len(weights) == 1:
        return next(iter(weights))
    return random.choices(list(weights), list(weights.values()))[0]


def check_links(account: Account, call: dict[str, Any]) -> None:
    """Check `url` and `miniprogram`. Raises Refusal 40039, 40165, 40166, 47001."""
    url = call.get("url")
    if url and (not isinstance(url, str) or len(url) > MAX_URL):
        raise Refusal(40039)
    miniprogram = call.get("miniprogram")
    if miniprogram:
        if not isinstance(miniprogram, dict):
            raise Refusal(47001)
        if not miniprogram.get("appid") and not miniprogram.get("pagepath"):
            return
        if miniprogram.get("appid") not in account.miniprograms:
            raise Refusal(40166)
        path = miniprogram.get("pagepath") or miniprogram.get("path") or ""
        if not isinstance(path, str) or len(path) > 1024 or "://" in path:
            raise Refusal(40165)


def check_data(template: Template, data: object, typed: bool) -> None:
    """Check every value by its field's type. Raises Refusal 47001, 47003.

    Not `typed`: a test account's keys are free names, no value of theirs is checked.
    """
    if not isinstance(data, dict):
        raise Refusal(47001)
    if not typed or not template.is_typed:
        return
    for key, check, listed in template.checks:
        part = data.get(key)
        value = part.get("value") if isinstance(part, dict) else part
        if not isinstance(value, str):
            value = value_text(part)
        wrong = values.problem(check, value, listed)
        if wrong:
            raise Refusal(47003, f"data.{key}.value {wrong}")
