"""How a template looks on a phone, with the example values or anybody's own."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from channels_wechat.wechat.limits import HISTORICAL_LIMIT

# Since May 2023 WeChat shows neither, in any template.
NOT_SHOWN = frozenset({"first", "remark"})
_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]+\d*)\.DATA\s*\}\}")


@dataclass(frozen=True)
class Line:
    """One line of the card. `problem` says why WeChat would refuse the value."""

    label: str
    value: str
    problem: str = ""


def lines(
    fields: Iterable[Mapping[str, Any]],
    values: Mapping[str, str],
    problems: Mapping[str, str] | None = None,
) -> list[Line]:
    """Return the card's lines as WeChat shows them: values of historical fields are cut
    after 20 characters or at a line break, `first` and `remark` are left out."""
    shown = []
    for field in fields:
        key = field["key"]
        if key in NOT_SHOWN:
            continue
        value = values.get(key, "")
        if not field["type"]:
            value = _cut(value)
        shown.append(Line(field["label"], value, (problems or {}).get(key, "")))
    return shown


def _cut(value: str) -> str:
    first = value.splitlines()[0] if value else ""
    if first == value and len(value) <= HISTORICAL_LIMIT:
        return value
    return first[:HISTORICAL_LIMIT] + "…"


def example_values(content: str, example: str) -> dict[str, str]:
    """Return the example's value of each key; keys whose value cannot be found are
    missing.

    WeChat gives `example` as one text, filled in the same shape as `content`.
    """
    pieces = _PLACEHOLDER.split(content.strip())
    pattern = "".join(
        "(.*?)" if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)
    )
    found = re.fullmatch(pattern, example.strip(), re.DOTALL)
    if found is not None:
        whole: dict[str, str] = {}
        for key, value in zip(pieces[1::2], found.groups(), strict=True):
            whole.setdefault(key, value.strip())
        return {key: value for key, value in whole.items() if value}
    return _values_by_label(content, example)


def _values_by_label(content: str, example: str) -> dict[str, str]:
    """The same, line by line, for an example that does not follow the content."""
    by_label: dict[str, str] = {}
    for line in example.splitlines():
        label, colon, value = line.replace("：", ":").partition(":")
        if colon and value.strip():
            by_label.setdefault(label.strip(), line[len(label) + 1 :].strip())
    values: dict[str, str] = {}
    for line in content.splitlines():
        found = _PLACEHOLDER.search(line)
        if found is None:
            continue
        label = line[: found.start()].strip().rstrip(":：").strip()
        if label in by_label:
            values.setdefault(found[1], by_label[label])
    return values
