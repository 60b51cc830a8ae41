"""A sheet's rows as programs usually write them, by regular expression.

A parser calls back for every tag; this is several times as quick. It takes only what
fits from the first character to the last, so that it and a parser read the same; at
the first row that is written in another way it gives up, and the parser goes on there.
"""

import codecs
import re
from collections.abc import Iterator
from typing import Final

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

# A row that does not end within so much is for the parser.
_PATIENCE: Final = 256 * 1024
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


class PlainRows(_Plain):
    """Reads on from behind `<sheetData>`."""

    ended = False

    def feed(self, block: bytes) -> Iterator[tuple[int, str]]:
        """Yield (row number, its cells) of every row that is complete by now."""
        text = self._text + self._decoder.decode(block)
        at = 0
        while row := _ROW.match(text, at):
            at = row.end()
            yield int(row[1]), row[2] or ""
        if _ROWS_END.match(text, at):
            self.ended = True
        else:
            self._keep(text[at:], "</row>")


class PlainStrings(_Plain):
    """Reads on from behind `<sst …>`."""

    def feed(self, block: bytes) -> list[str]:
        """Return every string that is complete by now."""
        text = self._text + self._decoder.decode(block)
        found = _STRINGS.match(text)
        assert found, "an empty match always fits"
        self._keep(text[found.end() :], "</si>")
        texts = _texts_of(found[0])
        if "&" in found[0]:
            texts = [unescaped(text) if "&" in text else text for text in texts]
        return texts
