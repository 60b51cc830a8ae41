"""What people do about subscribe-notifications: on phones, over the control API.

Sources: developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/api.html and
OA_Web_Apps/Wechat_Open_Tag.html, read 2026-11.
"""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import notifying
from .accounts import Account
from .http import Request
from .notices import LONG_TERM
from .people import openid as openid_of
from .pushing import Push
from .subscriptions import ACCEPT, REJECT, Notice, Subscriptions

if TYPE_CHECKING:
    from .control import Control

Body = dict[str, Any]
MAX_AT_ONCE = 5
WEB_PAGE, ARTICLE = 1, 2
# The component's error codes and texts.
ERRORS = {
    10001: "subscribe:fail parameter is empty",
    20001: "subscribe:fail no template data return, verify the template id exist",
    20002: "subscribe:fail Templates type must be same",
    20003: "subscribe:fail Templates count out of max bounds",
    20004: "subscribe:fail The main switch is switched off",
    20005: "subscribe:fail This account was banned",
}


class Unsubscribable(Exception):
    """The component cannot offer these templates."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def told(self) -> Body:
        return {"errCode": self.code, "errMsg": ERRORS[self.code]}


def offer(account: Account, ours: Subscriptions, openid: str, ids: list[str]) -> Body:
    """Return what the dialog shows: `ask` for, `kept` choices, those left out.

    Raises Unsubscribable.
    """
    if not ids or not all(ids):
        raise Unsubscribable(10001)
    if len(ids) > MAX_AT_ONCE:
        raise Unsubscribable(20003)
    if account.refuses or not account.may_notify or account.kind == "test":
        raise Unsubscribable(20005)
    templates = [ours.templates.get(template_id) for template_id in ids]
    if None in templates:
        raise Unsubscribable(20001)
    known = [template for template in templates if template]
    if len({template.type for template in known}) > 1:
        raise Unsubscribable(20002)
    if openid in ours.off:
        raise Unsubscribable(20004)
    ask, kept, left_out = [], {}, []
    titles: set[str] = set()
    for template in known:
        choice = ours.kept.get((openid, template.template_id))
        if template.title in titles:
            left_out.append(template.template_id)
        elif choice:
            kept[template.template_id] = choice
        else:
            ask.append(_asked(template))
        titles.add(template.title)
    return {"ask": ask, "kept": kept, "filter": left_out}


def _asked(template: Notice) -> Body:
    return {
        "template_id": template.template_id,
        "title": template.title,
        "type": template.type,
        "scene": template.scene,
        "example": template.example,
    }


def choose(
    control: "Control",
    account: Account,
    openid: str,
    ids: list[str],
    choices: dict[str, str],
    keep: bool,
    scene: int,
) -> Body:
    """Do what pressing the component's button and answering its dialog do; return the
    status of each template as the page hears it.

    What the dialog asks for and `choices` do not name is a cancel. Raises
    Unsubscribable.
    """
    ours = control.world.subscriptions[account.appid]
    offered = offer(account, ours, openid, ids)
    asked = [entry["template_id"] for entry in offered["ask"]]
    chosen = {t: choices[t] for t in asked if choices.get(t) in (ACCEPT, REJECT)}
    status = {**dict.fromkeys(asked, "cancel"), **chosen, **offered["kept"]}
    status.update(dict.fromkeys(offered["filter"], "filter"))
    made = {**chosen, **offered["kept"]}
    for template_id, choice in made.items():
        ours.choose(openid, template_id, choice)
        if keep and template_id in chosen:
            ours.kept[openid, template_id] = choice
    told = made if control.world.settings.kept_choice_events else chosen
    if told:
        _push(control, account, openid, notifying.popup(told, scene))
    return {"status": status, "dialog": bool(asked), "pushed": bool(told)}


def _push(
    control: "Control", account: Account, openid: str, fields: Body, age_s: int = 0
) -> None:
    if control.pusher.reaches(account):
        push = Push(account.appid, openid, at=time.time() - age_s, fields=fields)
        control.pusher.schedule(push)


# -- the control API -------------------------------------------------------------------
def _person(account: Account, body: Body) -> str:
    openid = body.get("openid")
    if not isinstance(openid, str) or openid not in account.people:
        raise ValueError("openid: of someone this account has")
    return openid


def _templates(ours: Subscriptions, body: Body) -> list[str]:
    ids = body.get("template_ids") or [body.get("template_id")]
    if not isinstance(ids, list) or any(i not in ours.templates for i in ids):
        raise ValueError("template_ids: subscribe templates of this account")
    return [str(template_id) for template_id in ids]


def show(control: "Control", request: Request, body: Body, rest: list[str]) -> Body:
    """An account's categories and private templates."""
    account = control.account(rest[0] if rest else request.argument("appid"))
    return control.world.subscriptions[account.appid].listing()


def change(control: "Control", request: Request, body: Body, rest: list[str]) -> Body:
    account = control.account(rest[0] if rest else "")
    ours = control.world.subscriptions[account.appid]
    ours.change(body)
    return ours.listing()


