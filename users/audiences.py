"""Lists and segments: what may stand on them, storing it, and whom they mean."""

import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from .models import Recipient, Segment, SegmentUser, UserList
from .rows import is_userid

# As many as a call's body may be long for.
USERIDS_AT_MOST: Final = 500_000
ROWS_A_STATEMENT: Final = 5000
# Of what `rows.is_userid` takes.
_ASCII_OF_USERIDS: Final = (
    string.ascii_letters + string.digits + "_@!#$&*+=.|-"
).encode()


class BadUserID(ValueError):
    """`.index` counts from 0."""

    def __init__(self, index: int, userid: object) -> None:
        super().__init__(index, userid)
        self.index, self.userid = index, userid


def checked(userids: Sequence[Any]) -> list[str]:
    """Return the userids, each once, in their order. Raises BadUserID.

    In one pass for all: one by one only to find out which one is wrong.
    """
    if set(map(type, userids)) == {str} and _all_fit(userids):
        return list(dict.fromkeys(userids))
    for index, userid in enumerate(userids):
        if not isinstance(userid, str) or not is_userid(userid):
            raise BadUserID(index, userid)
    return list(dict.fromkeys(userids))


def _all_fit(texts: Sequence[str]) -> bool:
    """Whether all are plain ASCII userids; False also for good ones beyond ASCII."""
    joined = "\n".join(texts)
    if not joined.isascii() or joined.count("\n") != len(texts) - 1:
        return False
    lengths = set(map(len, texts))
    return (
        min(lengths) >= 1
        and max(lengths) <= 64
        and not joined.encode().translate(None, _ASCII_OF_USERIDS + b"\n")
    )


Audience = UserList | Segment


def replace(audience: Audience, userids: Sequence[str]) -> None:
    """Make `userids`, each once and already checked, all that the audience holds."""
    with _alone(audience) as entries:
        entries.all().delete()
        _insert(entries, audience, userids)
        _resize(audience, len(userids))


def put_on(audience: Audience, userids: Sequence[str]) -> int:
    """Add userids, each once and already checked; return how many are new."""
    with _alone(audience) as entries:
        there = set[str]()
        for some in batched(userids):
            found = entries.filter(userid__in=some)
            there.update(found.values_list("userid", flat=True))
        new = [userid for userid in userids if userid not in there]
        _insert(entries, audience, new)
        _resize(audience, _size(audience) + len(new))
    return len(new)


def take_off(audience: Audience, userids: Sequence[str]) -> int:
    """Remove userids; return how many were there."""
    gone: int
    with _alone(audience) as entries:
        gone = sum(
            entries.filter(userid__in=some).delete()[0] for some in batched(userids)
        )
        _resize(audience, _size(audience) - gone)
    return gone


def entries_of(audience: Audience) -> QuerySet[Any]:
    """Return the rows with the userids that the audience holds, by userid: an index."""
    found: QuerySet[Any] = _rows(audience).order_by("userid")
    return found


def batched(userids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut into pieces that a statement takes."""
    for start in range(0, len(userids), ROWS_A_STATEMENT):
        yield userids[start : start + ROWS_A_STATEMENT]


def _rows(audience: Audience) -> Any:
    return audience.entries if isinstance(audience, UserList) else audience.users


@contextmanager
def _alone(audience: Audience) -> Iterator[Any]:
    """Hold the audience; give its rows. Two calls at once: one after the other."""
    with transaction.atomic():
        type(audience)._base_manager.select_for_update().get(pk=audience.pk)
        yield _rows(audience)


def _insert(entries: Any, audience: Audience, userids: Sequence[str]) -> None:
    owner = {entries.field.name: audience}
    entries.model._base_manager.bulk_create(
        (entries.model(**owner, userid=userid) for userid in userids),
        batch_size=ROWS_A_STATEMENT,
    )


def _size(audience: Audience) -> int:
    """As it is now: the row at hand may be older than the lock."""
    if not isinstance(audience, UserList):
        return 0
    return UserList.objects.values_list("size", flat=True).get(pk=audience.pk)


def _resize(audience: Audience, size: int) -> None:
    if isinstance(audience, UserList):
        audience.size = size
        audience.save(update_fields=["size"])


def members(segment: Segment) -> QuerySet[Recipient]:
    """Return the people of a segment: its fixed list, or those its tags choose."""
    fixed = SegmentUser.objects.filter(segment=segment)
    if fixed.exists():
        return Recipient.objects.filter(userid__in=fixed.values("userid"))
    people = Recipient.objects.all()
    if segment.any_tags:
        people = people.filter(pk__in=_with(segment.any_tags))
    for tag in segment.all_tags:
        people = people.filter(pk__in=_with([tag]))
    if segment.none_tags:
        people = people.exclude(pk__in=_with(segment.none_tags))
    return people


def _with(tags: Sequence[str]) -> QuerySet[Recipient, int]:
    return Recipient.objects.filter(tags__name__in=tags).values_list("pk", flat=True)
