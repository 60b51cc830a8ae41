"""What the columns of an upload mean, and what a row of it says, or why it is refused.

Columns: `jums-rest-api` names (`userid`, `bind_id`, `tag`, `phone`, `email`,
`wechatoa_openid`) and what people call them. Those of other kinds of channels are known
and ignored.
"""

import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, Self

from .reasons import BAD_UPLOADS
from .workbooks import BadFile, Cell, CellProblem

MAX_TAGS = 100
MAX_TAG_BYTES = 40

_NAMES = {
    "userid": "userid uid user 用户 用户id 用户编号 用户标识 会员编号",
    "bind_id": "bindid channel channelcode 通道 通道编码 通道代码 绑定id",
    "wechatoa_openid": (
        "wechatoaopenid openid wechatopenid wechatoa 微信openid 公众号openid "
        "微信公众号openid"
    ),
    "tag": "tag tags 标签 用户标签",
    "phone": "phone phonenumber mobile 手机 手机号 手机号码 电话 电话号码 联系电话",
    "email": "email emailaddress mail 邮箱 电子邮箱 邮件 电子邮件 邮箱地址",
}
_MEANINGS = {
    name: meaning for meaning, names in _NAMES.items() for name in names.split()
}

_USERID = re.compile(r"[\w@!#$&*+=.|￥-]+").fullmatch
_OPENID = re.compile(r"o[A-Za-z0-9_-]{27}").fullmatch
_PHONE = re.compile(r"\+?[0-9]{5,20}").fullmatch
_PHONE_PADDING = str.maketrans("", "", " -().\u00a0\u3000（）‐‑–")
_ATOM = r"[^@\s\x00-\x1f\\,;<>]+"
_EMAIL = re.compile(rf"{_ATOM}@{_ATOM}\.{_ATOM}").fullmatch
_BETWEEN_TAGS = re.compile(r"[,;，；、\n]")
# What is good in ASCII, for `Reader.read_all`.
_WORD = f"{string.ascii_letters}{string.digits}_-".encode()
_OF_USERIDS = _WORD + b"@!#$&*+=.|"
_DIGITS = string.digits.encode()


class Person(NamedTuple):
    """One good row. What it does not say is "" or empty."""

    row: int
    userid: str
    channel: int | None
    openid: str
    tags: tuple[str, ...]
    phone: str
    email: str


class People:
    """Good rows, a list for each field of `Person`: far less work than objects."""

    def __init__(
        self,
        rows: list[int],
        userids: list[str],
        channels: list[int | None],
        openids: list[str],
        tags: list[tuple[str, ...]],
        phones: list[str],
        emails: list[str],
    ) -> None:
        self.rows = rows
        self.userids = userids
        self.channels = channels
        self.openids = openids
        self.tags = tags
        self.phones = phones
        self.emails = emails
        fields = (rows, userids, channels, openids, tags, phones, emails)
        self._fields: tuple[list[Any], ...] = fields

    @classmethod
    def of(cls, people: Iterable[Person] = ()) -> Self:
        them = cls([], [], [], [], [], [], [])
        for person in people:
            them.append(person)
        return them

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Yield the fields of each, in the order that `Person` has them."""
        return zip(*self._fields, strict=True)

    def append(self, person: Person) -> None:
        for field, value in zip(self._fields, person, strict=True):
            field.append(value)

    def extend(self, others: "People", start: int, end: int) -> None:
        """Add those of the others that are in these places."""
        for field, more in zip(self._fields, others._fields, strict=True):
            field += more[start:end]


class RowProblem(NamedTuple):
    """Why a row is refused, or a warning; `code` is a key of `reasons.REASONS`."""

    row: int
    userid: str
    code: str
    params: Mapping[str, Any]
    is_warning: bool = False


class _BadTags(Exception):
    """(code, value) of the problem that a cell of tags is."""


def meaning(name: str) -> str:
    """Return which of our columns a header name means, "" for none."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return _MEANINGS.get(re.sub(r"[\s_\-()*]", "", plain), "")


