"""Lists and segments: what may stand on them, storing it, and whom they mean."""

import string
from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from .models import Recipient, Segment, SegmentUser, UserList, UserListEntry
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


def fill_list(user_list: UserList, userids: Sequence[str]) -> None:
    """Make `userids`, each once and already checked, all that is on the list."""
    with transaction.atomic():
        # Two calls at once: the later one's ids, not a mixture.
        UserList.objects.select_for_update().get(pk=user_list.pk)
        user_list.entries.all().delete()
        UserListEntry.objects.bulk_create(
            (UserListEntry(list=user_list, userid=userid) for userid in userids),
            batch_size=ROWS_A_STATEMENT,
        )


def fill_segment(segment: Segment, userids: Sequence[str]) -> None:
    """Make `userids`, each once and already checked, the segment's fixed list."""
    with transaction.atomic():
        Segment.objects.select_for_update().get(pk=segment.pk)
        segment.users.all().delete()
        SegmentUser.objects.bulk_create(
            (SegmentUser(segment=segment, userid=userid) for userid in userids),
            batch_size=ROWS_A_STATEMENT,
        )


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
