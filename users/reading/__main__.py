"""`python -m users.reading KIND PATH`: a table as lines of JSON on standard output.

The first line is `{"columns": [name], "total": bytes}`, then come
`{"done": bytes, "rows": [[cell, …, row number]]}`, where a cell is a text or, for a
problem, `[code, value]`, and the last line is `{"end": rows}`. Wherever the file cannot
be taken the last line is `{"bad": code, "params": {}}`.
"""

import json
import struct
import sys
import traceback
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from xml.parsers import expat

from .cells import Cell, Refused
from .csvfile import CsvTable
from .xlsx import MAX_COLUMNS, MAX_ROW, XlsxTable

# A million rows of a workbook take a third of it.
MEMORY_BYTES = 300 << 20
# Of the processor, not on the clock: a million rows take about ten.
CPU_SECONDS = 300
_LINE_CHARACTERS = 60_000
# What the standard library says of files that are no longer what they were.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    expat.ExpatError,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    UnicodeDecodeError,
    OSError,  # a place in the file that is before its beginning
)

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def limit_ourselves() -> None:
    try:
        import resource
    except ImportError:  # no such thing on Windows, where the byte counts must do
        return
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        _soft, hard = resource.getrlimit(what)
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(what, (limit, limit))


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(f"{_encode(message)}\n")
    sys.stdout.flush()


def header(rows: Iterator[tuple[int, list[Cell]]]) -> list[str]:
    """Return the column names of the first row with content, no blank ones at the end.

    A column without a name inside the table is "".
    """
    for _number, cells in rows:
        if not any(cells):
            continue
        names: list[str] = []
        for at, cell in enumerate(cells):
            if not isinstance(cell, str):
                raise Refused("bad_header", column=at + 1, value=cell.value)
            if cell and cell in names:
                raise Refused("double_column", column=cell[:60])
            names.append(cell)
        while not names[-1]:
            names.pop()
        if len(names) > MAX_COLUMNS:
            raise Refused("too_many_columns", limit=MAX_COLUMNS)
        return names
    raise Refused("empty")


def tell(table: XlsxTable | CsvTable) -> None:
    rows = table.rows()
    columns = header(rows)
    width = len(columns)
    say({"columns": columns, "total": table.bytes_total})
    count = characters = 0
    told: list[list[Cell | int]] = []
    try:
        for number, cells in rows:
            if len(cells) > width:
                del cells[width:]
            if not any(cells):
                continue
            if number > MAX_ROW:
                raise Refused("too_many_rows", limit=MAX_ROW)
            if len(cells) < width:
                cells.extend([""] * (width - len(cells)))
            count += 1
            characters += sum(map(len, cells))
            cells.append(number)  # type: ignore[arg-type]  # spares a list for each row
            told.append(cells)  # type: ignore[arg-type]  # as above
            if characters > _LINE_CHARACTERS:
                _say_rows(table.bytes_done, told)
                characters = 0
    finally:
        # What was good before the file broke is told all the same.
        _say_rows(table.bytes_done, told)
    say({"end": count})


def _say_rows(done: int, told: list[list[Cell | int]]) -> None:
    if told:
        say({"done": done, "rows": told})
        told.clear()


def without_values(
    kind: type[BaseException], _error: BaseException, trace: TracebackType | None
) -> None:
    """Tell where we failed, not on what: messages may quote people's data."""
    sys.stderr.write("".join(traceback.format_tb(trace)) + kind.__name__)


def main() -> None:
    sys.excepthook = without_values
    kind, path = sys.argv[1], Path(sys.argv[2])
    limit_ourselves()
    try:
        tell(XlsxTable(path) if kind == "xlsx" else CsvTable(path))
    except Refused as refused:
        say({"bad": refused.code, "params": refused.params})
    except MemoryError:
        say({"bad": "too_much_memory", "params": {"limit": MEMORY_BYTES >> 20}})
    except DAMAGED:
        say({"bad": "damaged", "params": {}})


if __name__ == "__main__":
    main()
