"""What WeChat lets into a typed field of a category template.

Source: developers.weixin.qq.com/doc/service/guide/product/template_message/
Template_Message_Interface.html, read 2026-11. Written apart from the product's own
checks on purpose: the two must agree, and a test says so.
"""

import re
from collections.abc import Callable

Check = Callable[[str], bool]
_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_CLOCK = r"(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d)?"
_DAY = r"\d{4}(?:年\d{1,2}月\d{1,2}日|-\d{1,2}-\d{1,2}|/\d{1,2}/\d{1,2}|年\d{1,2}月)"
_TIME = rf"(?:{_DAY}\s?)?{_CLOCK}"
_DATE = rf"{_DAY}(?:\s?{_CLOCK})?"


def _units(text: str) -> int:
    # Whether an emoji counts once or twice is nowhere said; twice is the safe reading.
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _up_to(limit: int) -> Callable[[str], bool]:
    return lambda value: _units(value) <= limit


def _shape(pattern: str) -> Callable[[str], bool]:
    match = re.compile(pattern).fullmatch
    return lambda value: match(value) is not None


def _amount(value: str) -> bool:
    return bool(_AMOUNT(value)) and sum(map(str.isdigit, value)) <= 12


def _name(value: str) -> bool:
    if re.search(f"[{_HAN}]", value):
        return len(value) <= 10
    return len(value) <= 20


_AMOUNT = re.compile(r"[¥￥$€£₩]?\d+(?:\.\d+)?元?").fullmatch
CHECKS: dict[str, Check] = {
    "thing": _up_to(20),
    "short_thing": _up_to(20),
    "const": _up_to(20),
    "enum": _up_to(20),
    "enum_string": _up_to(20),
    "number": _shape(r"[-+]?\d{1,32}(?:\.\d{1,32})?"),
    "letter": _shape(r"[A-Za-z]{1,32}"),
    "symbol": _shape(r"[^\w\s]{1,5}"),
    "character_string": _shape(r"[\x20-\x7e]{1,32}"),
    "time": _shape(rf"{_TIME}(?:\s?~\s?{_TIME})?"),
    "date": _shape(rf"{_DATE}(?:\s?~\s?{_DATE})?"),
    "amount": _amount,
    "phone_number": _shape(r"[0-9+\-()# ]{1,17}"),
    "car_number": _shape(rf"(?=.{{1,8}}$)[{_HAN}]?[A-Z0-9·-]{{1,8}}[{_HAN}]?"),
    "name": _name,
    "phrase": _shape(f"[{_HAN}]{{1,5}}"),
}
_KEY = re.compile(r"([a-z]+(?:_[a-z]+)*)\d+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search


def value_type(key: str) -> str:
    """Return the type a key names ("thing4" -> "thing"), "" for historical keys."""
    match = _KEY.fullmatch(key)
    return match[1] if match and match[1] in CHECKS else ""


def problem(check: Check, value: str, listed: tuple[str, ...] = ()) -> str:
    """Return "", or what WeChat's 47003 says of the value (its own misspelling)."""
    if not value or value.isspace():
        return "is emtpy"
    if _CONTROL(value) or not check(value) or (listed and value not in listed):
        return "invalid"
    return ""


def cut(value: str) -> str:
    """Return what a historical template shows of a value: one line, 20 characters."""
    line = value.split("\n", 1)[0].split("\r", 1)[0]
    return line if len(line) <= 20 else line[:20] + "…"
