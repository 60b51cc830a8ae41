"""The public library of subscribe-notifications, read from notices.txt."""

import re
from pathlib import Path
from typing import NamedTuple

ONE_TIME, LONG_TERM = 2, 3


class Keyword(NamedTuple):
    """A field a title offers; `rule` is its type, `listed` what an enum allows."""

    kid: int
    name: str
    rule: str
    example: str
    listed: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.rule}{self.kid}"


class Title(NamedTuple):
    tid: int
    category: int
    type: int
    title: str
    keywords: dict[int, Keyword]


_TITLE = re.compile(r"(\d+) ([23]) ([^:]+): (.+)")
_KEYWORD = re.compile(r"(\d+) (\S+) (\S+) ([^\[]+?)(?: \[(.+)\])?")


def _read() -> tuple[dict[int, str], dict[int, Title]]:
    categories: dict[int, str] = {}
    titles: dict[int, Title] = {}
    for line in Path(__file__).with_name("notices.txt").read_text("utf-8").splitlines():
        if line.startswith("= "):
            number, _space, name = line[2:].partition(" ")
            category = int(number)
            categories[category] = name
        elif found := _TITLE.fullmatch(line):
            tid, of_type, title, keywords = found.groups()
            titles[int(tid)] = Title(
                int(tid), category, int(of_type), title, _keywords(keywords)
            )
    return categories, titles


def _keywords(text: str) -> dict[int, Keyword]:
    keywords = {}
    for part in text.split("; "):
        found = _KEYWORD.fullmatch(part)
        assert found, part
        kid, name, rule, example, listed = found.groups()
        keywords[int(kid)] = Keyword(
            int(kid), name, rule, example, tuple(listed.split("/")) if listed else ()
        )
    return keywords


CATEGORIES, TITLES = _read()
