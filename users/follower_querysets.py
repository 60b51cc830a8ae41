"""Questions about many followers, and how many come in at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db import connections, models
from django.db.models import Exists, OuterRef, Q

if TYPE_CHECKING:
    from .follower_models import Follower  # noqa: F401  # named in quotes below

_NEWER = """
    ON CONFLICT (channel_id, openid) DO UPDATE SET
        followed = excluded.followed, at = excluded.at,
        event_at = COALESCE(excluded.event_at, users_follower.event_at)
    WHERE users_follower.at <= excluded.at
"""
_COLUMNS = "INSERT INTO users_follower (channel_id, openid, followed, at, event_at)"
# How many an insert takes on SQLite: it allows 32,766 parameters.
_AT_ONCE = 5000


class FollowerQuerySet(models.QuerySet["Follower"]):
    def listed(self, channel_pk: int, openids: Sequence[str], at: datetime) -> None:
        """Note that these were on the list that was begun at `at`."""
        # In one order everywhere, so that two workers cannot wait for each other.
        self._note(channel_pk, [(o, True) for o in sorted(openids)], [at], False)

    def heard(
        self, channel_pk: int, events: Iterable[tuple[str, bool, datetime]]
    ) -> None:
        """Note follow and unfollow events: (openid, follows, when). One per openid."""
        rows = sorted(events)
        pairs = [(openid, follows) for openid, follows, _at in rows]
        self._note(channel_pk, pairs, [at for _openid, _follows, at in rows], True)

    def _note(
        self,
        channel_pk: int,
        rows: Sequence[tuple[str, bool]],
        times: Sequence[datetime],
        are_events: bool,
    ) -> None:
        connection = connections[self.db]
        told = [connection.ops.adapt_datetimefield_value(at) for at in times]
        if len(told) == 1:
            told *= len(rows)
        with connection.cursor() as cursor:
            for start in range(0, len(rows), _AT_ONCE):
                part = rows[start : start + _AT_ONCE]
                at = told[start : start + _AT_ONCE]
                openids = [openid for openid, _follows in part]
                follows = [follows for _openid, follows in part]
                event_at = [
                    when if are_events and followed else None
                    for when, followed in zip(at, follows, strict=True)
                ]
                if connection.vendor == "postgresql":
                    cursor.execute(
                        f"{_COLUMNS} SELECT %s, * FROM unnest(%s::text[], %s::bool[],"
                        f" %s::timestamptz[], %s::timestamptz[]) {_NEWER}",
                        [channel_pk, openids, follows, at, event_at],
                    )
                else:
                    cursor.executemany(
                        f"{_COLUMNS} VALUES (%s, %s, %s, %s, %s) {_NEWER}",
                        [
                            (channel_pk, *values)
                            for values in zip(
                                openids, follows, at, event_at, strict=True
                            )
                        ],
                    )

    def following(self, channel_pk: int) -> Self:
        return self.filter(channel=channel_pk, followed=True)

    def unbound(self) -> Self:
        """Whose openID no recipient has."""
        from .models import OpenID  # models imports this module

        mine = OpenID.objects.filter(
            channel=OuterRef("channel"), openid=OuterRef("openid")
        )
        return self.filter(~Exists(mine))

    def new_since(self, last_pk: int, at: datetime) -> Self:
        """Who came after the follower `last_pk`, or followed (again) since `at`."""
        return self.filter(Q(pk__gt=last_pk) | Q(event_at__gte=at))
