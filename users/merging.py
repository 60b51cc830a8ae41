"""Blocks of rows into the tables of users: staged, then merged in a few statements.

The same SQL on PostgreSQL and SQLite; only the way into the temporary table differs
(COPY, executemany). Statements touch changed rows only and go through them in one
order, so that two imports at a time wait for each other and do not deadlock.
"""

import io
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from .models import OpenID, Recipient, RecipientTag
from .rows import Person, RowProblem

_TABLES = {
    "upload_people": "row_no bigint, userid text, phone text, email text, tagged int",
    "upload_openids": "row_no bigint, userid text, channel_id bigint, openid text",
    "upload_tags": "userid text, name text",
}
# For SQLite, which would look through the whole table for each row. PostgreSQL hashes.
_KEYS = {
    "upload_people": "userid",
    "upload_openids": "userid, channel_id",
    "upload_tags": "userid, name",
}


def merge(people: Sequence[Person], mode: str) -> list[RowProblem]:
    """Set, add or delete what the rows say; return the warnings.

    "set" and "add" differ in tags alone: replaced or added to.

    Of rows with the same userid the later one counts. Must run in a transaction.
    """
    with connection.cursor() as cursor:
        has_tags = _stage(cursor, people, union_tags=mode != "set")
        # As the ORM writes it: SQLite keeps times as text.
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        if mode == "del":
            warnings = _not_there(cursor)
            _delete_values(cursor, now)
            return warnings
        _set_people(cursor, now)
        _set_openids(cursor, now)
        if has_tags and mode == "set":
            _drop_other_tags(cursor)
        if has_tags:
            _add_tags(cursor)
        return []


def remove(people: Sequence[Person]) -> list[RowProblem]:
    """Delete the recipients themselves, with openIDs and tags; return the warnings.

    Past deliveries keep the userid as text. Must run in a transaction.
    """
    userids = list(dict.fromkeys(person.userid for person in people))
    found = dict(
        Recipient.objects.filter(userid__in=userids)
        .order_by("pk")
        .values_list("userid", "pk")
    )
    gone = list(found.values())
    OpenID.objects.filter(recipient__in=gone).delete()
    RecipientTag.objects.filter(recipient__in=gone).delete()
    Recipient.objects.filter(pk__in=gone).delete()
    return [
        RowProblem(person.row, person.userid, "unknown_userid", {}, is_warning=True)
        for person in {person.userid: person for person in people}.values()
        if person.userid not in found
    ]


# -- staging ---------------------------------------------------------------------------


def _stage(cursor: CursorWrapper, people: Sequence[Person], union_tags: bool) -> bool:
    """Fill the temporary tables; in each, a key comes once. Return whether anybody has
    a tag."""
    persons: dict[str, list[Any]] = {}
    openids: dict[tuple[int, str], tuple[Any, ...]] = {}
    tags: dict[str, dict[str, None]] = {}
    for person in people:
        userid = person.userid
        staged = persons.get(userid)
        if staged is None:
            staged = persons[userid] = [person.row, userid, "", "", 0]
        if person.phone:
            staged[2] = person.phone
        if person.email:
            staged[3] = person.email
        if person.tags:
            staged[4] = 1
            if union_tags and userid in tags:
                tags[userid].update(dict.fromkeys(person.tags))
            else:
                tags[userid] = dict.fromkeys(person.tags)
        if person.openid and person.channel is not None:
            openids[person.channel, userid] = (
                person.row,
                userid,
                person.channel,
                person.openid,
            )
    _fill(cursor, "upload_people", persons.values())
    _fill(cursor, "upload_openids", openids.values())
    _fill(
        cursor,
        "upload_tags",
        [(userid, name) for userid, names in tags.items() for name in names],
    )
    return bool(tags)


def _fill(cursor: CursorWrapper, table: str, rows: Iterable[Sequence[Any]]) -> None:
    rows = list(rows)
    is_postgres = connection.vendor == "postgresql"
    columns = _TABLES[table]
    if not is_postgres:
        columns += f", PRIMARY KEY ({_KEYS[table]})"
    cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({columns})")
    # Nothing vacuums a temporary table: deleted rows would be read again and again.
    cursor.execute(f"TRUNCATE {table}" if is_postgres else f"DELETE FROM {table}")
    if not rows:
        return
    if is_postgres:
        # No escaping: `rows.py` lets no tab, backslash or line break through.
        text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
        cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO(text))
        cursor.execute(f"ANALYZE {table}")
    else:
        marks = ", ".join(["%s"] * len(rows[0]))
        cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


# -- set -------------------------------------------------------------------------------

