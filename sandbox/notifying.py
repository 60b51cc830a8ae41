"""message/subscribe/bizsend, and the events around subscribe-notifications.

Source: developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/api.html,
read 2026-11.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

from . import sending
from .accounts import Account
from .answers import Refusal
from .people import FOLLOWS
from .world import World

# What the sent event says of an outcome: ErrorCode, ErrorStatus.
OUTCOMES = {
    "success": (0, "success"),
    "user_block": (43101, "user refuse to accept the msg"),
    "system_failed": (20001, "system error"),
}
_WRAPPERS = {
    "subscribe_msg_popup_event": "SubscribeMsgPopupEvent",
    "subscribe_msg_change_event": "SubscribeMsgChangeEvent",
    "subscribe_msg_sent_event": "SubscribeMsgSentEvent",
}


def accept(world: World, account: Account, body: bytes) -> tuple[sending.Accepted, str]:
    """Check a notification, spend an acceptance and show it; also its template id.

    `status` of what comes back is the name of the outcome. Raises Refusal.
    """
    try:
        call = json.loads(body.decode(), strict=False)
    except ValueError:
        raise Refusal(47001) from None
    if not isinstance(call, dict):
        raise Refusal(47001)
    openid, template_id = call.get("touser"), call.get("template_id")
    if not isinstance(openid, str) or openid not in account.people:
        raise Refusal(40003)
    ours = world.subscriptions[account.appid]
    template = ours.templates.get(template_id) if isinstance(template_id, str) else None
    if template is None:
        raise Refusal(40037)
    if template.banned:
        raise Refusal(200011)
    page = call.get("page")
    if page and (not isinstance(page, str) or len(page) > sending.MAX_URL):
        raise Refusal(41030)
    sending.check_links(account, call)
    sending.check_data(template, call.get("data"), typed=True)
    if not ours.may_receive(openid, template.template_id):
        raise Refusal(43101)
    ours.spend(openid, template)
    now, msgid = time.time(), world.next_msgid()
    world.inboxes[account.appid].accepted_count += 1
    outcome = sending.outcome(world)
    if outcome == "success":
        # Whoever does not follow finds it under "Service notifications".
        outside = not account.people[openid] & FOLLOWS
        world.show(
            account.appid, openid, msgid, now, template.template_id, "", body, outside
        )
    return sending.Accepted(openid, msgid, outcome, now), template.template_id


def event(name: str, items: Sequence[dict[str, Any]], wrapper: str = "") -> Any:
    """Return an event's fields as they are in XML; `in_json` has the other form."""
    entries = [dict(item) for item in items]
    return {"Event": name, wrapper or _WRAPPERS[name]: {"List": entries}}


def popup(choices: dict[str, str], scene: int) -> Any:
    """{template id: accept or reject} as chosen in one dialog."""
    return event(
        "subscribe_msg_popup_event",
        [
            {
                "TemplateId": template_id,
                "SubscribeStatusString": choice,
                "PopupScene": scene,
            }
            for template_id, choice in choices.items()
        ],
    )


def changed(template_ids: Sequence[str], wrapper: str) -> Any:
    """Templates refused in the settings. WeChat's pages show two wrappers."""
    items = [
        {"TemplateId": template_id, "SubscribeStatusString": "reject"}
        for template_id in template_ids
    ]
    name = "subscribe_msg_change_event"
    return event(
        name, items, _WRAPPERS["subscribe_msg_popup_event"] * (wrapper == "popup")
    )


def sent(template_id: str, msgid: int, outcome: str) -> Any:
    code, status = OUTCOMES[outcome]
    return event(
        "subscribe_msg_sent_event",
        [
            {
                "TemplateId": template_id,
                "MsgID": msgid,
                "ErrorCode": code,
                "ErrorStatus": status,
            }
        ],
    )


def in_json(fields: dict[str, Any]) -> dict[str, Any]:
    """The JSON form of an event: no wrapper, numbers as texts, and a single entry of
    the list is an object."""
    if not str(fields.get("Event", "")).startswith("subscribe_msg_"):
        return fields
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        inner = value.get("List") if isinstance(value, dict) else None
        if isinstance(inner, list):
            entries = [{key: str(part) for key, part in e.items()} for e in inner]
            flat["List"] = entries[0] if len(entries) == 1 else entries
        else:
            flat[name] = str(value)
    return flat
