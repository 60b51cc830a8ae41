"""A sheet's rows as programs usually write them, by regular expression.

A parser calls back for every tag; this is several times as quick. It takes only what
fits from the first character to the last, so that it and a parser read the same; at
the first row that is written in another way it gives up, and the parser goes on there.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

# What XML lets stand as it is; a carriage return it would change into a line feed.
_PLAIN: Final = r"[^<>&\x00-\x08\x0b-\x1f\ufffe\uffff]*"
_TEXT: Final = rf"{_PLAIN}(?:&(?:amp|lt|gt|quot|apos);{_PLAIN})*"
_OTHERS: Final = r'(?: [A-Za-z][A-Za-z0-9:]*="[^"<&\x00-\x1f\ufffe\uffff]*")*'


def _cell(*, keeps: bool) -> str:
    """Return the pattern of a cell; `keeps` its column, style, kind, value and text."""
    if keeps:
        column, style, kind = "([A-Z]{1,3})", "([0-9]{1,5})", "(s|n|str|inlineStr)"
        text = f"({_TEXT})"
    else:
        column, style, kind = "[A-Z]{1,3}", "[0-9]{1,5}", "(?:s|n|str|inlineStr)"
        text = _TEXT
    value = f"<v>{text}</v>"
    inline = f'<is><t(?: xml:space="preserve")?>{text}</t></is>'
    return (
        f'<c r="{column}[0-9]{{1,7}}"(?: s="{style}")?(?: t="{kind}")?'
        f"(?:/>|>(?:{value}|{inline})?</c>)"
    )


_INSIDE: Final = f"(?:{_cell(keeps=False)})*"
_ROW: Final = re.compile(
    rf'[ \t\n]*<row r="([0-9]{{1,7}})"{_OTHERS}(?:/>|>({_INSIDE})</row>)'
)
_ROWS_END: Final = re.compile(r"[ \t\n]*</sheetData>")
_STRING: Final = '<si><t(?: xml:space="preserve")?>{text}</t></si>'
_STRINGS: Final = re.compile(f"(?:{_STRING.format(text=_TEXT)})*")
_texts_of: Final = re.compile(_STRING.format(text=f"({_TEXT})")).findall
# (column, style, kind, value, text) of every cell in the second group of `_ROW`.
cells_of: Final = re.compile(_cell(keeps=True)).findall
_INDEX: Final = "[0-9]{1,9}"
# A number that `cells.number` gives back as it is.
_INTEGER: Final = "-?(?:0|[1-9][0-9]{0,14})"
_COLUMNS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# A row that does not end within so much is for the parser.
_PATIENCE: Final = 256 * 1024
# After so many rows that are alike, all that follow are looked for at once, at first in
# so many characters, then in twice as many and so on.
_STREAK: Final = 8
_NEAR: Final = 4096
_ENTITIES: Final = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'"}


def unescaped(text: str) -> str:
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    return text.replace("&amp;", "&")  # the last one, or it would make new ones


class _Plain:
    """What both readers share: the text that nobody has understood yet."""

    def __init__(self) -> None:
        self.gave_up = False
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""

    def rest(self) -> bytes:
        """Return what is not read yet, for the parser."""
        undecoded, _flags = self._decoder.getstate()
        return self._text.encode() + undecoded

    def _keep(self, text: str, end_of_one: str) -> None:
        """Keep what may become plain; give up on what is complete and is not."""
        self._text = text
        self.gave_up = end_of_one in text or len(text) > _PATIENCE


class Alike:
    """Rows that are written as one row was, but for the values: most of a sheet.

    Such a row is one match, which gives its values; there is no cell to look at.
    """

    def __init__(self, cells: Sequence[tuple[str, str, str, str, str]]) -> None:
        """`cells` are what `cells_of` found in that row; see `may_be`."""
        self.are_strings: Final = [kind == "s" for _at, _style, kind, *_text in cells]
        pattern = rf'[ \t\n]*<row r="([0-9]{{1,7}})"{_OTHERS}>'
        for letter, style, kind, _value, _inline in cells:
            attributes = f' s="{style}"' if style else ""
            attributes += f' t="{kind}"' if kind else ""
            value = _INDEX if kind == "s" else _INTEGER
            pattern += rf'<c r="{letter}\2"{attributes}><v>({value})</v></c>'
        row = re.compile(f"({pattern}</row>)")
        self.match: Final = row.match
        self._find_all: Final = row.findall

    def find(self, text: str, start: int, end: int) -> "Found":
        """Return the rows that stand there one behind the other."""
        rows = self._find_all(text, start, end)
        wholes = [row[0] for row in rows]
        whole = "".join(wholes)
        if text.startswith(whole, start):
            return Found(rows, start + len(whole), not rows)
        at, count = start, 0
        while text.startswith(wholes[count], at):
            at += len(wholes[count])
            count += 1
        return Found(rows[:count], at, True)

    @staticmethod
    def may_be(cells: Sequence[tuple[str, str, str, str, str]]) -> bool:
        """Whether the row has shared strings and numbers only, in A, B, C and so on."""
        letters = "".join(cell[0] for cell in cells)
        return (
            bool(cells)
            and _COLUMNS.startswith(letters)
            and len(letters) == len(cells)
            and all(value and kind in {"s", "n", ""} for _, _, kind, value, _ in cells)
        )


class Found(NamedTuple):
    """Rows that are alike."""

    rows: list[tuple[str, ...]]
    """(all of it, number, value of each cell)"""
    end: int
    """Where the text goes on."""
    is_over: bool
    """Whether there is something else at the end."""


class PlainRows(_Plain):
    """Reads on from behind `<sheetData>`."""

    ended = False
    alike: Alike | None = None
    """How the next rows are probably written; the caller says so."""

    _streak = 0
    _near = _NEAR

    def feed(self, block: bytes) -> Iterator[tuple[int, str] | list[tuple[str, ...]]]:
        """Yield (row number, cells) of every row that is complete by now.

        For rows that are `alike` it is a list, of (all of it, number, *values) each.
        """
        text = self._text + self._decoder.decode(block)
        at = 0
        while True:
            if self._streak >= _STREAK and self.alike:
                found = self.alike.find(text, at, at + self._near)
                at = found.end
                if found.rows:
                    yield found.rows
                if not found.is_over:
                    self._near = min(2 * self._near, _PATIENCE)
                    continue
                if at + self._near < len(text):
                    self._streak, self._near = 0, _NEAR
            if self.alike and (row := self.alike.match(text, at)):
                at = row.end()
                self._streak += 1
                yield [row.groups("")]
            elif row := _ROW.match(text, at):
                at = row.end()
                self._streak, self._near = 0, _NEAR
                yield int(row[1]), row[2] or ""
            else:
                break
        if _ROWS_END.match(text, at):
            self.ended = True
        else:
            self._keep(text[at:], "</row>")


_BETWEEN: Final = "</t></si><si><t>"


class PlainStrings(_Plain):
    """Reads on from behind `<sst …>`."""

    are_plain = False
    """Whether the strings of late are what `cells.text_of` would make of them."""

    def feed(self, block: bytes) -> list[str]:
        """Return every string that is complete by now."""
        text = self._text + self._decoder.decode(block)
        end = text.rfind("</si>") + 5
        self.are_plain = False
        if text.startswith("<si><t>") and text.endswith("</t></si>", 0, end):
            inner = text[7 : end - 9]
            texts = inner.split(_BETWEEN)
            joined = "".join(texts)
            # Of blanks, only spaces are printable; none of what XML refuses is.
            if joined.isprintable() and not (
                "<" in joined or "&" in joined or ">" in joined
            ):
                self._keep(text[end:], "</si>")
                self.are_plain = not (
                    "_x" in joined
                    or " </t>" in inner
                    or "<t> " in inner
                    or inner.startswith(" ")
                    or inner.endswith(" ")
                )
                return texts
        found = _STRINGS.match(text)
        assert found, "an empty match always fits"
        self._keep(text[found.end() :], "</si>")
        texts = _texts_of(found[0])
        if "&" in found[0]:
            texts = [unescaped(text) if "&" in text else text for text in texts]
        return texts
