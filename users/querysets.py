"""Questions about many recipients and uploads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from django.db import connections, models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from channels_wechat.querysets import Lockable

if TYPE_CHECKING:
    from .models import Recipient, Upload  # noqa: F401  # named in quotes below

# An upload that said nothing for so long has lost its worker.
SILENCE = timedelta(seconds=60)
# A file that ended so many workers will end the next one too.
MAX_ATTEMPTS = 5


class Page(NamedTuple):
    """Some recipients, newest first or by userid, and whether there are more on either
    side."""

    people: Sequence[Any]  # of Recipient
    newer: bool
    older: bool


class RecipientQuerySet(Lockable["Recipient"]):
    def matching(self, text: str) -> Self:
        """Whose userid begins with `text`, or who has it as an openID. By index."""
        from .models import OpenID  # models imports this module

        if connections[self.db].vendor == "sqlite":
            # A range: SQLite uses no index for the LIKE that startswith becomes.
            begins = Q(userid__gte=text, userid__lt=text + "\U0010ffff")
        else:
            begins = Q(userid__startswith=text)
        has = OpenID.objects.filter(openid=text).values_list("recipient", flat=True)
        # Hardly ever anybody. As a subquery it would keep the userids' index from use.
        return self.filter(begins | Q(pk__in=pks) if (pks := list(has)) else begins)

    def tagged(self, name: str) -> Self:
        from .models import RecipientTag  # models imports this module

        mine = RecipientTag.objects.filter(name=name, recipient=OuterRef("pk"))
        return self.filter(Exists(mine))

    def bound_to(self, channel_pk: int) -> Self:
        """Who has an openID at the channel."""
        from .models import OpenID  # models imports this module

        mine = OpenID.objects.filter(channel=channel_pk, recipient=OuterRef("pk"))
        return self.filter(Exists(mine))

    def page(self, before: int | None, after: int | None, size: int) -> Page:
        """The newest `size` recipients older than `before`, or the next after `after`.

        By the primary key and without counting: page 1 and page 100,000 cost the same.
        """
        if after is not None:
            found = list(self.filter(pk__gt=after).order_by("pk")[: size + 1])
            people = found[:size][::-1]
            return Page(people, newer=len(found) > size, older=bool(people))
        older = self if before is None else self.filter(pk__lt=before)
        found = list(older.order_by("-pk")[: size + 1])
        return Page(found[:size], newer=before is not None, older=len(found) > size)

    def matching_page(
        self, text: str, before: int | None, after: int | None, size: int
    ) -> Page:
        """The same of those who match `text`, by userid: the index that finds them has
        them in this order, so that only those on the page are read."""
        # PostgreSQL's index for LIKE is by bytes, whatever the database's language.
        by_bytes = connections[self.db].vendor == "postgresql"
        place = before if after is None else after
        beside = place and self.model._default_manager.filter(pk=place).first()
        back = after is not None and bool(beside)
        matching = self.matching(text).order_by().values("pk")
        sql, parameters = matching.query.sql_with_params()
        if beside:
            than = "<" if back else ">"
            than = f"~{than}~" if by_bytes else than
            sql += f" AND users_recipient.userid {than} %s"
            parameters += (beside.userid,)
        if by_bytes:
            order = "USING ~>~" if back else "USING ~<~"
        else:
            order = "DESC" if back else "ASC"
        sql += f" ORDER BY users_recipient.userid {order} LIMIT {size + 1:d}"
        with connections[self.db].cursor() as cursor:
            cursor.execute(sql, parameters)
            pks = [pk for (pk,) in cursor.fetchall()]
        people = self.in_bulk(pks[:size])
        found = [people[pk] for pk in pks if pk in people]
        if back:
            return Page(found[::-1], newer=len(pks) > size, older=bool(found))
        return Page(found, newer=bool(beside), older=len(pks) > size)

    def with_bindings(self) -> Self:
        """With their tags and openIDs at hand, two queries for all of them."""
        return self.prefetch_related("tags", "openids__channel")


class UploadQuerySet(models.QuerySet["Upload"]):
    def waiting(self, at: datetime | None = None) -> Self:
        """Those that nobody works on: queued, or left by a worker that went silent."""
        silent = (at or timezone.now()) - SILENCE
        return self.filter(
            Q(status="queued") | Q(status="running", heartbeat_at__lt=silent)
        )

    def forgotten(self, at: datetime | None = None) -> Self:
        """Previews that nobody started for a day."""
        return self.filter(
            status="preview", created_at__lt=(at or timezone.now()) - timedelta(days=1)
        )
