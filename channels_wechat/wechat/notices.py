"""What WeChat pushes of subscribe-notifications: what people chose, what arrived.

In XML the items of a push are in a wrapper, and WeChat's own page shows one event in
the wrapper of another; in JSON there is none, and a single item is no list. So every
object with a TemplateId is an item, wherever it is.

Source: https://developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/api.html
(read 2026-11).
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .callbacks import MAX_KEY, MAX_NAME, MAX_REASON, Push, field_of

SENT = "subscribe_msg_sent_event"
CHOICES = frozenset({"subscribe_msg_popup_event", "subscribe_msg_change_event"})


class Item(NamedTuple):
    """What a push says of one template.

    `outcome` is "accept" or "reject" (WeChat's word, in lower case) of a popup and a
    change of settings; "success" or "failed:…" of a message, whose id is `msgid` (0
    when it gave none). `key` is the same for a repeat of the same push.
    """

    template_id: str
    outcome: str
    msgid: int
    key: str


def items_of(push: Push) -> list[Item]:
    """Return what `push` says of subscribe-notifications, an item per template; [] when
    it is something else."""
    if push.event != SENT and push.event not in CHOICES:
        return []
    items = []
    for fields in _objects(push.fields):
        template_id = field_of(fields, "templateid")
        if not template_id or len(template_id) > MAX_NAME:
            continue
        msgid = _number(field_of(fields, "msgid"))
        if push.event == SENT:
            outcome = _sent_outcome(fields)
        else:
            outcome = field_of(fields, "subscribestatusstring").strip().lower()
        key = _key(f"{push.key} {template_id} {msgid or outcome}")
        items.append(Item(template_id, outcome[:MAX_REASON], msgid, key))
    return items


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object with a TemplateId, at any depth."""
    if isinstance(value, dict):
        if "TemplateId" in value:
            yield value
        else:
            for inner in value.values():
                yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _sent_outcome(fields: Mapping[str, Any]) -> str:
    code = field_of(fields, "errorcode").strip()
    status = " ".join(field_of(fields, "errorstatus").lower().split())
    if code == "0" or (not code and status == "success"):
        return "success"
    return f"failed:{status or code}"


def _number(text: str) -> int:
    """Return a number that fits into 63 bits, 0 for anything else."""
    number = int(text) if re.fullmatch(r"[0-9]{1,19}", text) else 0
    return number if number < 1 << 63 else 0


def _key(text: str) -> str:
    if len(text) > MAX_KEY:
        return "sha256 " + hashlib.sha256(text.encode()).hexdigest()
    return text