class Columns:
    """Where in a row each of our columns is."""

    def __init__(self, names: Sequence[str]) -> None:
        """Raises BadFile when the names do not make a list of users."""
        self.pairs = [(name[:100], meaning(name)) for name in names]
        places: dict[str, int] = {}
        for at, (name, means) in enumerate(self.pairs):
            if means in places:
                pair = f"“{names[places[means]]}”, “{name}”"
                raise BadFile("double_meaning", {"found": pair[:200]}, BAD_UPLOADS)
            if means:
                places[means] = at
        if "userid" not in places:
            found = ", ".join(name for name in names if name)[:200]
            code = "no_userid" if places else "no_header"
            raise BadFile(code, {"found": found}, BAD_UPLOADS)
        self.places = places

    @property
    def only_userid(self) -> bool:
        return set(self.places) == {"userid"}


class Reader:
    """Turns the cells of rows into people."""

    def __init__(
        self,
        columns: Columns,
        channel: int | None,
        channels: Mapping[str, int],
    ) -> None:
        """`channel` is where openIDs go without a bind_id; `channels` {code: id}."""
        self._names = [name for name, _means in columns.pairs]
        self._channel = channel
        self._channels = channels
        self._by_bind_id = {**channels, "": channel, "all": channel}
        places = columns.places
        self._userid = places["userid"]
        self._bind_id = places.get("bind_id")
        self._openid = places.get("wechatoa_openid")
        self._tag = places.get("tag")
        self._phone = places.get("phone")
        self._email = places.get("email")
        self._places = list(places.values())

    def read_all(
        self, rows: Sequence[int], columns: Sequence[list[str]]
    ) -> People | None:
        """Return what many rows say; None when `read` must look at each.

        That is so when one may be bad, and when one is written in a way that few are.
        """
        nothing = [""] * len(rows)

        def column(at: int | None) -> list[str]:
            return nothing if at is None else columns[at]

        userids, openids = columns[self._userid], column(self._openid)
        phones, emails = column(self._phone), column(self._email)
        if (
            "" in userids
            or len(max(userids, key=len)) > 64
            or not _only_has(userids, _OF_USERIDS)
            or not _are_openids(given := _given(openids))
            or not _are_phones(_given(phones))
            or not all(map(is_email, _given(emails)))
        ):
            return None
        channels: list[int | None] = [self._channel] * len(rows)
        if self._bind_id is not None:
            bind_ids = columns[self._bind_id]
            found = set(bind_ids)
            if not found <= self._by_bind_id.keys() or ("all" in found and given):
                return None
            channels = [self._by_bind_id[bind_id] for bind_id in bind_ids]
        if given and None in channels:
            return None
        try:
            tags = [*map(_tags, column(self._tag))]
        except _BadTags:
            return None
        return People([*rows], userids, channels, openids, tags, phones, emails)

    def read(self, row: int, cells: list[Cell]) -> Person | RowProblem:
        if CellProblem in map(type, cells):
            for at in self._places:
                if isinstance(cells[at], CellProblem):
                    return self._spoiled(row, cells, at)
            if not cells[self._userid] and isinstance(cells[0], CellProblem):
                # A cell far outside the table, alone in its row.
                return self._spoiled(row, cells, 0)
        return self._person(row, cells)  # type: ignore[arg-type]  # looked at just now

    def _spoiled(self, row: int, cells: list[Cell], at: int) -> RowProblem:
        problem, userid = cells[at], cells[self._userid]
        assert isinstance(problem, CellProblem)
        return RowProblem(
            row,
            _visible(userid) if isinstance(userid, str) else "",
            problem.code,
            {"column": self._names[at], "value": _visible(problem.value)},
        )

    def _person(self, row: int, cells: list[str]) -> Person | RowProblem:
        userid = cells[self._userid]
        if not userid:
            return RowProblem(row, "", "userid_missing", {})
        if len(userid) > 64:
            return RowProblem(row, userid[:64], "userid_too_long", {})
        if not _USERID(userid):
            shown = _visible(userid)
            return RowProblem(row, shown, "userid_characters", {"value": shown})

        openid = cells[self._openid] if self._openid is not None else ""
        bind_id = cells[self._bind_id] if self._bind_id is not None else ""
        channel = self._channel
        if bind_id == "all":
            if openid:
                return _bad(row, userid, "openid_for_all")
        elif bind_id:
            channel = self._channels.get(bind_id)
            if channel is None:
                return _bad(row, userid, "unknown_channel", bind_id)
        if openid:
            if not _OPENID(openid):
                return _bad(row, userid, "openid_shape", openid)
            if channel is None:
                return _bad(row, userid, "no_channel")
        phone = email = ""
        tags: tuple[str, ...] = ()
        if self._phone is not None and (text := cells[self._phone]):
            phone = text if _PHONE(text) else text.translate(_PHONE_PADDING)
            if not _PHONE(phone):
                return _bad(row, userid, "phone_shape", text)
        if self._email is not None:
            email = cells[self._email]
            if email and not is_email(email):
                return _bad(row, userid, "email_shape", email)
        if self._tag is not None and (text := cells[self._tag]):
            try:
                tags = _tags(text)
            except _BadTags as bad:
                return _bad(row, userid, *bad.args)
        return Person(row, userid, channel, openid, tags, phone, email)


