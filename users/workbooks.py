"""Tables in .xlsx and .csv files of strangers, read row by row in a process of its own.

    with open_table(path) as table:
        table.columns  # ["userid", "wechatoa_openid"]
        for row_number, cells in table:
            ...

The reading process (`users.reading`) has limits on memory and time. Whatever a file
does to it, the caller sees a `BadFile` with a sentence for the operator.
"""

import json
import logging
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from django.utils.translation import gettext_lazy as _

from .reading.cells import Cell as Cell
from .reading.cells import CellProblem as CellProblem

logger = logging.getLogger(__name__)

MAX_FILE_BYTES = 100 << 20
# With no word from the reading process for so long, it is stopped.
SILENCE_SECONDS = 60.0

Kind = Literal["xlsx", "csv"]

BAD_FILES = {
    "empty": _("The file is empty. The first row must name the columns."),
    "too_large": _(
        "The file is larger than %(limit)s MB. Split it into several files."
    ),
    "unknown_ending": _(
        "Only .xlsx and .csv files can be read. Save the table as one of them."
    ),
    "old_excel": _(
        "This is a workbook of Excel 97-2003 (.xls). Open it in Excel, save it as "
        ".xlsx and upload that."
    ),
    "binary_workbook": _(
        "This is a binary workbook (.xlsb). Open it in Excel, save it as .xlsx and "
        "upload that."
    ),
    "macro_workbook": _(
        "Workbooks with macros (.xlsm) are not accepted. Save it as .xlsx and upload "
        "that."
    ),
    "encrypted": _(
        "The workbook is protected by a password. Save a copy without one and upload "
        "that."
    ),
    "not_a_workbook": _(
        "The name says .xlsx, but the content is no Excel workbook. A file that was "
        "only renamed must be opened and saved as .xlsx."
    ),
    "renamed_workbook": _(
        "The name says .csv, but the content is an Excel workbook. Rename it to .xlsx."
    ),
    "not_text": _("The name says .csv, but the content is no text."),
    "unknown_encoding": _(
        "The text is neither UTF-8 nor GBK; the first unreadable character is in line "
        "%(row)s. Save the file as “CSV UTF-8”."
    ),
    "open_quote": _(
        "A quotation mark that opens in row %(row)s is never closed, or a cell there "
        "has more than 32,767 characters."
    ),
    "damaged": _(
        "The workbook is damaged and cannot be read to its end. Open it in Excel, save "
        "it again and upload that."
    ),
    "no_sheet": _("The workbook has no visible worksheet."),
    "dtd": _(
        "The workbook contains a document type declaration, which no spreadsheet "
        "program writes. It is refused."
    ),
    "too_big_inside": _(
        "Unpacked, the workbook is larger than %(limit)s MB, far more than a list of "
        "people needs. It is refused."
    ),
    "too_much_memory": _(
        "Reading the workbook takes more than %(limit)s MB of memory. Split it into "
        "several files, or save it as .csv."
    ),
    "too_slow": _("Reading the file takes too long. Split it into several files."),
    "too_many_rows": _("The table has more than %(limit)s rows."),
    "too_many_columns": _("The table has more than %(limit)s columns."),
    "bad_header": _(
        "The name of column %(column)s is not a text (%(value)s). The first row must "
        "name the columns."
    ),
    "double_column": _("Two columns are called “%(column)s”."),
    "unreadable": _(
        "The file cannot be read. Open it in Excel, save it as .xlsx and upload that."
    ),
}

CELL_PROBLEMS = {
    "rounded_number": _(
        "%(column)s: %(value)s is a number of more than 15 digits; Excel has rounded "
        "it and the last digits are lost. Format the column as text and type it again."
    ),
    "error_value": _("%(column)s: the formula gives the error %(value)s."),
    "no_kept_value": _(
        "%(column)s: the formula has no stored result. Open the file in Excel and save "
        "it once."
    ),
    "not_a_number": _("%(column)s: “%(value)s” is no number."),
    "bad_date": _("%(column)s: %(value)s is no date."),
    "too_long": _("%(column)s: more than 32,767 characters, beginning “%(value)s”."),
    "far_cell": _(
        "The only cell of this row, %(value)s, is far outside the table. Delete it."
    ),
}


class BadFile(Exception):
    """The file as a whole cannot be taken.

    `code` is a stable word, `params` fill the sentence. `texts` may be another table of
    sentences, for callers with reasons of their own.
    """

    def __init__(
        self,
        code: str,
        params: Mapping[str, str | int] | None = None,
        texts: Mapping[str, Any] = BAD_FILES,
    ) -> None:
        super().__init__(code, params)
        self.code = code
        self.params = dict(params or {})
        self._texts = texts

    @property
    def sentence(self) -> str:
        """The reason in the language that is active now."""
        return str(self._texts[self.code]) % self.params

    def __str__(self) -> str:
        return self.sentence


def describe(problem: CellProblem, column: str) -> str:
    """Return why a cell is unusable, in the language that is active now."""
    text = CELL_PROBLEMS[problem.code]
    return str(text) % {"column": column, "value": problem.value}


