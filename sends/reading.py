"""A pasted list or an uploaded file becomes the audience of a draft.

Small ones are read while the operator waits; larger ones in a task that says on the row
how far it is (`Send.reading`), in blocks that are committed one by one. A newer list
ends the reading of an older one, and a reader that dies is replaced.
"""

import logging
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from users.rows import meaning
from users.workbooks import (
    BAD_FILES,
    BadFile,
    Cell,
    CellProblem,
    check_kind,
    open_table,
)
from users.workbooks import describe as describe_cell

from . import drafting
from .models import AudienceRow, Send
from .staging import ROWS_A_BLOCK, Line, insert
from .waking import wake_on_commit

log = logging.getLogger(__name__)

# What is read at once, while the operator waits.
SMALL_BYTES: Final = 300_000
EXAMPLES: Final = 100
MAX_ID: Final = 64
# A reader that was silent for so long is dead, or its wake-up call got lost.
SILENCE: Final = timedelta(seconds=20)

OPENID: Final = re.compile(r"o[A-Za-z0-9_-]{27}\Z")
SEPARATORS: Final = "\r\t,;，；"  # and line breaks

Shape = Literal["userid", "openid", "both"]
_OWN_NAMES: Final = frozenset({"userid", "openid", "wechatoa_openid"})

PROBLEMS: Final = {
    "no_people_column": _(
        "No column is called userid or openid. The first row must name the columns, "
        "and one of them must say who each row is about."
    ),
    "nobody": _("There is nobody in this list."),
    "only_bad_rows": _("Not one row could be used; see the reasons below."),
}
ROW_PROBLEMS: Final = {
    "nobody": _("neither a userid nor an openID"),
    "too_long": _("“%(value)s” is longer than 64 characters"),
}


