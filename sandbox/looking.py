"""What the control API shows: accounts, counts, messages, calls."""

import itertools
import json
import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import accounts, faults, people
from .accounts import Account
from .http import Request
from .library import LIBRARY
from .people import BLACKLISTED, BLOCKS, FOLLOWS
from .world import Shown

if TYPE_CHECKING:
    from .control import Control

Body = dict[str, Any]


def number(request: Request, name: str, default: int) -> int:
    """Return a whole number of the query. Raises ValueError with a sentence."""
    text = request.argument(name)
    if text and not text.lstrip("-").isdigit():
        raise ValueError(f"{name}: a whole number")
    return int(text) if text else default


def person(openid: str, state: int) -> Body:
    """Someone as the page shows them; `state` is the account's number and flags."""
    return {
        "openid": openid,
        "n": state >> 3,
        **people.person(state >> 3)._asdict(),
        "follows": bool(state & FOLLOWS),
        "blocks": bool(state & BLOCKS),
        "blacklisted": bool(state & BLACKLISTED),
    }


def state(control: "Control", request: Request, body: Body, rest: list[str]) -> Body:
    return {
        "accounts": [summary(control, a) for a in control.world.accounts.values()],
        "settings": control.world.settings.listing(),
        "faults": control.world.faults.listing(),
        "fault_kinds": {kind: text for kind, (_a, text) in faults.KINDS.items()},
        "library": {
            short: {"title": title, "keywords": list(keywords)}
            for short, (title, keywords) in LIBRARY.items()
        },
        "seq": control.world.seq,
    }


def summary(control: "Control", account: Account) -> Body:
    """An account with everything its console shows."""
    inbox = control.world.inboxes[account.appid]
    callback = account.callback
    return {
        "appid": account.appid,
        "secret": account.secret,
        "original_id": account.original_id,
        "name": account.name,
        "kind": account.kind,
        "cannot": account.cannot,
        "verified": account.verified,
        "authorised": account.appid in control.world.platform.grants,
        "ip_whitelist": account.ip_whitelist,
        "callback": asdict(callback) if callback else None,
        "refuses": account.refuses,
        "people": len(account.people),
        "followers": account.following,
        "templates": [t.listing() for t in account.templates.values()],
        "used": account.used,
        "limits": {**accounts.DAILY_LIMITS[account.kind], **account.limits},
        "miniprograms": account.miniprograms,
        "accepted": inbox.accepted_count,
        "repeated": inbox.repeated_count,
        "shown": inbox.shown_count,
        "receipts": _receipts(control, account),
        "pushes": list(control.pusher.outbox(account.appid).recent)[-20:],
    }


def _receipts(control: "Control", account: Account) -> Body:
    outbox = control.pusher.outbox(account.appid)
    return {
        "scheduled": outbox.scheduled,
        "waiting": outbox.scheduled - outbox.answered - outbox.given_up,
        "answered": outbox.answered,
        "given_up": outbox.given_up,
        "attempts": outbox.attempts,
    }


def list_accounts(
    control: "Control", request: Request, body: Body, rest: list[str]
) -> Body | list[Any]:
    if rest:
        return summary(control, control.account(rest[0]))
    return [summary(control, a) for a in control.world.accounts.values()]


def stats(control: "Control", request: Request, body: Body, rest: list[str]) -> Body:
    by_path: dict[str, Counter[str]] = {}
    for (_appid, path, errcode), count in control.world.calls.items():
        by_path.setdefault(path, Counter())[str(errcode)] += count
    inboxes = control.world.inboxes.values()
    outboxes = control.pusher.of_accounts()
    return {
        "calls": by_path,
        "accepted": sum(i.accepted_count for i in inboxes),
        "repeated": sum(i.repeated_count for i in inboxes),
        "shown": sum(i.shown_count for i in inboxes),
        "tokens_issued": control.world.tokens.issued,
        "receipts": {
            "scheduled": sum(o.scheduled for o in outboxes),
            "waiting": control.pusher.waiting(),
            "answered": sum(o.answered for o in outboxes),
            "given_up": sum(o.given_up for o in outboxes),
            "attempts": sum(o.attempts for o in outboxes),
        },
        "seconds": round(time.time() - control.world.started_at, 3),
    }


