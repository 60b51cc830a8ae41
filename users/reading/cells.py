"""What one cell says: trimmed text, or a problem that spoils its row."""

import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

# Excel's own limit for the text of a cell.
MAX_CHARACTERS = 32_767

# What str.strip() leaves at the ends: zero-width characters, byte order marks and the
# direction marks that come along when a phone number is copied from a contact card.
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff"
BLANKS = "".join(chr(code) for code in range(0x3001) if chr(code).isspace()) + INVISIBLE

# The texts that spreadsheet programs show for a formula which failed.
ERROR_VALUES = frozenset(
    ("#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!", "#SPILL!")
)


class Refused(Exception):
    """The file cannot be taken; `code` is a key of `users.workbooks.BAD_FILES`."""

    def __init__(self, code: str, **params: str | int) -> None:
        super().__init__(code, params)
        self.code = code
        self.params = params


class CellProblem(NamedTuple):
    """Why a cell has no usable value: a key of `users.workbooks.CELL_PROBLEMS`.

    `value` is what the file shows there, at most 60 characters.
    """

    code: str
    value: str


Cell = str | CellProblem
Row = tuple[int, list[Cell]]


class Run:
    """Rows one below the other without a problem in any cell, by column."""

    def __init__(self, numbers: list[int], columns: list[list[str]]) -> None:
        self.numbers = numbers
        self.columns = columns

    def rows(self) -> Iterator[Row]:
        for number, cells in zip(
            self.numbers, zip(*self.columns, strict=True), strict=True
        ):
            yield number, [*cells]


_PLAIN_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})").fullmatch
_NUMBER = re.compile(
    r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+\."
).fullmatch


def number(text: str) -> Cell:
    """Return the digits of a numeric cell: `1001.0` is `1001`, `1.38E10` 13800000000.

    Excel keeps 15 digits. A longer number has lost its last ones in the file itself.
    """
    if _PLAIN_INTEGER(text):
        return text
    text = text.strip(BLANKS)
    if not text:
        return ""
    if not _NUMBER(text):
        return CellProblem("not_a_number", text[:60])
    value = float(text)
    if not math.isfinite(value):
        return CellProblem("not_a_number", text[:60])
    if abs(value) >= 1e15:
        return CellProblem("rounded_number", text[:60])
    if value == int(value):
        return str(int(value))
    return format(Decimal(repr(value)), "f")


_DATE_1900 = datetime(1899, 12, 30)  # noqa: DTZ001  a date in a sheet has no time zone
_DATE_1904 = datetime(1904, 1, 1)  # noqa: DTZ001  as above
_LAST_SERIAL = 2_958_466  # the first one after 9999-12-31


def moment(text: str, shows: str, *, epoch_1904: bool = False) -> Cell:
    """Return `2026-01-31`, with ` 08:30` or ` 08:30:15` when there is a time of day.

    `shows` is what the number format prints: "date", "time" or "duration" (the last
    two give `08:30` without a day, a duration counts hours past 24).
    """
    if not text:
        return ""
    if not _NUMBER(text):
        return CellProblem("bad_date", text[:60])
    serial = float(text)
    if not 0 <= serial < _LAST_SERIAL:
        return CellProblem("bad_date", text[:60])
    seconds = round(serial * 86_400)
    if shows == "duration" or (shows == "time" and seconds < 86_400):
        return _clock(seconds)
    if epoch_1904:
        when = _DATE_1904 + timedelta(seconds=seconds)
    elif 60 <= serial < 61:
        # Excel believes in this day, which 1900 did not have.
        return CellProblem("bad_date", "1900-02-29")
    else:
        when = _DATE_1900 + timedelta(seconds=seconds, days=serial < 60)
    day = when.strftime("%Y-%m-%d").zfill(10)
    rest = seconds % 86_400
    return f"{day} {_clock(rest)}" if rest else day


def _clock(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    clock = f"{minutes // 60:02}:{minutes % 60:02}"
    return f"{clock}:{second:02}" if second else clock


# Number formats that Excel has built in, by what they print; the ids from 27 on are
# the East Asian ones. Source: ECMA-376 part 1, 18.8.30.
_BUILT_IN = (
    dict.fromkeys([*range(14, 18), *range(27, 32), 36, *range(50, 55), 57, 58], "date")
    | {22: "date", 46: "duration", 55: "time", 56: "time"}
    | dict.fromkeys([*range(18, 22), 32, 33, 34, 35, 45, 47], "time")
)
_NO_CODE = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!\[?[hms]+\])[^\]]*\]', re.IGNORECASE)


def format_shows(format_id: int, code: str | None) -> str:
    """Return what a number format prints: "date", "time", "duration" or "" (none)."""
    if code is None:
        return _BUILT_IN.get(format_id, "")
    bare = _NO_CODE.sub("", code.split(";")[0]).lower()
    if bare.strip() in {"general", "g/通用格式"}:
        return ""
    if "[h" in bare or "[m" in bare or "[s" in bare:
        return "duration"
    if "y" in bare or "d" in bare or "e" in bare.replace("e+", "").replace("e-", ""):
        return "date"
    if "h" in bare or "s" in bare:
        return "time"
    # Months alone: `mmm` is January, but a lone `m` beside digits is somebody's unit.
    return "date" if bare.count("m") >= 2 else ""


_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


def text_of(text: str) -> str:
    """Return a string of the workbook as it is read: escapes undone, ends trimmed."""
    if "_x" in text:
        text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
        # Two escaped halves make one character; a lone half is none at all.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.strip(BLANKS)