def _given(texts: list[str]) -> list[str]:
    return [*filter(None, texts)] if "" in texts else texts


def _only_has(texts: list[str], characters: bytes) -> bool:
    """Whether the texts, of which there are some, are of these characters alone."""
    joined = "\n".join(texts)
    if not joined.isascii():
        return False
    # A line feed of a text's own is one too many.
    return joined.encode().translate(None, characters) == b"\n" * (len(texts) - 1)


def _are_openids(texts: list[str]) -> bool:
    return not texts or (
        {*map(len, texts)} == {28}
        and {*map(itemgetter(0), texts)} == {"o"}
        and _only_has(texts, _WORD)
    )


def _are_phones(texts: list[str]) -> bool:
    """Whether they may be kept as they are."""
    return (
        not texts
        or (
            _only_has(texts, _DIGITS)
            and min(lengths := {*map(len, texts)}) >= 5
            and max(lengths) <= 20
        )
        or all(map(_PHONE, texts))
    )


def _bad(row: int, userid: str, code: str, value: str = "") -> RowProblem:
    return RowProblem(row, userid, code, {"value": _visible(value[:60])})


@lru_cache(maxsize=1024)  # a few lists of tags stand in very many rows
def _tags(text: str) -> tuple[str, ...]:
    """Return the tags that a cell lists. Raises _BadTags."""
    found = dict.fromkeys(part.strip() for part in _BETWEEN_TAGS.split(text))
    found.pop("", None)
    if len(found) > MAX_TAGS:
        raise _BadTags("too_many_tags")
    for tag in found:
        if not is_tag(tag):
            raise _BadTags("tag_shape", tag)
    return tuple(found)


def is_tag(text: str) -> bool:
    """Whether `text` may be a tag: at most 40 bytes of the allowed characters."""
    return bool(_USERID(text)) and len(text.encode()) <= MAX_TAG_BYTES


def is_userid(text: str) -> bool:
    return len(text) <= 64 and bool(_USERID(text))


def is_openid(text: str) -> bool:
    """Whether `text` has the shape that every account's openIDs have."""
    return bool(_OPENID(text))


def is_email(text: str) -> bool:
    return len(text) <= 254 and bool(_EMAIL(text))


def plain_phone(text: str) -> str | None:
    """Return a phone number's digits (with a leading +), None when it is none."""
    phone = text.translate(_PHONE_PADDING)
    return phone if _PHONE(phone) else None


def _visible(text: str) -> str:
    """Return `text` fit for a report: no NUL, which no database or sheet takes."""
    return "".join(char if char.isprintable() else "�" for char in text)[:64]
