"""Subscribe-notifications of one account: its templates, and who accepts how many.

Source: developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/intro.html,
read 2026-11.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from . import values
from .accounts import Template, new_template_id
from .notices import CATEGORIES, LONG_TERM, ONE_TIME, TITLES, Title

LIMIT = 50
# Categories (类目) of an account that names none; others' are 200019.
USUAL_CATEGORIES = (307, 412, 519, 616)
ACCEPT, REJECT = "accept", "reject"


def _amount(value: str) -> bool:
    # Two digits fewer than in template messages.
    return values.CHECKS["amount"](value) and sum(map(str.isdigit, value)) <= 10


@dataclass
class Notice(Template):
    """A private template of subscribe-notifications; `type` is 2 once or 3 long-term.

    `tid`, `kids` and `scene` are what it was added with; WeChat never tells them again.
    """

    type: int = ONE_TIME
    tid: int = 0
    kids: tuple[int, ...] = ()
    scene: str = ""

    @cached_property
    def checks(self) -> tuple[tuple[str, values.Check, tuple[str, ...]], ...]:
        return tuple(
            (key, _amount if values.value_type(key) == "amount" else check, listed)
            for key, check, listed in super().checks
        )

    def private(self) -> dict[str, Any]:
        """An entry of `gettemplate`."""
        entry = {
            "priTmplId": self.template_id,
            "title": self.title,
            "content": self.content,
            "example": self.example,
            "type": self.type,
        }
        if self.listed:
            entry["keywordEnumValueList"] = [
                {"enumValueList": listed, "keywordCode": f"{key}.DATA"}
                for key, listed in self.listed.items()
            ]
        return entry


def notice(
    title: Title, kids: Iterable[int], scene: str, template_id: str = ""
) -> Notice:
    """Return a private template of these keywords, in this order."""
    chosen = [title.keywords[kid] for kid in kids]
    return Notice(
        template_id or new_template_id(),
        title.title,
        "".join(f"{k.name}:{{{{{k.key}.DATA}}}}\n" for k in chosen),
        "".join(f"{k.name}:{k.example}\n" for k in chosen),
        listed={k.key: list(k.listed) for k in chosen if k.listed},
        type=title.type,
        tid=title.tid,
        kids=tuple(k.kid for k in chosen),
        scene=scene,
    )


@dataclass
class Subscriptions:
    """What the people of an account agreed to receive.

    `left` counts the messages that (openid, template id) still permits; of a long-term
    template any count means "as many as you like".
    """

    templates: dict[str, Notice] = field(default_factory=dict)
    categories: list[int] = field(default_factory=lambda: [*USUAL_CATEGORIES])
    banned_tids: list[int] = field(default_factory=list)
    left: dict[tuple[str, str], int] = field(default_factory=dict)
    # "Always keep this choice": from then on it is made without a dialog.
    kept: dict[tuple[str, str], str] = field(default_factory=dict)
    # Who has turned off all notifications of the account.
    off: set[str] = field(default_factory=set)

    def choose(
        self, openid: str, template_id: str, choice: str, times: int = 1
    ) -> None:
        """Note a choice: accepting adds a message, refusing takes all of them."""
        key = (openid, template_id)
        if choice == ACCEPT:
            self.left[key] = self.left.get(key, 0) + times
        else:
            self.left.pop(key, None)

    def may_receive(self, openid: str, template_id: str) -> bool:
        return openid not in self.off and (openid, template_id) in self.left

    def spend(self, openid: str, template: Notice) -> None:
        """Take one acceptance; a long-term one stays."""
        if template.type == LONG_TERM:
            return
        key = (openid, template.template_id)
        self.left[key] -= 1
        if not self.left[key]:
            del self.left[key]

    def drop(self, template_id: str) -> Notice | None:
        """Remove a template and whatever was accepted of it; None if there is none."""
        dropped = self.templates.pop(template_id, None)
        if dropped:
            for known in (self.left, self.kept):
                for key in [key for key in known if key[1] == template_id]:
                    del known[key]
        return dropped

    def change(self, body: dict[str, Any]) -> None:
        """Apply what a control call names. Raises ValueError with a sentence."""
        if "categories" in body:
            wanted = [int(number) for number in body["categories"]]
            if not set(wanted) <= set(CATEGORIES):
                raise ValueError(f"categories: of {', '.join(map(str, CATEGORIES))}")
            self.categories = wanted
        if "banned_tids" in body:
            self.banned_tids = [int(tid) for tid in body["banned_tids"]]
        if "notices" in body:
            made = [notice_from(given) for given in body["notices"]]
            self.templates = {t.template_id: t for t in made}

    def listing(self) -> dict[str, Any]:
        """What the control API and the pages show of it."""
        return {
            "categories": self.categories,
            "category_names": {n: CATEGORIES[n] for n in self.categories},
            "banned_tids": self.banned_tids,
            "notices": [
                {
                    **entry.private(),
                    "tid": entry.tid,
                    "kids": list(entry.kids),
                    "scene": entry.scene,
                }
                for entry in self.templates.values()
            ],
        }


def notice_from(body: Any) -> Notice:
    """Return a private template by `tid` and `kids`, or with any `title`, `content`,
    `type`. Raises ValueError with a sentence."""
    if not isinstance(body, dict):
        raise ValueError("notices: objects")
    if "tid" not in body:
        try:
            made = Notice(**{"template_id": new_template_id(), **body})
        except TypeError as refused:
            raise ValueError(f"notice: {refused}") from None
        if made.type not in (ONE_TIME, LONG_TERM):
            raise ValueError("notice.type: 2 or 3")
        return made
    title = TITLES.get(int(body["tid"]))
    kids = [int(kid) for kid in body.get("kids") or ()]
    if title is None or not kids or not set(kids) <= set(title.keywords):
        raise ValueError("notice: no such tid, or kids it does not have")
    scene = str(body.get("scene") or "")
    return notice(title, kids, scene, str(body.get("template_id") or ""))


def usual() -> Subscriptions:
    """Return what the bundled account starts with: two one-time templates, one
    long-term."""
    made = (
        (
            1001,
            (1, 2, 3, 4),
            "订单发货后提醒",
            "nSBshipped0001dR8wLq5Tz2Mh9Kx6Vc3Bf7Np1Js4Y",
        ),
        (
            2001,
            (2, 3, 4, 5),
            "物业账单提醒",
            "nSBpayment0002yW4kGt7Xb1Qn8Zc5Rd3Hm6Lv9Fs2P",
        ),
        (
            3001,
            (1, 2, 3, 4),
            "停水前通知",
            "nSBoutage00003jC6vPn9Ds2Kf8Wq4Tb7Xg1Ym5Lz3R",
        ),
    )
    templates = [
        notice(TITLES[tid], kids, scene, template_id)
        for tid, kids, scene, template_id in made
    ]
    return Subscriptions({t.template_id: t for t in templates})
