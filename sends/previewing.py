"""One person of a draft's audience, and the card that this person would get."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from django.db import connection
from django.utils.translation import gettext as _

from channels_wechat.wechat.messages import fill
from templates_mgmt import previewing as cards

from . import audience, preflight, problems
from .models import Delivery, Send

Turn = Literal["first", "next", "previous", "this"]
_TURNS: dict[Turn, tuple[str, str]] = {
    "first": (">", "ASC"),
    "next": (">", "ASC"),
    "previous": ("<", "DESC"),
    "this": ("=", "ASC"),
}


def person_at(
    send: Send, turn: Turn = "first", seen: int = 0
) -> audience.Person | None:
    """Return the first person who would get the message (if nobody would, the first
    one), or the one at, after or before the id `seen`; None when there is none."""
    if turn == "first" and (found := _one(send, "reason = '' ORDER BY id", [])):
        return found
    sign, order = _TURNS[turn]
    return _one(send, f"id {sign} %s ORDER BY id {order}", [seen])


def person_named(send: Send, name: str) -> audience.Person | None:
    """Return the first line of the audience with this userid or openID, or None."""
    return _one(send, "(userid = %s OR openid = %s) ORDER BY id", [name, name])


def _one(send: Send, rest: str, parameters: list[Any]) -> audience.Person | None:
    lines = audience.source(send)
    sql = f"""
        SELECT id, row, userid, openid, variables, reason
        FROM ({lines.select}) AS audience WHERE {rest} LIMIT 1
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [*lines.parameters, *parameters])
        found = cursor.fetchone()
    if found is None:
        return None
    id_, row, userid, openid, variables, reason = found
    if isinstance(variables, str):
        variables = json.loads(variables)
    known = {"userid": userid, "openid": openid, **(variables or {})}
    return audience.Person(id_, row, userid, openid, known, reason)


@dataclass(frozen=True)
class Card:
    """A message as the phone would show it; see console/_phone.html."""

    account: str
    title: str
    lines: list[cards.Line]
    link: bool
    link_shown: str
    note: str

    @property
    def has_problem(self) -> bool:
        return any(line.problem for line in self.lines)


def card(send: Send, person: audience.Person | None) -> Card:
    """Return the card of one person; without a person, of the bare texts."""
    template = send.template
    assert template is not None
    variables = person.variables if person else None
    labels = preflight.labels_of(send)
    values: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for field in template.fields:
        key = field["key"]
        text = send.data.get(key, "")
        values[key] = text if variables is None else fill(text, variables)
        if variables is None or not text:
            continue
        problem = template.problem_of(key, values[key])
        if problem is not None and problem.blocks:
            wrong[key] = problems.sentence(problem, labels.get(key, ""))
    link = send.miniprogram_appid or send.url
    shown = send.miniprogram_path if send.miniprogram_appid else send.url
    if variables is not None:
        shown = fill(shown, variables)
    note = ""
    if person and person.reason:
        reason = Delivery.Reason(person.reason).label
        note = _("This person gets nothing: %(reason)s.") % {"reason": reason}
    return Card(
        send.channel.name,
        template.title,
        cards.lines(template.fields, values, wrong),
        bool(link),
        shown,
        note,
    )


def example_card(send: Send) -> Card:
    """Return the template's own example."""
    template = send.template
    assert template is not None
    examples = cards.example_values(template.content, template.example)
    lines = cards.lines(template.fields, examples)
    return Card(send.channel.name, template.title, lines, False, "", "")