def acceptances(
    control: "Control", request: Request, body: Body, rest: list[str]
) -> Body:
    """How many messages are still permitted, in all or of one template or person."""
    account = control.account(request.argument("appid"))
    ours = control.world.subscriptions[account.appid]
    wanted, openid = request.argument("template_id"), request.argument("openid")
    if openid:
        return _of_person(ours, openid)
    found = {
        of: count
        for (of, template_id), count in ours.left.items()
        if wanted in ("", template_id)
    }
    answer: Body = {"people": len(found), "left": sum(found.values())}
    if request.argument("counts"):
        answer["counts"] = found
    return answer


def _of_person(ours: Subscriptions, openid: str) -> Body:
    """The notifications page of someone's settings."""
    return {
        "off": openid in ours.off,
        "templates": [
            {
                **_asked(template),
                "left": ours.left.get((openid, template.template_id), 0),
                "kept": ours.kept.get((openid, template.template_id), ""),
            }
            for template in ours.templates.values()
        ],
    }


def accept_many(
    control: "Control", request: Request, body: Body, rest: list[str]
) -> Body:
    """Let many people accept at once: `openids`, or everyone from number `first` to
    `last`; `times` each; `push` false keeps the events to itself."""
    account = control.account(body.get("appid"))
    ours = control.world.subscriptions[account.appid]
    ids, times = _templates(ours, body), int(body.get("times", 1))
    scene = int(body.get("scene", ARTICLE))
    if "openids" in body:
        people: Iterable[str] = map(str, body["openids"])
    else:
        numbers = range(int(body.get("first", 1)), int(body["last"]) + 1)
        people = (openid_of(account.appid, n) for n in numbers)
    known = [openid for openid in people if openid in account.people]
    # One object for all events: they differ in their sender only.
    fields = notifying.popup(dict.fromkeys(ids, ACCEPT), scene)
    for openid in known:
        for template_id in ids:
            ours.choose(openid, template_id, ACCEPT, times)
        if body.get("push", True):
            # Nobody answers two dialogs in one second.
            for age_s in reversed(range(times)):
                _push(control, account, openid, fields, age_s)
    return {"people": len(known)}


def in_settings(
    control: "Control", request: Request, body: Body, rest: list[str]
) -> Body:
    """Turn templates, or with `off` everything, on or off in someone's settings.

    `status` is accept or reject; only a refusal is pushed.
    """
    account = control.account(body.get("appid"))
    ours, openid = control.world.subscriptions[account.appid], _person(account, body)
    if "off" in body:
        (ours.off.add if body["off"] else ours.off.discard)(openid)
        ids = [i for of, i in ours.left if of == openid]
        status = REJECT if body["off"] else ACCEPT
    else:
        ids, status = _templates(ours, body), body.get("status", REJECT)
    if status not in (ACCEPT, REJECT):
        raise ValueError("status: accept or reject")
    for template_id in ids:
        ours.kept.pop((openid, template_id), None)
        if status == REJECT:
            ours.choose(openid, template_id, REJECT)
    settings = control.world.settings
    if status == REJECT and ids and settings.change_events:
        fields = notifying.changed(ids, settings.change_event_wrapper)
        _push(control, account, openid, fields)
    return _of_person(ours, openid)


def popup(control: "Control", request: Request, body: Body, rest: list[str]) -> Body:
    """Press a subscribe button: `template_ids`, `choices` {id: accept or reject},
    `keep`, `scene` 1 web page or 2 article. An error is the component's."""
    account = control.account(body.get("appid"))
    openid = _person(account, body)
    ids = body.get("template_ids") or [body.get("template_id")]
    choices = body.get("choices") or dict.fromkeys(ids, ACCEPT)
    keep, scene = body.get("keep") is True, int(body.get("scene", ARTICLE))
    try:
        if body.get("look"):
            ours = control.world.subscriptions[account.appid]
            return offer(account, ours, openid, ids)
        return choose(control, account, openid, ids, choices, keep, scene)
    except Unsubscribable as refused:
        return refused.told()


def articles(control: "Control", request: Request, body: Body, rest: list[str]) -> Any:
    """The account's articles with a subscribe component: one type each, at most 5."""
    account = control.account(request.argument("appid"))
    templates = control.world.subscriptions[account.appid].templates.values()
    found = []
    for long_term in (False, True):
        fitting = [t for t in templates if (t.type == LONG_TERM) == long_term]
        for start in range(0, len(fitting), MAX_AT_ONCE):
            entries = [_asked(t) for t in fitting[start : start + MAX_AT_ONCE]]
            found.append({"long_term": long_term, "templates": entries})
    return found


CALLS = {
    ("GET", "subscriptions"): show,
    ("PATCH", "subscriptions"): change,
    ("GET", "acceptances"): acceptances,
    ("POST", "acceptances"): accept_many,
    ("PATCH", "acceptances"): in_settings,
    ("POST", "popup"): popup,
    ("GET", "articles"): articles,
}
