"""What WeChat accepts as the value of a template's field, checked before it is sent.

A refused value costs a failed call per recipient (47003), so every value is looked at
here first. The type of a field is the beginning of its key: `thing12` is a `thing`.
Keys of historical templates (`first`, `keyword1`, free names) have no type; WeChat cuts
their values instead of refusing them.

Source: the parameter tables of template messages and of subscribe-notifications,
https://developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/api.html and
https://developers.weixin.qq.com/doc/service/guide/product/template_message/
Template_Message_Interface.html (read 2026-11). Each kind has its own table; where one
kind's sources disagree the wider limit is taken: better one refusal by WeChat than a
message held back that would have passed.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Literal, NamedTuple

from .errors import gettext_noop as _

Kind = Literal["template", "subscribe"]

HISTORICAL_LIMIT = 20  # characters before WeChat cuts, since May 2023


class Field(NamedTuple):
    """A field of a template: `{{thing1.DATA}}` after "Meeting: "."""

    key: str
    label: str
    type: str


class Problem(NamedTuple):
    """Why a value does not fit. `code` is a key of PROBLEMS; `limit` and `length` are
    in characters as WeChat counts, 0 where they say nothing."""

    code: str
    key: str
    limit: int = 0
    length: int = 0

    @property
    def blocks(self) -> bool:
        """Whether WeChat would refuse the message (else it only shows it shortened)."""
        return self.code not in {"will_be_cut", "not_shown"}


# English, to be translated by whoever shows them, then filled with a Problem's fields.
PROBLEMS: dict[str, str] = {
    "empty": _("%(key)s is empty."),
    "control_characters": _("%(key)s has a line break or another control character."),
    "too_long": _("%(key)s has %(length)d characters; WeChat takes %(limit)d."),
    "not_a_number": _("%(key)s must be a number."),
    "not_letters": _("%(key)s may have letters only."),
    "not_symbols": _("%(key)s may have symbols only."),
    "not_character_string": _("%(key)s may have digits, letters and symbols only."),
    "not_a_time": _("%(key)s must be a time such as 15:01 or 2026-10-01 15:01."),
    "not_a_date": _("%(key)s must be a date such as 2026-10-01."),
    "not_an_amount": _("%(key)s must be an amount such as ¥100.00."),
    "not_a_phone_number": _("%(key)s must be a phone number."),
    "not_a_phrase": _("%(key)s may have Chinese characters only."),
    "not_listed": _("%(key)s must be one of the values that the template lists."),
    "will_be_cut": _("%(key)s has %(length)d characters; WeChat cuts it at %(limit)d."),
    "not_shown": _("WeChat no longer shows %(key)s."),
}

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]+\d*)\.DATA\s*\}\}")
# Longest first, so that short_thing12 is not taken for thing.
TYPES = (
    "character_string",
    "phone_number",
    "enum_string",
    "short_thing",
    "car_number",
    "number",
    "letter",
    "symbol",
    "amount",
    "phrase",
    "thing",
    "const",
    "time",
    "date",
    "name",
    "enum",
)
_TYPED = re.compile(rf"({'|'.join(TYPES)})(\d+)\Z")

# Digits, letters and symbols: everything visible but East Asian ideographs and kana.
_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_IDEOGRAPHS = f"{_HAN}\u3040-\u30ff\u3100-\u312f\uac00-\ud7af\U00020000-\U0003ffff"
_HAS_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_CLOCK = r"(?:[01]?\d|2[0-3])[:：][0-5]\d(?:[:：][0-5]\d)?"
_DAY = (
    r"\d{4}(?:年(?:0?[1-9]|1[0-2])月(?:0?[1-9]|[12]\d|3[01])日"
    r"|[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01]))"
)
_MOMENT = rf"(?:{_DAY}\s*{_CLOCK}|{_CLOCK}|{_DAY})"
# A time may carry a date and a date a time; both may be a range. WeChat's checks of the
# two overlap, so each takes what either would.
_TIME = re.compile(rf"{_MOMENT}(?:\s*[~～]\s*{_MOMENT})?\Z")

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?\Z", re.ASCII)
_LETTERS = re.compile(r"[A-Za-z]+\Z")
_SYMBOLS = re.compile(rf"[^A-Za-z0-9\s{_IDEOGRAPHS}]+\Z")
_AMOUNT = re.compile(
    r"(?P<currency>[¥￥$€£₩฿₽₹₫]|[A-Z]{3})?\s?-?(?P<digits>\d[\d,]*(?:\.\d+)?)元?\Z",
    re.ASCII,
)
_PHONE = re.compile(r"(?=.*\d)[\d+\-()（）* #,/.转]+\Z", re.ASCII)
_PHRASE = re.compile(f"[{_HAN}]+\\Z")


def utf16_length(value: str) -> int:
    """Count as JavaScript does: an emoji counts two. Whether WeChat does so is not
    documented; counting two is the careful reading."""
    return len(value) + sum(character > "\uffff" for character in value)


def field_type(key: str) -> str:
    """Return the type in a key: "thing" of "thing12", "" of a historical key."""
    found = _TYPED.match(key)
    return found[1] if found else ""


def parse_fields(content: str) -> list[Field]:
    """Return the fields of a template's `content`, in its order, each key once.

    The label is the text of the line before the colon, "" when there is none.
    """
    fields: dict[str, Field] = {}
    for line in content.splitlines():
        start = 0
        for found in _PLACEHOLDER.finditer(line):
            key = found[1]
            label = line[start : found.start()].strip().rstrip(":：").strip()
            fields.setdefault(key, Field(key, label, field_type(key)))
            start = found.end()
    return list(fields.values())


def _too_long(value: str, key: str, limit: int) -> Problem | None:
    length = utf16_length(value)
    return Problem("too_long", key, limit, length) if length > limit else None


def _at_most(limit: int) -> Callable[[str, str], Problem | None]:
    return lambda value, key: _too_long(value, key, limit)


def _number(value: str, key: str) -> Problem | None:
    if not _NUMBER.match(value):
        return Problem("not_a_number", key)
    return _too_long(value, key, 32)


def _letter(value: str, key: str) -> Problem | None:
    if not _LETTERS.match(value):
        return Problem("not_letters", key)
    return _too_long(value, key, 32)


def _symbol(value: str, key: str) -> Problem | None:
    if not _SYMBOLS.match(value):
        return Problem("not_symbols", key)
    return _too_long(value, key, 5)


def _character_string(value: str, key: str) -> Problem | None:
    if _HAS_IDEOGRAPH.search(value):
        return Problem("not_character_string", key)
    return _too_long(value, key, 32)


def _time(value: str, key: str) -> Problem | None:
    return None if _TIME.match(value) else Problem("not_a_time", key)


def _date(value: str, key: str) -> Problem | None:
    return None if _TIME.match(value) else Problem("not_a_date", key)


def _amount(limit: int) -> Callable[[str, str], Problem | None]:
    def check(value: str, key: str) -> Problem | None:
        found = _AMOUNT.match(value)
        if not found:
            return Problem("not_an_amount", key)
        digits = sum(character.isdigit() for character in found["digits"])
        return Problem("too_long", key, limit, digits) if digits > limit else None

    return check


def _phone_number(value: str, key: str) -> Problem | None:
    if not _PHONE.match(value):
        return Problem("not_a_phone_number", key)
    return _too_long(value, key, 17)


def _name(value: str, key: str) -> Problem | None:
    # A mixture counts as Chinese.
    return _too_long(value, key, 10 if _HAS_IDEOGRAPH.search(value) else 20)


def _phrase(value: str, key: str) -> Problem | None:
    if not _PHRASE.match(value):
        return Problem("not_a_phrase", key)
    return _too_long(value, key, 5)


_CHECKS: Mapping[str, Callable[[str, str], Problem | None]] = {
    "thing": _at_most(20),
    "short_thing": _at_most(20),  # its own limit is not documented
    "const": _at_most(20),
    "enum": _at_most(20),
    "enum_string": _at_most(20),
    "number": _number,
    "letter": _letter,
    "symbol": _symbol,
    "character_string": _character_string,
    "time": _time,
    "date": _date,
    "amount": _amount(12),
    "phone_number": _phone_number,
    "car_number": _at_most(8),
    "name": _name,
    "phrase": _phrase,
}
# What subscribe-notifications limit otherwise.
_SUBSCRIBE_CHECKS = {**_CHECKS, "amount": _amount(10)}


def check_value(
    key: str, value: str, kind: Kind, listed: Collection[str] = ()
) -> Problem | None:
    """Return the first problem of `value` in the field `key`, None if WeChat takes it.

    `listed` is what WeChat named as the field's only values, empty where it named none.
    A Problem whose `blocks` is false is a warning: a historical template shows the
    message, but shortened or without this field.
    """
    type_ = field_type(key)
    if not value.strip():
        # A historical key without a value leaves an empty line; a typed one is refused.
        return Problem("empty", key) if type_ or kind == "subscribe" else None
    if type_:
        if _CONTROL.search(value):
            return Problem("control_characters", key)
        if listed:
            return None if value in listed else Problem("not_listed", key)
        checks = _SUBSCRIBE_CHECKS if kind == "subscribe" else _CHECKS
        return checks[type_](value, key)
    if kind == "subscribe":
        return Problem("control_characters", key) if _CONTROL.search(value) else None
    if key in {"first", "remark"}:
        return Problem("not_shown", key)
    first_line = value.splitlines()[0]
    length = utf16_length(value)
    if length > HISTORICAL_LIMIT or len(first_line) < len(value):
        limit = min(HISTORICAL_LIMIT, len(first_line))
        return Problem("will_be_cut", key, limit, length)
    return None
