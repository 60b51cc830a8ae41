"""Tables as comma, semicolon or tab separated text."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from .cells import (
    BLANKS,
    ERROR_VALUES,
    MAX_CHARACTERS,
    Cell,
    CellProblem,
    Refused,
)

# Excel writes what the screen showed: an id in a narrow column becomes 1.10101E+17.
_SCREEN_NUMBER = re.compile(r"[-+]?[0-9](?:\.[0-9]+)?E\+[0-9]+").fullmatch
# And so do careful people: ="00123" keeps the zeros when Excel opens the file.
_GUARDED = re.compile(r'="(.*)"', re.DOTALL).fullmatch


class CsvTable:
    """Rows of a text file in UTF-8 (with or without mark), GB18030 or marked UTF-16."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes_total = path.stat().st_size
        self.bytes_done = 0
        self.encoding = _encoding(path)

    def rows(self) -> Iterator[tuple[int, list[Cell]]]:
        """Yield (row, cells); a cell with line breaks is in one row, as in Excel."""
        csv.field_size_limit(MAX_CHARACTERS)
        with (
            self.path.open("rb") as raw,
            io.TextIOWrapper(raw, self.encoding, newline="") as file,
        ):
            delimiter = _delimiter(file.read(65_536))
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            number = 0
            while True:
                number += 1
                try:
                    record = next(reader)
                except StopIteration:
                    break
                except csv.Error:
                    # A quote that is never closed swallows the rest of the file.
                    raise Refused("open_quote", row=number) from None
                yield number, [_cell(text) for text in record]
                if not number % 500:
                    self.bytes_done = raw.tell()
        self.bytes_done = self.bytes_total


def _cell(text: str) -> Cell:
    text = text.strip(BLANKS)
    if guarded := _GUARDED(text):
        return guarded[1].replace('""', '"').strip(BLANKS)
    if _SCREEN_NUMBER(text):
        return CellProblem("rounded_number", text[:60])
    if text in ERROR_VALUES:
        return CellProblem("error_value", text)
    return text


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        _first_error(path, "utf-16", refuse=True)
        return "utf-16"
    if _first_error(path, "utf-8") is None:
        return "utf-8-sig"
    _first_error(path, "gb18030", refuse=True)
    return "gb18030"


def _first_error(path: Path, encoding: str, *, refuse: bool = False) -> int | None:
    """Return the line where `path` stops being text in `encoding`, or None.

    A NUL is text in no encoding that spreadsheets are saved in.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    with path.open("rb") as file:
        while True:
            block = file.read(1 << 20)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                if refuse:
                    line += error.object[: error.start].count(b"\n")
                    raise Refused("unknown_encoding", row=line) from None
                return line
            if "\0" in text:
                raise Refused("not_text")
            line += text.count("\n")
            if not block:
                return None


def _delimiter(start: str) -> str:
    """Return the separator that the first line uses most, outside quotes."""
    line = next((line for line in start.splitlines() if line.strip(BLANKS)), "")
    bare = re.sub(r'"[^"]*"', "", line)
    return max(",\t;", key=bare.count)