@dataclass
class Reading:
    """How far a list was read, as kept in `Send.reading`."""

    id: str
    state: Literal["waiting", "reading", "done", "failed"]
    kind: Literal["paste", "file"]
    name: str  # what the operator called the file
    path: str  # below the storage, "" once it is gone
    shape: Shape | Literal[""] = ""
    people_column: str = ""
    rows: int = 0
    problems: int = 0
    examples: list[list[Any]] = field(default_factory=list)  # row, code, column, value
    done: int = 0
    total: int = 0
    error: str = ""
    error_params: dict[str, Any] = field(default_factory=dict)
    reader: str = ""
    beat: str = ""

    @property
    def is_under_way(self) -> bool:
        return self.state in {"waiting", "reading"}

    @property
    def is_silent(self) -> bool:
        """Whether nobody has been at it for a while, though somebody should."""
        return self.is_under_way and (
            not self.beat
            or timezone.now() - datetime.fromisoformat(self.beat) > SILENCE
        )

    @property
    def percent(self) -> int:
        return min(99, 100 * self.done // self.total) if self.total else 0

    @property
    def sentence(self) -> str:
        """Why the list as a whole could not be used."""
        texts: dict[str, Any] = {**BAD_FILES, **PROBLEMS}
        return str(texts[self.error]) % self.error_params if self.error else ""

    def row_problems(self) -> Iterator[tuple[int, str]]:
        """Yield (row, why it is left out) for the first of them."""
        for row, code, column, value in self.examples:
            if code in ROW_PROBLEMS:
                yield row, str(ROW_PROBLEMS[code]) % {"value": value}
            else:
                yield row, describe_cell(CellProblem(code, value), column)


class Superseded(Exception):
    """Another list, or another reader, has taken the place of this one."""


def state_of(send: Send) -> Reading | None:
    """Return how far the send's list was read, None when it never had one."""
    return Reading(**send.reading) if send.reading else None


def take_paste(send: Send, text: str) -> bool:
    """Make pasted userids or openIDs the draft's audience; return whether it is done.

    If not, a task does it. Raises WrongState.
    """
    content = ContentFile(text.encode("utf-8", "replace"))
    return _take(send, "paste", "", ".txt", content, content.size)


def take_file(send: Send, file: File, name: str) -> bool:
    """Make an uploaded .xlsx or .csv file the draft's audience; see take_paste.

    Raises BadFile when it is none, WrongState.
    """
    # Only an ending of ours: the rest of the name stays a label.
    suffix = ".csv" if name.lower().endswith(".csv") else ".xlsx"
    path = default_storage.save(f"audiences/{secrets.token_hex(12)}{suffix}", file)
    try:
        check_kind(Path(default_storage.path(path)), name)
    except BadFile:
        default_storage.delete(path)
        raise
    return _take(send, "file", name, path, None, default_storage.size(path))


def _take(
    send: Send,
    kind: Literal["paste", "file"],
    name: str,
    path: str,
    content: ContentFile | None,
    size: int,
) -> bool:
    if content is not None:
        path = default_storage.save(f"audiences/{secrets.token_hex(12)}{path}", content)
    older = state_of(send)
    reading = Reading(
        secrets.token_hex(6), "waiting", kind, name[:200], path, total=size
    )
    drafting.change(
        send,
        reading=asdict(reading),
        audience=Send.Audience.ROWS,
        tags=[],
        columns=[],
        preflight=None,
    )
    if older and older.path:
        default_storage.delete(older.path)
    if size <= SMALL_BYTES:
        read(send.pk)
        send.refresh_from_db()
        return True
    wake_on_commit("read_audience", send.pk)
    return False


def wake_if_silent(send: Send) -> None:
    """Call a worker again when nobody has been at the list for a while."""
    reading = state_of(send)
    if reading is not None and reading.is_silent:
        wake_on_commit("read_audience", send.pk)


def read(send_pk: int) -> None:
    """Read what the draft's list still has to have read. Safe to call twice."""
    reading = _claim(send_pk)
    if reading is None:
        return
    path = reading.path
    try:
        _read_list(send_pk, reading, Path(default_storage.path(path)))
    except Superseded:
        log.info("reading superseded send_pk=%s", send_pk)
        return
    except BadFile as error:
        _fail(send_pk, reading, error.code, error.params)
    except FileNotFoundError:
        _fail(send_pk, reading, "unreadable", {})
    default_storage.delete(path)


def _claim(send_pk: int) -> Reading | None:
    """Return the reading for this caller to do, None while another one is at it."""
    with transaction.atomic():
        send = _locked(send_pk)
        reading = state_of(send) if send else None
        if reading is None or not reading.is_under_way:
            return None
        if reading.state == "reading" and not reading.is_silent:
            return None
        AudienceRow.objects.filter(send_id=send_pk).delete()
        reading.reader, reading.state = secrets.token_hex(6), "reading"
        reading.rows = reading.problems = reading.done = 0
        reading.examples = []
        _write(send_pk, reading)
    return reading


def _locked(send_pk: int) -> Send | None:
    return (
        Send.objects.select_for_update(of=("self",))
        .filter(pk=send_pk, status=Send.Status.DRAFT)
        .first()
    )


def _write(send_pk: int, reading: Reading, **fields: object) -> None:
    reading.beat = timezone.now().isoformat()
    Send.objects.filter(pk=send_pk).update(reading=asdict(reading), **fields)


def _still_mine(send_pk: int, reading: Reading) -> None:
    send = _locked(send_pk)
    current = state_of(send) if send else None
    if current is None or (current.id, current.reader) != (reading.id, reading.reader):
        raise Superseded


def _fail(send_pk: int, reading: Reading, code: str, params: dict[str, Any]) -> None:
    try:
        with transaction.atomic():
            _still_mine(send_pk, reading)
            AudienceRow.objects.filter(send_id=send_pk).delete()
            reading.state, reading.path, reading.rows = "failed", "", 0
            reading.error, reading.error_params = code, params
            _write(send_pk, reading)
    except Superseded:
        log.info("failure superseded send_pk=%s", send_pk)


# -- what is in it ---------------------------------------------------------------------


def _read_list(send_pk: int, reading: Reading, path: Path) -> None:
    if reading.kind == "paste":
        columns: list[str] = []
        _store(send_pk, reading, _pasted(path, reading))
    else:
        with open_table(path, reading.name) as table:
            reading.total = table.bytes_total
            columns, lines = _table_lines(table.columns, iter(table), reading)

            def counted() -> Iterator[Line]:
                for line in lines:
                    reading.done = table.bytes_done
                    yield line

            _store(send_pk, reading, counted())
    with transaction.atomic():
        _still_mine(send_pk, reading)
        if not reading.rows:
            raise BadFile(
                "only_bad_rows" if reading.problems else "nobody", texts=PROBLEMS
            )
        reading.state, reading.path, reading.done = "done", "", reading.total
        _write(send_pk, reading, columns=columns)


def _store(send_pk: int, reading: Reading, lines: Iterable[Line]) -> None:
    lines = iter(lines)
    while block := list(islice(lines, ROWS_A_BLOCK)):
        with transaction.atomic():
            _still_mine(send_pk, reading)
            insert(send_pk, block)
            reading.rows += len(block)
            _write(send_pk, reading)


def _pasted(path: Path, reading: Reading) -> Iterator[Line]:
    ids = pasted(path.read_text("utf-8"))
    reading.shape = shape_of(ids)
    size, openids = reading.total / (len(ids) or 1), reading.shape == "openid"
    for start in range(0, len(ids), ROWS_A_BLOCK):
        reading.done = round(start * size)
        for row, id_ in enumerate(ids[start : start + ROWS_A_BLOCK], start + 1):
            if len(id_) > MAX_ID:
                _note(reading, row, "too_long", "", id_[:30] + "…")
            elif openids:
                yield Line(row, "", id_, None)
            else:
                yield Line(row, id_, "", None)


def pasted(text: str) -> list[str]:
    """Return the ids in pasted text, in their order: a hundred thousand in a moment."""
    for separator in SEPARATORS:
        text = text.replace(separator, "\n")
    return [id_ for part in text.split("\n") if (id_ := part.strip())]


def shape_of(ids: Sequence[str]) -> Shape:
    """Return what a list of ids looks like: openIDs are 28 characters from "o" on."""
    sample = ids[:1000]
    fitting = sum(bool(OPENID.match(id_)) for id_ in sample)
    return "openid" if sample and fitting > len(sample) / 2 else "userid"


def _table_lines(
    header: Sequence[str], rows: Iterator[tuple[int, list[Cell]]], reading: Reading
) -> tuple[list[str], Iterator[Line]]:
    """Return the names of the variables, and the lines."""
    userid_at = _people_column(header, "userid")
    openid_at = _people_column(header, "wechatoa_openid")
    variables: dict[str, int] = {}
    for at, name in enumerate(header):
        clean = name.replace("{", "").replace("}", "").strip()
        if clean and at not in {userid_at, openid_at}:
            variables.setdefault(clean, at)
    if userid_at < 0 and openid_at < 0:
        raise BadFile("no_people_column", texts=PROBLEMS)
    reading.shape = (
        "both"
        if userid_at >= 0 and openid_at >= 0
        else "userid"
        if userid_at >= 0
        else "openid"
    )
    reading.people_column = ", ".join(
        header[at] for at in (userid_at, openid_at) if at >= 0
    )
    wanted = [userid_at, openid_at, *variables.values()]

    def lines() -> Iterator[Line]:
        for row, cells in rows:
            values: list[str] = []
            for at in wanted:
                cell = cells[at] if 0 <= at < len(cells) else ""
                if isinstance(cell, CellProblem):
                    _note(reading, row, cell.code, header[at], cell.value)
                    break
                # PostgreSQL stores no NUL.
                values.append(cell.replace("\x00", ""))
            else:
                userid, openid, *rest = values
                if not userid and not openid:
                    _note(reading, row, "nobody", "", "")
                elif len(userid) > MAX_ID or len(openid) > MAX_ID:
                    _note(reading, row, "too_long", "", (userid or openid)[:30] + "…")
                else:
                    known = dict(zip(variables, rest, strict=True))
                    yield Line(row, userid, openid, known or None)

    return list(variables), lines()


def _people_column(header: Sequence[str], means: str) -> int:
    """Return where the column is that uploads take for `means`, -1 without one.

    Of several, the one that bears our own name counts; the others stay variables.
    """
    found = [at for at, name in enumerate(header) if meaning(name) == means]
    ours = [at for at in found if header[at].strip().lower() in _OWN_NAMES]
    return (ours or found or [-1])[0]


def _note(reading: Reading, row: int, code: str, column: str, value: str) -> None:
    reading.problems += 1
    if len(reading.examples) < EXAMPLES:
        reading.examples.append([row, code, column, value])


def choose_everyone(send: Send) -> None:
    """Make everyone bound to the channel the draft's audience. Raises WrongState."""
    _forget_list(send, audience=Send.Audience.ALL, tags=[])


def choose_tags(send: Send, tags: Sequence[str]) -> None:
    """Make people with one of the tags the draft's audience. Raises WrongState."""
    _forget_list(send, audience=Send.Audience.TAGS, tags=list(tags))


def _forget_list(send: Send, **fields: object) -> None:
    older = state_of(send)
    with transaction.atomic():
        drafting.change(send, reading=None, columns=[], preflight=None, **fields)
        AudienceRow.objects.filter(send=send).delete()
    if older and older.path:
        default_storage.delete(older.path)
