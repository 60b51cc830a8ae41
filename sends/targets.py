"""From the targets of a request to the lines of an audience, set-wise."""

import json
from collections.abc import Sequence

from django.db import connection
from django.db.models import QuerySet

from users.audiences import members
from users.models import Recipient, Segment

from .models import AudienceRow, GivenIDs, Send
from .requested import Targets
from .staging import insert_userids


def kind_of(audience: Targets) -> Send.Audience:
    """Return what kind of audience a send to these targets has: whom tags and segments
    mean is looked up at once, and becomes lines."""
    grouped = audience.tags or audience.segment is not None
    return Send.Audience.ROWS if grouped else Send.Audience.IDS


def keep(send: Send, kind: GivenIDs.Kind, ids: Sequence[str]) -> None:
    """Give the send these ids, each a line of its audience.

    Unknown userids stay: they become skipped deliveries with that reason.
    """
    # Not by the ORM, which takes as long as the database.
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sends_givenids (send_id, kind, ids) VALUES (%s, %s, %s)",
            [send.pk, kind, json.dumps(ids, ensure_ascii=False)],
        )


def stage_users(
    send: Send,
    userids: Sequence[str],
    tags: Sequence[str],
    bind: str,
    segment: Segment | None,
) -> None:
    """Give the send the union of userids, tags and segment, each person once.

    Unknown userids stay here, too."""
    insert_userids(send.pk, userids)
    if tags:
        _add(send, tagged(tags, bind))
    if segment is not None:
        _add(send, members(segment))


def tagged(tags: Sequence[str], bind: str) -> QuerySet[Recipient]:
    """Return people with one of the tags under `bind` (a ChannelKey).

    Of a tag that this business channel does not have at all, those under "all" count.
    """
    own = set(
        Recipient.objects.filter(tags__name__in=tags, tags__bind=bind)
        .values_list("tags__name", flat=True)
        .distinct()
    ) & set(tags)
    people = Recipient.objects.filter(tags__name__in=own, tags__bind=bind)
    if others := set(tags) - own:
        people |= Recipient.objects.filter(tags__name__in=others, tags__bind="all")
    return people


def _add(send: Send, people: QuerySet[Recipient]) -> None:
    """Add people who are not among the send's lines yet, in one statement."""
    staged = AudienceRow.objects.filter(send=send).values("userid")
    chosen = people.exclude(userid__in=staged).order_by().values("userid").distinct()
    select, parameters = chosen.query.sql_with_params()
    sql = f"""
        INSERT INTO sends_audiencerow (send_id, "row", userid, openid)
        SELECT %s, 0, chosen.userid, '' FROM ({select}) AS chosen ORDER BY chosen.userid
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [send.pk, *parameters])