def shown(control: "Control", request: Request, body: Body, rest: list[str]) -> Body:
    """How often each openid was shown a message: the proof of "exactly once"."""
    per_openid: Counter[str] = Counter()
    per_message = 0
    for openid, times in control.world.shown_counts(
        request.argument("appid"),
        request.argument("template_id"),
        request.argument("client_msg_id"),
    ):
        per_openid[openid] += times
        per_message = max(per_message, times)
    only = request.argument("openid")
    if only:
        per_openid = Counter({only: per_openid[only]})
    answer: Body = {
        "total": sum(per_openid.values()),
        "openids": len(per_openid),
        "max_per_openid": max(per_openid.values(), default=0),
        "max_per_message": per_message,
        "more_than_once": [o for o, n in per_openid.items() if n > 1][:1000],
    }
    if request.argument("counts"):
        answer["counts"] = per_openid
    return answer


def messages(control: "Control", request: Request, body: Body, rest: list[str]) -> Body:
    """Messages of one openid, newest last; `before` (a seq) pages backwards."""
    account = control.account(request.argument("appid"))
    openid = request.argument("openid")
    limit = min(max(number(request, "limit", 50), 1), 1000)
    before = number(request, "before", 0)
    inbox = control.world.inboxes[account.appid]
    if openid:
        found = inbox.messages.get(openid, [])
        pairs = [(openid, m) for m in found if not before or m.seq < before]
    else:
        every = ((o, m) for o, ms in inbox.messages.items() for m in ms)
        fitting = [p for p in every if not before or p[1].seq < before]
        pairs = sorted(fitting, key=lambda pair: pair[1].seq)
    page = pairs[-limit:]
    more = len(pairs) > len(page)
    return {
        "messages": [message(control, account, o, m) for o, m in page],
        "before": page[0][1].seq if page and more else None,
    }


def message(control: "Control", account: Account, openid: str, shown: Shown) -> Body:
    """A message as its phone shows it."""
    call = json.loads(shown.body)
    removed = control.world.inboxes[account.appid].removed
    notices = control.world.subscriptions[account.appid].templates
    found = shown.template_id
    template = account.templates.get(found) or notices.get(found) or removed.get(found)
    miniprogram = call.get("miniprogram") or {}
    return {
        "seq": shown.seq,
        "openid": openid,
        "msgid": str(shown.msgid),
        "at": shown.at,
        "template_id": shown.template_id,
        "client_msg_id": shown.client_msg_id,
        "title": template.title if template else "",
        "rows": template.rows(call["data"], account.kind) if template else [],
        "data": call["data"],
        "url": call.get("url") or call.get("page") or "",
        "outside": shown.outside,
        "miniprogram": miniprogram.get("appid") or "",
        "pagepath": miniprogram.get("pagepath") or "",
    }


def call_log(
    control: "Control", request: Request, body: Body, rest: list[str]
) -> list[Body]:
    """The newest calls first."""
    limit = min(max(number(request, "limit", 100), 1), 5000)
    path, appid = request.argument("path"), request.argument("appid")
    fitting = (
        line._asdict()
        for line in reversed(control.world.log)
        if (not path or line.path == path) and (not appid or line.appid == appid)
    )
    return list(itertools.islice(fitting, limit))


def phones(control: "Control", request: Request, body: Body, rest: list[str]) -> Body:
    """The phones page's poll: people asked for, each with the newest messages."""
    account = control.account(request.argument("appid"))
    inbox = control.world.inboxes[account.appid]
    phones = []
    for openid in request.argument("openids").split(",")[:24]:
        state = account.people.get(openid)
        if state is None:
            continue
        found = inbox.messages.get(openid, [])[-12:]
        phones.append(
            {
                **person(openid, state),
                "messages": [message(control, account, openid, m) for m in found],
                "said": [asdict(s) for s in control.world.chats.of(account, openid)],
            }
        )
    return {
        "phones": phones,
        "name": account.name,
        "accepted": inbox.accepted_count,
        "shown": inbox.shown_count,
        "receipts": _receipts(control, account),
        "followers": account.following,
    }


CALLS = {
    ("GET", "state"): state,
    ("GET", "accounts"): list_accounts,
    ("GET", "stats"): stats,
    ("GET", "shown"): shown,
    ("GET", "messages"): messages,
    ("GET", "log"): call_log,
    ("GET", "phones"): phones,
}
