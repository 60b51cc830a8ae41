"""`python -m users.reading KIND PATH`: a table on standard output, see `telling`."""

import struct
import sys
import traceback
import zipfile
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from xml.parsers import expat

from .cells import Cell, Refused, Row, Run
from .csvfile import CsvTable
from .telling import Teller, say
from .xlsx import MAX_COLUMNS, MAX_ROW, XlsxTable

# A million rows of a workbook take a third of it.
MEMORY_BYTES = 300 << 20
# Of the processor, not on the clock: a million rows take about ten.
CPU_SECONDS = 300
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


def header(items: Iterator[Row | Run]) -> tuple[list[str], Iterator[Row | Run]]:
    """Return the column names of the first row with content, and what comes after it.

    A column without a name inside the table is ""; there are none at the end.
    """
    for item in items:
        rows = item.rows() if isinstance(item, Run) else iter((item,))
        for _number, cells in rows:
            if any(cells):
                return _names(cells), chain(rows, items)
    raise Refused("empty")


def _names(cells: list[Cell]) -> list[str]:
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


def tell(table: XlsxTable | CsvTable) -> None:
    columns, items = header(table.rows())
    say({"columns": columns, "total": table.bytes_total})
    teller = Teller(len(columns))
    try:
        for item in items:
            if not isinstance(item, Run) and item[0] > MAX_ROW and any(item[1]):
                raise Refused("too_many_rows", limit=MAX_ROW)
            teller.add(table.bytes_done, item)
    finally:
        # What was good before the file broke is told all the same.
        teller.tell(table.bytes_done)
    say({"end": teller.count})


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
