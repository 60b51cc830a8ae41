"""/wxaapi/newtmpl/*: the public library and an account's own subscribe templates.

Source: developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/api.html,
read 2026-11.
"""

from typing import Any

from .accounts import Account
from .answers import OK, Refusal
from .calls import Endpoint, body_of
from .http import Request
from .notices import CATEGORIES, TITLES, Title
from .subscriptions import LIMIT, notice
from .world import World

MAX_PAGE = 30
MAX_SCENE = 15


def categories(world: World, account: Account, request: Request) -> dict[str, Any]:
    known = world.subscriptions[account.appid].categories
    return {**OK, "data": [{"id": n, "name": CATEGORIES[n]} for n in known]}


def _whole(text: str, errcode: int, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise Refusal(errcode)
    return int(text)


def titles(world: World, account: Account, request: Request) -> dict[str, Any]:
    asked = [part.strip() for part in request.argument("ids").split(",")]
    if asked == [""]:
        raise Refusal(200018)
    known = world.subscriptions[account.appid].categories
    if any(not part.isdecimal() or int(part) not in known for part in asked):
        raise Refusal(200019)
    start = _whole(request.argument("start"), 200016, 0, 10**6)
    limit = _whole(request.argument("limit"), 200017, 1, MAX_PAGE)
    wanted = {int(part) for part in asked}
    found = [title for title in TITLES.values() if title.category in wanted]
    page = [
        {
            "tid": title.tid,
            "title": title.title,
            "type": title.type,
            "categoryId": str(title.category),
        }
        for title in found[start : start + limit]
    ]
    return {**OK, "count": len(found), "data": page}


def _title(value: object) -> Title:
    title = TITLES.get(int(value)) if str(value).isdecimal() else None  # type: ignore[call-overload]
    if title is None:
        raise Refusal(200014)
    return title


def keywords(world: World, account: Account, request: Request) -> dict[str, Any]:
    found = _title(request.argument("tid")).keywords.values()
    data = [
        {"kid": k.kid, "name": k.name, "example": k.example, "rule": k.rule}
        for k in found
    ]
    return {**OK, "count": len(data), "data": data}


def add(world: World, account: Account, request: Request) -> dict[str, Any]:
    body = body_of(request)
    ours = world.subscriptions[account.appid]
    title = _title(body.get("tid"))
    if title.category not in ours.categories:
        raise Refusal(200014)
    if title.tid in ours.banned_tids:
        raise Refusal(200013)
    kids = body.get("kidList")
    if (
        not isinstance(kids, list)
        or not 2 <= len(kids) <= 5
        or any(type(kid) is not int or kid not in title.keywords for kid in kids)
        or len(set(kids)) != len(kids)
    ):
        raise Refusal(200020)
    scene = body.get("sceneDesc")
    if not isinstance(scene, str) or not 1 <= len(scene.strip()) <= MAX_SCENE:
        raise Refusal(200021)
    # Whether the order counts is nowhere said; the same choice is refused either way.
    if any(
        t.tid == title.tid and set(t.kids) == set(kids) for t in ours.templates.values()
    ):
        raise Refusal(200022)
    if len(ours.templates) >= LIMIT:
        raise Refusal(200012)
    made = notice(title, kids, scene.strip())
    ours.templates[made.template_id] = made
    return {**OK, "priTmplId": made.template_id}


def private(world: World, account: Account, request: Request) -> dict[str, Any]:
    ours = world.subscriptions[account.appid].templates.values()
    return {**OK, "data": [template.private() for template in ours]}


def remove(world: World, account: Account, request: Request) -> dict[str, Any]:
    template_id = str(body_of(request).get("priTmplId") or "")
    removed = world.subscriptions[account.appid].drop(template_id)
    if removed is None:
        # Its page names no code of its own; the parameter's.
        raise Refusal(200002)
    # Phones go on showing what they received.
    world.inboxes[account.appid].removed[template_id] = removed
    return OK


CALLS: dict[tuple[str, str], Endpoint] = {
    ("GET", "/wxaapi/newtmpl/getcategory"): Endpoint(categories),
    ("GET", "/wxaapi/newtmpl/getpubtemplatetitles"): Endpoint(titles),
    ("GET", "/wxaapi/newtmpl/getpubtemplatekeywords"): Endpoint(keywords),
    ("POST", "/wxaapi/newtmpl/addtemplate"): Endpoint(add),
    ("GET", "/wxaapi/newtmpl/gettemplate"): Endpoint(private),
    ("POST", "/wxaapi/newtmpl/deltemplate"): Endpoint(remove),
}