def check_kind(path: Path, name: str) -> Kind:
    """Return what kind of table the file is, by its name and its first bytes.

    `name` is what its owner called it. Nothing is unpacked. Raises BadFile when it is
    no table at all.
    """
    ending = Path(name).suffix.lower()
    size = path.stat().st_size
    if not size:
        raise BadFile("empty")
    if size > MAX_FILE_BYTES:
        raise BadFile("too_large", {"limit": MAX_FILE_BYTES >> 20})
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise BadFile("encrypted" if _is_encrypted(path) else "old_excel")
    is_zip = start.startswith((b"PK\x03\x04", b"PK\x05\x06"))
    match ending:
        case ".xlsx":
            if not is_zip:
                raise BadFile("not_a_workbook")
            return "xlsx"
        case ".csv":
            if is_zip:
                raise BadFile("renamed_workbook")
            # UTF-16 has a mark in front; otherwise a NUL is in no text.
            if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise BadFile("not_text")
            if start.startswith((b"%PDF", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf")):
                raise BadFile("not_text")
            return "csv"
        case ".xls":
            raise BadFile("old_excel")
        case ".xlsm" | ".xltm":
            raise BadFile("macro_workbook")
        case ".xlsb":
            raise BadFile("binary_workbook")
    raise BadFile("unknown_ending")


def _is_encrypted(path: Path) -> bool:
    """An encrypted workbook is wrapped into the container that .xls files used."""
    wanted = "EncryptedPackage".encode("utf-16-le")
    with path.open("rb") as file:
        kept = b""
        while block := file.read(1 << 20):
            if wanted in kept + block:
                return True
            kept = block[-len(wanted) :]
    return False


def open_table(path: Path, name: str = "") -> "Table":
    """Return the table in a file, its columns known, its rows still to be read.

    `name` is what the file's owner called it, when `path` says something else.
    Use it in a `with`, which ends the reading process. Raises BadFile.
    """
    return Table(path, check_kind(path, name or path.name))


class Columns(NamedTuple):
    """Rows that came together, without a problem in any cell, by column."""

    numbers: Sequence[int]
    columns: list[list[str]]

    def rows(self) -> "Iterator[Row]":
        for number, *cells in zip(self.numbers, *self.columns, strict=True):
            yield number, cells


Row = tuple[int, list[Cell]]


class Table:
    """Rows of a file. Iterating raises BadFile where the file cannot be read on."""

    columns: list[str]
    """Names from the first row with content; "" for a column without a name."""
    bytes_total: int
    bytes_done: int
    """Progress; these are bytes as read, not rows, and no exact sizes."""

    def __init__(self, path: Path, kind: Kind) -> None:
        keep = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")
        # -S: no site-packages, the process starts in half the time. Its environment
        # holds none of our secrets.
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-m", "users.reading", kind, str(path.absolute())],
            cwd=Path(__file__).resolve().parent.parent,
            env={name: os.environ[name] for name in keep if name in os.environ}
            | {"PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._buffer = bytearray()
        self.bytes_done = 0
        try:
            first = self._next()
            self.columns = first["columns"]
            self.bytes_total = first["total"]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the reading process, at whatever point it is."""
        process = self._process
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()

    def __iter__(self) -> Iterator[Row]:
        """Yield (row number as Excel shows it, one cell per column); no blank rows."""
        for some in self.some():
            yield from some.rows() if isinstance(some, Columns) else some

    def some(self) -> Iterator[Columns | list[Row]]:
        """Yield the same rows, as many at a time as came together."""
        while True:
            message = self._next()
            if "end" in message:
                self.bytes_done = self.bytes_total
                return
            # The zip directory may have told a lie about the total.
            self.bytes_done = min(message["done"], self.bytes_total)
            if "rows" in message:
                yield [_row(cells) for cells in message["rows"]]
            else:
                yield self._columns(message["numbers"], message["bytes"])

    def _columns(self, numbers: list[int], length: int) -> Columns:
        while len(self._buffer) < length:
            self._read()
        cells = self._buffer[:length].decode().split("\0")
        del self._buffer[:length]
        # [first] or all of them.
        rows = len(cells) // len(self.columns)
        return Columns(
            numbers if len(numbers) == rows else range(numbers[0], numbers[0] + rows),
            [cells[start : start + rows] for start in range(0, len(cells), rows)],
        )

    def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._line())
        if "bad" in message:
            raise BadFile(message["bad"], message["params"])
        return message

    def _line(self) -> bytes:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            self._read()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _read(self) -> None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        if not waiting.poll(SILENCE_SECONDS * 1000):
            raise BadFile("too_slow")
        block = os.read(descriptor, 1 << 18)
        if not block:
            raise self._death()
        self._buffer += block

    def _death(self) -> BadFile:
        """Return what a process that ended without a last word died of."""
        assert self._process.stderr is not None
        words = self._process.stderr.read().decode("utf-8", "replace")
        code = self._process.wait()
        # SIGXCPU or, at the hard limit, SIGKILL: its time on the processor is over.
        if code in {-24, -9}:
            return BadFile("too_slow")
        if "MemoryError" in words:
            return BadFile("too_much_memory", {"limit": 300})
        logger.error("reading process died exit=%s %s", code, words[-2000:])
        return BadFile("unreadable")


def _row(cells: list[Any]) -> Row:
    """Return a row that was told cell by cell, its number behind them."""
    number = cells.pop()
    return number, [
        CellProblem(*cell) if type(cell) is list else cell for cell in cells
    ]
