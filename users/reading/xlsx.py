"""The first sheet of an .xlsx workbook, read as a stream on zipfile and expat.

Constant memory but for the workbook's table of strings, which is read no further than
the rows need it. Nothing the file claims about itself is believed: neither the sizes in
the zip directory nor `<dimension>`; only what is really inflated counts.
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from xml.parsers import expat

from .cells import (
    MAX_CHARACTERS,
    Cell,
    CellProblem,
    Refused,
    Row,
    Run,
    format_shows,
    moment,
    number,
    text_of,
)
from .plainrows import Alike, PlainRows, PlainStrings, cells_of, unescaped

MAX_INFLATED_BYTES = 1 << 30
# Lists of people shrink to a tenth or so. A file that grows to more than this many
# times its size, and is not small even then, was made to.
MAX_GROWTH = 60
SMALL_BYTES = 32 << 20
MAX_STRINGS_CHARACTERS = 300_000_000
MAX_ROW = 1_048_576  # Excel's last one
MAX_COLUMNS = 256
_MAX_STYLES = 65_536
_BLOCK = 65_536
_STRINGS_A_PAGE = 128
_OPEN_PAGES = 2048
# Of the strings that one column of some rows asks for: so far apart, and they are
# looked up one by one.
_APART = 64 * _STRINGS_A_PAGE
# Fewer rows are not worth a run.
_SHORT = 8
# Ways to write a row that are learnt; a list of people has one or two.
_MAX_SHAPES = 64
_TABLE = re.compile(rb"[^<]*(?:<\?xml[^<>]*>[^<]*)?<sst[^<>]*>")
_OTHER_ENCODING = re.compile(rb"""encoding=["'](?!utf-8["'])""", re.IGNORECASE)


class XlsxTable:
    """Rows of the first visible worksheet."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            raise Refused("damaged") from None
        self._inflated = 0
        self._allowed = min(
            MAX_INFLATED_BYTES, max(SMALL_BYTES, MAX_GROWTH * path.stat().st_size)
        )
        self._parts = {
            info.filename.replace("\\", "/").lstrip("/").lower(): info
            for info in self._zip.infolist()
        }
        self._refuse_other_documents()
        sheet, strings, styles, self._epoch_1904 = self._find_parts()
        self._shows = self._date_styles(styles)
        self._strings = _Strings(self._blocks(strings)) if strings else None
        self._sheet = sheet
        self.bytes_total = self._parts[sheet].file_size
        self.bytes_done = 0
        # It need not be true, but then it is so in our favour: spared is the unpacking.
        said = self.bytes_total + (self._parts[strings].file_size if strings else 0)
        if said > self._allowed:
            raise self._too_big()

    def _too_big(self) -> Refused:
        return Refused("too_big_inside", limit=self._allowed >> 20)

    def _refuse_other_documents(self) -> None:
        if any(info.flag_bits & 1 for info in self._parts.values()):
            raise Refused("encrypted")
        if "xl/workbook.bin" in self._parts:
            raise Refused("binary_workbook")
        if "[content_types].xml" not in self._parts:
            raise Refused("not_a_workbook")
        if "word/document.xml" in self._parts or "ppt/presentation.xml" in self._parts:
            raise Refused("not_a_workbook")

    # -- the parts of the package ------------------------------------------------------

    def _blocks(self, name: str) -> Iterator[bytes]:
        """Yield a part's bytes, counting what all parts together really inflate to."""
        info = self._parts.get(name)
        if info is None:
            raise Refused("damaged")
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise Refused("damaged")
        with self._zip.open(info) as file:
            while block := file.read(_BLOCK):
                self._inflated += len(block)
                if self._inflated > self._allowed:
                    raise self._too_big()
                yield block

    def _elements(
        self, name: str
    ) -> Iterator[tuple[str, dict[str, str], tuple[str, ...]]]:
        """Yield (local name, attributes, parents) of each element of a small part."""
        found: list[tuple[str, dict[str, str], tuple[str, ...]]] = []
        path: list[str] = []

        def start(tag: str, attributes: dict[str, str]) -> None:
            tag = tag.rpartition(":")[2]
            found.append((tag, attributes, tuple(path)))
            path.append(tag)
            if len(path) > 64:
                raise Refused("damaged")

        parser = _parser()
        parser.StartElementHandler = start
        parser.EndElementHandler = lambda tag: path.pop()
        for block in self._blocks(name):
            _feed(parser, block)
            yield from found
            found.clear()
        parser.Parse(b"", True)
        yield from found

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Return {id: (kind, part name)} of what a part points at."""
        place = PurePosixPath(part)
        name = str(place.parent / "_rels" / f"{place.name}.rels")
        if name not in self._parts:
            return {}
        relations: dict[str, tuple[str, str]] = {}
        for tag, attributes, _parents in self._elements(name):
            if tag != "Relationship" or attributes.get("TargetMode") == "External":
                continue
            target = attributes.get("Target", "").replace("\\", "/")
            kind = attributes.get("Type", "").rpartition("/")[2]
            if not target.startswith("/"):
                target = f"{place.parent}/{target}"
            parts: list[str] = []
            for piece in target.split("/"):
                if piece == "..":
                    del parts[-1:]
                elif piece not in {"", "."}:
                    parts.append(piece)
            relations[attributes.get("Id", "")] = (kind, "/".join(parts).lower())
        return relations

    def _find_parts(self) -> tuple[str, str | None, str | None, bool]:
        """Return the parts sheet, strings, styles, and whether days count from 1904."""
        workbook = next(
            (
                part
                for kind, part in self._relations("").values()
                if kind == "officeDocument" and part in self._parts
            ),
            "xl/workbook.xml",
        )
        if workbook not in self._parts:
            raise Refused("not_a_workbook")
        relations = self._relations(workbook)
        sheets: list[str] = []
        epoch_1904 = is_workbook = False
        for tag, attributes, parents in self._elements(workbook):
            if tag == "workbook" and not parents:
                is_workbook = True
            elif tag == "workbookPr":
                epoch_1904 = attributes.get("date1904", "0") in {"1", "true", "on"}
            elif tag == "sheet" and attributes.get("state", "visible") == "visible":
                wanted = next(
                    (v for k, v in attributes.items() if k.endswith(":id")), ""
                )
                kind, part = relations.get(wanted, ("", ""))
                if kind == "worksheet" and part in self._parts:
                    sheets.append(part)
        if not is_workbook:
            raise Refused("not_a_workbook")
        if not sheets:
            raise Refused("no_sheet")
        by_kind = {kind: part for kind, part in relations.values()}
        strings, styles = by_kind.get("sharedStrings"), by_kind.get("styles")
        return (
            sheets[0],
            strings if strings in self._parts else None,
            styles if styles in self._parts else None,
            epoch_1904,
        )

    def _date_styles(self, part: str | None) -> dict[str, str]:
        """Return {style index of a cell: "date", "time" or "duration"}."""
        codes: dict[int, str] = {}
        formats: list[int] = []
        for tag, attributes, parents in self._elements(part) if part else ():
            if tag == "numFmt":
                codes[_integer(attributes.get("numFmtId"))] = attributes.get(
                    "formatCode", ""
                )[:1000]
            elif tag == "xf" and parents[-1:] == ("cellXfs",):
                formats.append(_integer(attributes.get("numFmtId", "0")))
            if len(codes) > _MAX_STYLES or len(formats) > _MAX_STYLES:
                raise Refused("damaged")
        return {
            str(index): shows
            for index, format_id in enumerate(formats)
            if (shows := format_shows(format_id, codes.get(format_id)))
        }

    # -- the rows ----------------------------------------------------------------------

    def rows(self) -> Iterator[Row | Run]:
        """Yield (row number as Excel shows it, cells) for each row that has a cell, or
        a run of rows.

        A cell beyond column 256 is no part of any table we read. Alone in its row it is
        reported as the problem of the row, in the first column.
        """
        reader = _SheetReader(self._shows, self._strings, self._epoch_1904)
        for block in self._blocks(self._sheet):
            reader.feed(block)
            self.bytes_done += len(block)
            yield from reader.ready
            reader.ready.clear()
            if reader.finished:
                break
        else:
            reader.close()
            yield from reader.ready
        self.bytes_done = self.bytes_total


def _parser() -> expat.XMLParserType:
    def refuse(*_declaration: Any) -> None:
        # Entities are how a few bytes become gigabytes; spreadsheets never use them.
        raise Refused("dtd")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    return parser


def _feed(parser: expat.XMLParserType, block: bytes) -> None:
    before = parser.CurrentByteIndex
    parser.Parse(block)
    # A tag that does not end is scanned anew with each block: time in its square.
    # None is longer than a block, so one block without a single event is the sign.
    if parser.CurrentByteIndex == before >= 0 and len(block) == _BLOCK:
        raise Refused("damaged")


def _feed_all(parser: expat.XMLParserType, data: bytes) -> None:
    for start in range(0, len(data), _BLOCK):
        _feed(parser, data[start : start + _BLOCK])


def _integer(text: str | None) -> int:
    try:
        return int(text or "")
    except ValueError:
        raise Refused("damaged") from None


class _Strings:
    """The workbook's table of strings, read as far as somebody asked.

    Three million texts are 250 MB as objects and 60 as bytes, so they are kept as pages
    of bytes; the pages that were asked for last are kept open.
    """

    has_long = False
    """Whether a text so far has more characters than a cell may have."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._count = 0
        self._pages: list[bytes] = []
        self._unfiled: list[str] = []
        self._open: dict[int, list[str]] = {}
        self._blocks = blocks
        self._characters = 0
        self._parser = _parser()
        self._is_first = True
        self._in_table = False
        self._plain: PlainStrings | None = None
        pieces: list[str] = []
        keep = False
        phonetic = 0
        length = 0

        def start(tag: str, _attributes: dict[str, str]) -> None:
            nonlocal keep, phonetic, length
            tag = tag.rpartition(":")[2]
            if tag == "t":
                keep = not phonetic
            elif tag == "si":
                pieces.clear()
                length = 0
            elif tag == "rPh":
                phonetic += 1
            elif tag == "sst":
                self._in_table = True

        def end(tag: str) -> None:
            nonlocal keep, phonetic
            tag = tag.rpartition(":")[2]
            if tag == "t":
                keep = False
            elif tag == "si":
                self._add(["".join(pieces)])
            elif tag == "rPh":
                phonetic -= 1

        def characters(text: str) -> None:
            nonlocal length
            self._count_characters(len(text))
            if keep:
                length += len(text)
                # One more than allowed, so that the row can be told about it.
                if length <= MAX_CHARACTERS + 1:
                    pieces.append(text)
                elif length - len(text) <= MAX_CHARACTERS:
                    pieces.append(text[: MAX_CHARACTERS + 1 - (length - len(text))])

        self._parser.StartElementHandler = start
        self._parser.EndElementHandler = end
        self._parser.CharacterDataHandler = characters

    def get(self, index: int) -> str:
        number = index // _STRINGS_A_PAGE
        page = self._open.get(number) or self._page(number, index)
        return page[index % _STRINGS_A_PAGE]

    def get_all(self, values: list[str], are_strings: list[bool]) -> list[Cell]:
        """Return the values as they are, but for places of strings the strings."""
        pages = self._open
        try:
            return [
                pages[(index := int(value)) // _STRINGS_A_PAGE][index % _STRINGS_A_PAGE]
                if is_string
                else value
                for value, is_string in zip(values, are_strings, strict=True)
            ]
        except KeyError:  # a page that is not open
            return [
                self.get(int(value)) if is_string else value
                for value, is_string in zip(values, are_strings, strict=True)
            ]

    def get_column(self, indexes: list[int]) -> list[str]:
        low, high = min(indexes), max(indexes)
        if high - low > _APART:
            return [self.get(index) for index in indexes]
        first = low // _STRINGS_A_PAGE
        near: list[str] = []
        for place in range(first, high // _STRINGS_A_PAGE + 1):
            last = min(high, (place + 1) * _STRINGS_A_PAGE - 1)
            near += self._open.get(place) or self._page(place, last)
        start = first * _STRINGS_A_PAGE
        return [near[index - start] for index in indexes]

    def _page(self, number: int, index: int) -> list[str]:
        while index >= self._count:
            block = next(self._blocks, None)
            if block is None:
                raise Refused("damaged")
            self._feed(block)
        if number == len(self._pages):
            return self._unfiled
        if number in self._open:
            return self._open[number]
        return self._keep_open(number, self._pages[number].decode().split("\0"))

    def _keep_open(self, number: int, page: list[str]) -> list[str]:
        if len(self._open) >= _OPEN_PAGES:
            self._open.pop(next(iter(self._open)))
        self._open[number] = page
        return page

    def _add(self, texts: list[str], *, are_plain: bool = False) -> None:
        unfiled = self._unfiled
        # No report and no database takes a NUL; here it is what parts the texts.
        unfiled += (
            texts
            if are_plain
            else [
                text.replace("\0", "\ufffd") if "\0" in text else text
                for text in map(text_of, texts)
            ]
        )
        filed = len(unfiled) - len(unfiled) % _STRINGS_A_PAGE
        for start in range(0, filed, _STRINGS_A_PAGE):
            page = unfiled[start : start + _STRINGS_A_PAGE]
            # Somebody is going to ask for them: rows name strings that have just come.
            self._keep_open(len(self._pages), page)
            self._pages.append("\0".join(page).encode())
        del unfiled[:filed]
        self._count += len(texts)
        if texts and len(max(texts, key=len)) > MAX_CHARACTERS:
            self.has_long = True

    def _count_characters(self, more: int) -> None:
        self._characters += more
        if self._characters > MAX_STRINGS_CHARACTERS:
            raise Refused("too_big_inside", limit=MAX_INFLATED_BYTES >> 20)

    def _feed(self, block: bytes) -> None:
        if self._is_first:
            self._is_first = False
            head = _TABLE.match(block)
            if head and not _OTHER_ENCODING.search(block[:200]):
                _feed(self._parser, head[0])
                # The parser says whether it was that tag, and not in a comment.
                if self._in_table:
                    self._plain = PlainStrings()
                block = block[head.end() :]
        if self._plain is None:
            _feed(self._parser, block)
            return
        texts = self._plain.feed(block)
        self._count_characters(sum(map(len, texts)))
        if self._plain.are_plain and len(max(texts, key=len)) <= MAX_CHARACTERS:
            self._add(texts, are_plain=True)
        else:
            self._add([text[: MAX_CHARACTERS + 1] for text in texts])
        if self._plain.gave_up:
            rest = self._plain.rest()
            self._plain = None
            _feed_all(self._parser, rest)


class _SheetReader:
    """Turns a sheet's XML into rows; `ready` holds those that are complete."""

    def __init__(
        self, shows: dict[str, str], strings: _Strings | None, epoch_1904: bool
    ) -> None:
        self.ready: list[Row | Run] = []
        self.finished = False
        self.row_number = 0
        self._shows = shows
        self._epoch_1904 = epoch_1904
        self._strings = strings
        self._get_string = strings.get if strings else None
        self._shapes: dict[tuple[tuple[str, str, str], ...], Alike] = {}
        self._columns: dict[str, int] = {}
        self._parser = _parser()
        self._parser.StartElementHandler = self._root
        self._is_first = True
        self._in_data = False
        self._plain: PlainRows | None = None

    def feed(self, block: bytes) -> None:
        if self._is_first:
            self._is_first = False
            head, tag, rest = block.partition(b"<sheetData>")
            if tag and not _OTHER_ENCODING.search(head[:200]):
                _feed(self._parser, head + tag)
                # The parser says whether it was that tag, and not in a comment.
                if self._in_data:
                    self._plain = PlainRows()
                block = rest
        if self._plain is None:
            _feed(self._parser, block)
            return
        self._take_plain_rows(self._plain, block)
        if self._plain.ended:
            self.finished = True
        elif self._plain.gave_up:
            self._give_up(self._plain)

    def close(self) -> None:
        if self._plain is not None:
            self._give_up(self._plain)
        self._parser.Parse(b"", True)

    def _give_up(self, plain: PlainRows) -> None:
        self._plain = None
        _feed_all(self._parser, plain.rest())

    def _take_plain_rows(self, plain: PlainRows, block: bytes) -> None:
        ready, columns, cell_of = self.ready, self._columns, self._cell
        for rows in plain.feed(block):
            if isinstance(rows, list):
                assert plain.alike is not None
                self._take_rows_alike(rows, plain.alike)
                continue
            row_number, inside = rows
            if not 0 < row_number <= MAX_ROW:
                raise Refused("too_many_rows", limit=MAX_ROW)
            self.row_number = row_number
            cells = cells_of(inside)
            plain.alike = self._alike_to(cells)
            row: list[Cell] = []
            far = ""
            for letters, style, kind, value, inline in cells:
                at = columns.get(letters)
                if at is None:
                    at = columns[letters] = _column(letters)
                if at >= MAX_COLUMNS:
                    far = far or f"{letters}{row_number}"
                    continue
                text = value or inline
                if not text:
                    continue
                if "&" in text:
                    text = unescaped(text)
                cell = cell_of(kind, style, text)
                if at == len(row):
                    row.append(cell)
                    continue
                while len(row) < at:
                    row.append("")
                row[at:] = [cell] if at == len(row) else [cell, *row[at + 1 :]]
            if row:
                ready.append((row_number, row))
            elif far:
                ready.append((row_number, [CellProblem("far_cell", far)]))

    def _take_rows_alike(self, rows: list[tuple[str, ...]], alike: Alike) -> None:
        _wholes, numbers, *columns = zip(*rows, strict=True)
        row_numbers = [*map(int, numbers)]
        if min(row_numbers) < 1 or max(row_numbers) > MAX_ROW:
            raise Refused("too_many_rows", limit=MAX_ROW)
        self.row_number = row_numbers[-1]
        strings = self._strings
        if strings is not None and len(rows) >= _SHORT:
            texts = [
                strings.get_column([*map(int, values)]) if is_string else [*values]
                for values, is_string in zip(columns, alike.are_strings, strict=True)
            ]
            # Looked at afterwards: to get a text is to read the table up to it.
            if not strings.has_long:
                self.ready.append(Run(row_numbers, texts))
                return
        self.ready += [
            (number, self._values(alike, [*values]))
            for number, (_whole, _number, *values) in zip(
                row_numbers, rows, strict=True
            )
        ]

    def _alike_to(self, cells: list[tuple[str, str, str, str, str]]) -> Alike | None:
        """Return how rows are written that look like this one, if that is simple."""
        shape = tuple((at, style, kind) for at, style, kind, _value, _text in cells)
        if shape in self._shapes:
            return self._shapes[shape]
        simple = (
            len(self._shapes) < _MAX_SHAPES
            and Alike.may_be(cells)
            and not any(
                kind != "s" and style in self._shows for _, style, kind in shape
            )
        )
        if not simple:
            return None
        return self._shapes.setdefault(shape, Alike(cells))

    def _values(self, alike: Alike, values: list[str]) -> list[Cell]:
        """Return the cells of a row that is alike."""
        if self._strings is not None:
            texts = self._strings.get_all(values, alike.are_strings)
            # Looked at afterwards: to get a text is to read the table up to it.
            if not self._strings.has_long:
                return texts
        return [
            self._cell("s" if is_string else "n", None, value)
            for value, is_string in zip(values, alike.are_strings, strict=True)
        ]

    def _root(self, tag: str, _attributes: dict[str, str]) -> None:
        """Learn the prefix (`x:worksheet` is as good as `worksheet`), then read on."""
        prefix, _colon, local = tag.rpartition(":")
        if local != "worksheet":
            raise Refused("damaged")
        self._read(f"{prefix}:" if prefix else "")

    def _read(self, prefix: str) -> None:
        # Closures, not methods: this is the loop over every cell of a million rows.
        tag_c, tag_v, tag_t = f"{prefix}c", f"{prefix}v", f"{prefix}t"
        tag_row, tag_data = f"{prefix}row", f"{prefix}sheetData"
        tag_f, tag_phonetic = f"{prefix}f", f"{prefix}rPh"
        parser, ready, cell_of, columns = (
            self._parser,
            self.ready,
            self._cell,
            self._columns,
        )
        row: list[Cell] = []
        pieces: list[str] = []
        kind: str | None = None
        style: str | None = None
        at = length = phonetic = 0
        grab = formula = far = False
        far_reference = ""

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal kind, style, at, grab, formula, row, length
            nonlocal phonetic, far, far_reference
            if tag in (tag_v, tag_t):
                grab = not phonetic
            elif tag == tag_c:
                kind = attributes.get("t")
                style = attributes.get("s")
                formula = False
                if pieces:
                    pieces.clear()
                length = 0
                reference = attributes.get("r")
                if reference is None:
                    at = len(row)
                else:
                    letters = reference.rstrip("0123456789")
                    known_at = columns.get(letters)
                    if known_at is None:
                        known_at = columns[letters] = _column(letters)
                    at = known_at
                if at >= MAX_COLUMNS:
                    far, far_reference = True, reference or ""
            elif tag == tag_row:
                said = attributes.get("r")
                self.row_number = (
                    self.row_number + 1 if said is None else _integer(said)
                )
                if not 0 < self.row_number <= MAX_ROW:
                    raise Refused("too_many_rows", limit=MAX_ROW)
                row = []
                far = False
            elif tag == tag_f:
                formula = True
            elif tag == tag_phonetic:
                phonetic += 1
            elif tag == tag_data:
                self._in_data = True

        def end(tag: str) -> None:
            nonlocal grab, phonetic
            if tag in (tag_v, tag_t):
                grab = False
            elif tag == tag_c:
                if at >= MAX_COLUMNS or not (pieces or formula):
                    return
                cell: Cell
                if not pieces:
                    # A formula, and no program has ever worked it out.
                    cell = "" if kind in _TEXTS else CellProblem("no_kept_value", "")
                else:
                    text = pieces[0] if len(pieces) == 1 else "".join(pieces)
                    cell = cell_of(kind, style, text)
                while len(row) < at:
                    row.append("")
                if len(row) == at:
                    row.append(cell)
                else:
                    row[at] = cell
            elif tag == tag_row:
                if row:
                    ready.append((self.row_number, row))
                elif far:
                    problem = CellProblem("far_cell", far_reference[:60])
                    ready.append((self.row_number, [problem]))
            elif tag == tag_phonetic:
                phonetic -= 1
            elif tag == tag_data:
                self.finished = True
                parser.StartElementHandler = None
                parser.EndElementHandler = None
                parser.CharacterDataHandler = None

        def characters(text: str) -> None:
            nonlocal length
            if grab:
                length += len(text)
                if length <= MAX_CHARACTERS + _PIECE:
                    pieces.append(text)

        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = characters

    def _cell(self, kind: str | None, style: str | None, text: str) -> Cell:
        """Return what a cell says that holds `text`."""
        if kind == "s":
            index = _integer(text)
            if self._get_string is None or index < 0:
                raise Refused("damaged")
            string = self._get_string(index)
            if len(string) > MAX_CHARACTERS:
                return CellProblem("too_long", string[:60])
            return string
        if not kind or kind == "n":
            if style in self._shows:
                shows = self._shows[style]
                return moment(text.strip(), shows, epoch_1904=self._epoch_1904)
            return number(text)
        if kind == "b":
            return "TRUE" if text.strip() in {"1", "true"} else "FALSE"
        if kind == "e":
            return CellProblem("error_value", text[:60])
        if kind == "d":
            # ISO 8601, which Excel reads but never writes: 2026-01-31T08:30:00
            return text.strip().replace("T00:00:00", "").replace("T", " ")
        if len(text) > MAX_CHARACTERS:
            return CellProblem("too_long", text[:60])
        return text_of(text)


# Kinds of cells that may well hold a text of no characters.
_TEXTS = {"s", "str", "inlineStr", "d"}
# expat hands text on in pieces of this size at most.
_PIECE = 8192


def _column(letters: str) -> int:
    """Return 0 for A, 25 for Z, 26 for AA."""
    if not letters.isascii() or not letters.isalpha() or len(letters) > 3:
        raise Refused("damaged")
    index = 0
    for letter in letters.upper():
        index = index * 26 + ord(letter) - 64
    return index - 1