_INSERT_PEOPLE = """
    INSERT INTO users_recipient (userid, phone, email, created_at, updated_at)
    SELECT userid, phone, email, %s, %s FROM upload_people WHERE true ORDER BY userid
    ON CONFLICT (userid) DO UPDATE SET
"""
_INSERT_OPENIDS = """
    INSERT INTO users_openid
        (channel_id, recipient_id, openid, followed, followed_at, updated_at)
    SELECT s.channel_id, r.id, s.openid, f.followed, f.at, %s
    FROM upload_openids s JOIN users_recipient r ON r.userid = s.userid
    LEFT JOIN users_follower f
        ON f.channel_id = s.channel_id AND f.openid = s.openid
    WHERE true ORDER BY r.id, s.channel_id
    ON CONFLICT (channel_id, recipient_id)
"""


def _set_people(cursor: CursorWrapper, now: Any) -> None:
    cursor.execute(
        _INSERT_PEOPLE
        + """
            phone = CASE WHEN excluded.phone <> '' THEN excluded.phone
                    ELSE users_recipient.phone END,
            email = CASE WHEN excluded.email <> '' THEN excluded.email
                    ELSE users_recipient.email END,
            updated_at = excluded.updated_at
        WHERE excluded.phone NOT IN ('', users_recipient.phone)
           OR excluded.email NOT IN ('', users_recipient.email)
        """,
        [now, now],
    )


def _set_openids(cursor: CursorWrapper, now: Any) -> None:
    # Whether a new openID follows is known only if an event or a list said so.
    cursor.execute(
        _INSERT_OPENIDS
        + """ DO UPDATE SET openid = excluded.openid,
            followed = excluded.followed, followed_at = excluded.followed_at,
            updated_at = excluded.updated_at
        WHERE users_openid.openid <> excluded.openid
        """,
        [now],
    )


def _drop_other_tags(cursor: CursorWrapper) -> None:
    cursor.execute(
        """
        DELETE FROM users_recipienttag WHERE id IN (
            SELECT t.id FROM upload_people s
            JOIN users_recipient r ON r.userid = s.userid
            JOIN users_recipienttag t ON t.recipient_id = r.id AND t.bind = 'all'
            WHERE s.tagged = 1 AND NOT EXISTS (
                SELECT 1 FROM upload_tags n
                WHERE n.userid = s.userid AND n.name = t.name))
        """
    )


def _add_tags(cursor: CursorWrapper) -> None:
    cursor.execute(
        """
        INSERT INTO users_recipienttag (recipient_id, bind, name)
        SELECT r.id, 'all', s.name
        FROM upload_tags s JOIN users_recipient r ON r.userid = s.userid
        WHERE true ORDER BY r.id, s.name
        ON CONFLICT (recipient_id, bind, name) DO NOTHING
        """
    )


def _warnings(cursor: CursorWrapper) -> list[RowProblem]:
    return [
        RowProblem(row, userid, code, {}, is_warning=True)
        for row, userid, code in cursor.fetchall()
    ]


# -- delete ----------------------------------------------------------------------------


def _not_there(cursor: CursorWrapper) -> list[RowProblem]:
    cursor.execute(
        """
        SELECT s.row_no, s.userid, 'unknown_userid' FROM upload_people s
        LEFT JOIN users_recipient r ON r.userid = s.userid WHERE r.id IS NULL
        UNION ALL
        SELECT s.row_no, s.userid, 'openid_differs' FROM upload_openids s
        JOIN users_recipient r ON r.userid = s.userid
        JOIN users_openid o ON o.recipient_id = r.id AND o.channel_id = s.channel_id
        WHERE o.openid <> s.openid
        ORDER BY 1
        """
    )
    return _warnings(cursor)


def _delete_values(cursor: CursorWrapper, now: Any) -> None:
    """Delete openIDs, tags, phones and emails that are exactly as the rows say."""
    cursor.execute(
        """
        DELETE FROM users_openid WHERE id IN (
            SELECT o.id FROM upload_openids s
            JOIN users_recipient r ON r.userid = s.userid
            JOIN users_openid o ON o.recipient_id = r.id
                AND o.channel_id = s.channel_id AND o.openid = s.openid)
        """
    )
    cursor.execute(
        """
        DELETE FROM users_recipienttag WHERE id IN (
            SELECT t.id FROM upload_tags s
            JOIN users_recipient r ON r.userid = s.userid
            JOIN users_recipienttag t
                ON t.recipient_id = r.id AND t.name = s.name AND t.bind = 'all')
        """
    )
    for column in ("phone", "email"):
        cursor.execute(
            f"""
            UPDATE users_recipient SET {column} = '', updated_at = %s WHERE id IN (
                SELECT r.id FROM upload_people s
                JOIN users_recipient r ON r.userid = s.userid
                WHERE s.{column} <> '' AND r.{column} = s.{column})
            """,
            [now],
        )
