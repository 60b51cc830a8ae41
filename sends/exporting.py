"""Tables that leave as .csv or .xlsx while they are still being read: a million rows
take no more memory than a few.
"""

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, cast
from xml.sax.saxutils import escape

CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
# Excel's own limit for one sheet.
ROWS_A_SHEET = 1_048_576
ROWS_A_CHUNK = 1000

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_SHEETS = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
# Control characters that XML cannot hold.
_UNWRITABLE = {n: None for n in range(32) if n not in (9, 10, 13)}

Row = Sequence[object]


def stream(kind: str, header: Row, rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield the file, a "csv" or an "xlsx", in pieces."""
    return {"csv": _csv, "xlsx": _xlsx}[kind](header, rows)


def _csv(header: Row, rows: Iterable[Row]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    # With the mark, Excel takes it for UTF-8.
    buffer.write("\ufeff")
    writer.writerow(header)
    for number, row in enumerate(rows, start=1):
        writer.writerow([_harmless(cell) for cell in row])
        if number % ROWS_A_CHUNK == 0:
            yield buffer.getvalue().encode("utf-8", "replace")
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode("utf-8", "replace")


def _harmless(cell: object) -> object:
    """Excel runs what begins like a formula, whoever wrote it."""
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{cell}"
    return cell


class _Pipe:
    """What zipfile writes to; it cannot seek, so each part is written as it comes."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back here."""

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


def _xlsx(header: Row, rows: Iterable[Row]) -> Iterator[bytes]:
    pipe = _Pipe()
    iterator = iter(rows)
    sheets = 0
    target = cast(IO[bytes], pipe)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as book:
        more = True
        while more:
            sheets += 1
            with book.open(f"xl/worksheets/sheet{sheets}.xml", "w") as sheet:
                sheet.write(
                    f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView '
                    'workbookViewId="0"><pane ySplit="1" topLeftCell="A2" '
                    'activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
                    '<sheetFormatPr defaultColWidth="22" defaultRowHeight="15"/>'
                    "<sheetData>".encode()
                )
                sheet.write(_row(header).encode())
                number = 1
                more = False
                for row in iterator:
                    number += 1
                    sheet.write(_row(row).encode("utf-8", "replace"))
                    if number % ROWS_A_CHUNK == 0:
                        yield pipe.take()
                    if number == ROWS_A_SHEET:
                        more = True
                        break
                sheet.write(b"</sheetData></worksheet>")
        for name, text in _parts(sheets):
            book.writestr(name, _HEAD + text)
    yield pipe.take()


def _row(row: Row) -> str:
    return f"<row>{''.join(map(_cell, row))}</row>"


def _cell(value: object) -> str:
    if value is None or value == "":
        return "<c/>"
    if isinstance(value, int) and abs(value) < 10**11:
        return f"<c><v>{value}</v></c>"
    # Longer numbers as text: Excel keeps 15 digits.
    text = escape(str(value).translate(_UNWRITABLE))
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def _parts(sheets: int) -> Iterator[tuple[str, str]]:
    numbers = range(1, sheets + 1)
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" '
        f'ContentType="{_SHEETS}.worksheet+xml"/>'
        for n in numbers
    )
    yield (
        "[Content_Types].xml",
        f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/xl/workbook.xml" '
        f'ContentType="{_SHEETS}.sheet.main+xml"/>{overrides}</Types>',
    )
    yield (
        "_rels/.rels",
        f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_DOCUMENT}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    )
    listed = "".join(
        f'<sheet name="{n}" sheetId="{n}" r:id="rId{n}"/>' for n in range(1, sheets + 1)
    )
    yield (
        "xl/workbook.xml",
        f'<workbook xmlns="{_MAIN}" xmlns:r="{_DOCUMENT}"><sheets>{listed}</sheets>'
        "</workbook>",
    )
    relations = "".join(
        f'<Relationship Id="rId{n}" Type="{_DOCUMENT}/worksheet" '
        f'Target="worksheets/sheet{n}.xml"/>'
        for n in numbers
    )
    yield (
        "xl/_rels/workbook.xml.rels",
        f'<Relationships xmlns="{_PACKAGE}/relationships">{relations}</Relationships>',
    )
