"""How a table is told to whoever started the process, on standard output.

The first line is `{"columns": [name], "total": bytes}`. Rows come by column,
`{"done": bytes, "numbers": [row number], "bytes": length}` and then, behind the end of
that line, so many bytes: all cells of the first column, then of the second, parted by
NULs. Of rows one after the other only the first number is said. Where a cell has a
problem, rows come one by one:
`{"done": bytes, "rows": [[cell, …, row number]]}`, where a cell is a text or, for a
problem, `[code, value]`. The last line is `{"end": rows}` or, wherever the file cannot
be taken, `{"bad": code, "params": {}}`.
"""

import json
import sys
from itertools import chain
from typing import Any

from .cells import Cell, Row, Run

_ENOUGH_CHARACTERS = 60_000
# A text that many cells share may make much of few bytes.
_TOO_MANY_CHARACTERS = 1_000_000

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(f"{_encode(message)}\n")
    sys.stdout.flush()


class Teller:
    """Gathers rows of one width until there is enough to tell."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self._width = width
        self._characters = 0
        self._numbers: list[int] = []
        # What is gathered is either rows or columns.
        self._rows: list[list[Cell]] = []
        self._columns: list[list[str]] = []

    def add(self, done: int, item: Row | Run) -> None:
        """Take rows, those without content left out; tell of `done` bytes with them."""
        if not isinstance(item, Run):
            self._add_row(*item)
        elif not self._add_run(item):
            for number, cells in item.rows():
                self._add_row(number, cells)
                if self._characters > _ENOUGH_CHARACTERS:
                    self.tell(done)
        if self._characters > _ENOUGH_CHARACTERS:
            self.tell(done)

    def _add_row(self, number: int, cells: list[Cell]) -> None:
        width = self._width
        if len(cells) > width:
            del cells[width:]
        if not any(cells):
            return
        if len(cells) < width:
            cells.extend([""] * (width - len(cells)))
        if self._columns:
            self._rows = [list(cells) for cells in zip(*self._columns, strict=True)]
            self._columns = []
        self._characters += sum(map(len, cells))
        self._numbers.append(number)
        self._rows.append(cells)

    def _add_run(self, run: Run) -> bool:
        """Take them all; return False when they must be looked at row by row."""
        columns = run.columns[: self._width]
        characters = sum(sum(map(len, column)) for column in columns)
        # Where each column has something in each row, no row is without content.
        if characters > _TOO_MANY_CHARACTERS or any("" in column for column in columns):
            return False
        missing = self._width - len(columns)
        columns += [[""] * len(run.numbers) for _ in range(missing)]
        if self._rows:
            # Cells with a problem are no texts, but there is no column of them.
            self._columns = [[] for _ in columns]
            for at, column in enumerate(self._columns):
                column += [cells[at] for cells in self._rows]  # type: ignore[misc]
            self._rows = []
        if self._columns:
            for column, more in zip(self._columns, columns, strict=True):
                column += more
        else:
            self._columns = columns
        self._characters += characters
        self._numbers += run.numbers
        return True

    def _text(self) -> str | None:
        """Return all cells parted by NULs, None when they cannot be told so."""
        columns: Any = self._columns or zip(*self._rows, strict=True)
        try:
            text = "\0".join(chain.from_iterable(columns))
        except TypeError:  # a cell with a problem
            return None
        is_clear = text.count("\0") == len(self._numbers) * self._width - 1
        return text if is_clear else None

    def tell(self, done: int) -> None:
        numbers = self._numbers
        if not numbers:
            return
        self.count += len(numbers)
        text = self._text()
        if text is not None:
            data = text.encode()
            if numbers[-1] - numbers[0] == len(numbers) - 1 and numbers == [
                *range(numbers[0], numbers[-1] + 1)
            ]:
                numbers = numbers[:1]
            say({"done": done, "numbers": numbers, "bytes": len(data)})
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            rows = self._rows or zip(*self._columns, strict=True)
            told = [
                [*cells, number]
                for number, cells in zip(self._numbers, rows, strict=True)
            ]
            say({"done": done, "rows": told})
        self._numbers, self._rows, self._columns = [], [], []
        self._characters = 0
