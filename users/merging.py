"""Blocks of rows into the tables of users, in a few statements.

Who is new in a block is copied straight into the tables: nobody else sees a recipient
before the block is committed, so there is nothing to merge with. All others are staged
and merged, by the same SQL on PostgreSQL and SQLite. Statements touch changed rows only
and go through them in one order, so that two imports at a time wait for each other and
do not deadlock.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from channels_wechat.models import Channel

from .models import Follower, OpenID, Recipient, RecipientTag
from .rows import People, RowProblem

_TABLES = {
    "upload_people": "userid text, phone text, email text",
    "upload_openids": "recipient_id bigint, channel_id bigint, openid text,"
    " PRIMARY KEY (recipient_id, channel_id)",
    "upload_tags": "recipient_id bigint, name text, PRIMARY KEY (recipient_id, name)",
}

# Of so many people of a block, one is looked for before they are copied.
_PEOPLE_A_PROBE = 20


def merge(block: "Block") -> list[RowProblem]:
    """Set, add or delete what the rows say; return the warnings.

    "set" and "add" differ in tags alone: replaced or added to. Must run in a
    transaction.
    """
    mode = block.mode
    # As the ORM writes it: SQLite keeps times as text.
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # A block is a small part of the tables, and finds it by index. Without
            # statistics, which a staged table never has and the others lack at first,
            # the planner may not see that.
            cursor.execute(
                "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
                " SET LOCAL enable_seqscan = off; SET LOCAL enable_material = off;"
                " SET LOCAL jit = off"
            )
        if mode == "del":
            _stage(cursor, "upload_people", block.people.values())
            return _delete_values(cursor, block, _find_people(cursor), now)
        channels = {channel for _userid, channel in block.openids}
        Channel.objects.keep(channels)
        if connection.vendor == "postgresql" and (
            pks := _copy_people(cursor, block, str(now))
        ):
            # Whether an openID follows is known only if an event or a list said so.
            if Follower.objects.filter(channel__in=channels).exists():
                _set_openids(cursor, block, pks, now)
            else:
                _copy_openids(cursor, block, pks, str(now))
            _copy_tags(cursor, block, pks)
        else:
            _stage(cursor, "upload_people", block.people.values())
            known = _set_people(cursor, now)
            _set_openids(cursor, block, known, now)
            _set_tags(cursor, block, known, replaces=mode == "set")
        return []


def remove(people: People) -> list[RowProblem]:
    """Delete the recipients themselves, with openIDs and tags; return the warnings.

    Past deliveries keep the userid as text. Must run in a transaction.
    """
    # Of a userid that comes twice, the place of the first and the row of the last.
    rows = dict(zip(people.userids, people.rows, strict=True))
    found = dict(
        Recipient.objects.filter(userid__in=list(rows))
        .select_for_update()
        .order_by("pk")
        .values_list("userid", "pk")
    )
    gone = list(found.values())
    OpenID.objects.filter(recipient__in=gone).delete()
    RecipientTag.objects.filter(recipient__in=gone).delete()
    Recipient.objects.filter(pk__in=gone).delete()
    return [
        RowProblem(row, userid, "unknown_userid", {}, is_warning=True)
        for userid, row in rows.items()
        if userid not in found
    ]


# -- staging ---------------------------------------------------------------------------


class Block(NamedTuple):
    """What rows say, put together by person."""

    mode: str
    people: dict[str, tuple[str, str, str]]
    """{userid: (userid, phone, email)}, in the order of the userids"""
    rows: dict[str, int]
    """{userid: its first row}"""
    openids: dict[tuple[str, int], tuple[int, str]]
    """{(userid, channel): (row, openid)}"""
    tags: dict[str, tuple[str, ...]]


def gather(people: People, mode: str) -> Block:
    """Put rows together; of those with the same userid the later one counts.

    Needs no connection: the database may merge another block meanwhile.
    """
    userids = people.userids
    if len(set(userids)) < len(userids):
        return _gather_one_by_one(people, mode)
    persons = dict(
        zip(
            userids,
            zip(userids, people.phones, people.emails, strict=True),
            strict=True,
        )
    )
    openids = dict(
        zip(
            zip(userids, people.channels, strict=True),
            zip(people.rows, people.openids, strict=True),
            strict=True,
        )
    )
    if "" in people.openids:
        openids = {key: value for key, value in openids.items() if value[1]}
    return Block(
        mode,
        {userid: persons[userid] for userid in sorted(userids)},
        dict(zip(userids, people.rows, strict=True)),
        openids,  # type: ignore[arg-type]  # `rows` lets no openID without a channel pass
        {
            userid: names
            for userid, names in zip(userids, people.tags, strict=True)
            if names
        },
    )


def _gather_one_by_one(people: People, mode: str) -> Block:
    persons: dict[str, tuple[str, str, str]] = {}
    rows: dict[str, int] = {}
    openids: dict[tuple[str, int], tuple[int, str]] = {}
    tags: dict[str, tuple[str, ...]] = {}
    for row, userid, channel, openid, names, phone, email in people:
        if userid in persons:
            _userid, phone_before, email_before = persons[userid]
            phone, email = phone or phone_before, email or email_before
            if names and mode != "set" and userid in tags:
                names = tuple(dict.fromkeys(tags[userid] + names))
        else:
            rows[userid] = row
        persons[userid] = (userid, phone, email)
        if names:
            tags[userid] = names
        if openid and channel is not None:
            openids[userid, channel] = (row, openid)
    in_order = {userid: persons[userid] for userid in sorted(persons)}
    return Block(mode, in_order, rows, openids, tags)


def _stage(cursor: CursorWrapper, table: str, rows: Iterable[Sequence[Any]]) -> bool:
    """Fill a temporary table, in which a key comes once; return whether it has rows."""
    rows = list(rows)
    if not rows:
        return False
    cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({_TABLES[table]})")
    if connection.vendor == "postgresql":
        # Nothing vacuums a temporary table: deleted rows would be read again and again.
        cursor.execute(f"TRUNCATE {table}")
        _copy(cursor, table, ["\t".join(map(str, row)) for row in rows])
    else:
        cursor.execute(f"DELETE FROM {table}")
        marks = ", ".join(["%s"] * len(rows[0]))
        cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    return True


def _copy(cursor: CursorWrapper, into: str, lines: list[str]) -> None:
    """Copy rows into a table of PostgreSQL; tabs part their columns.

    No escaping: `rows.py` lets no tab, backslash or line break through.
    """
    if lines:
        with connection.wrap_database_errors:
            cursor.copy_expert(f"COPY {into} FROM STDIN", io.StringIO("\n".join(lines)))


def _find_people(cursor: CursorWrapper) -> dict[str, int]:
    """Return {userid: pk} of those staged people that there are."""
    # CROSS: SQLite then takes the tables in this order, and not the large one first.
    cursor.execute(
        """
        SELECT s.userid, r.id FROM upload_people s CROSS JOIN users_recipient r
        WHERE r.userid = s.userid
        """
    )
    return dict(cursor.fetchall())


# -- set -------------------------------------------------------------------------------

_SET_PEOPLE = """
    INSERT INTO users_recipient (userid, phone, email, created_at, updated_at)
    SELECT userid, phone, email, %s, %s FROM upload_people WHERE true ORDER BY {order}
    ON CONFLICT (userid) DO UPDATE SET
        phone = CASE WHEN excluded.phone <> '' THEN excluded.phone
                ELSE users_recipient.phone END,
        email = CASE WHEN excluded.email <> '' THEN excluded.email
                ELSE users_recipient.email END,
        updated_at = excluded.updated_at
    WHERE excluded.phone NOT IN ('', users_recipient.phone)
       OR excluded.email NOT IN ('', users_recipient.email)
"""
_SET_OPENIDS = """
    INSERT INTO users_openid
        (channel_id, recipient_id, openid, followed, followed_at, updated_at)
    SELECT s.channel_id, s.recipient_id, s.openid, f.followed, f.at, %s
    FROM upload_openids s LEFT JOIN users_follower f
        ON f.channel_id = s.channel_id AND f.openid = s.openid
    WHERE true ORDER BY s.recipient_id, s.channel_id
    ON CONFLICT (channel_id, recipient_id) DO UPDATE SET openid = excluded.openid,
        followed = excluded.followed, followed_at = excluded.followed_at,
        updated_at = excluded.updated_at
    WHERE users_openid.openid <> excluded.openid
"""


def _copy_people(cursor: CursorWrapper, block: Block, now: str) -> dict[str, str]:
    """Copy the people where none of the block is known; return {userid: pk}.

    Return {} with nothing done when somebody is, or is being added by somebody else.
    """
    # The copying finds out, but in vain where many are known. Some tell that as well.
    cursor.execute(
        "SELECT EXISTS (SELECT 1 FROM users_recipient WHERE userid = ANY(%s))",
        [list(block.people)[::_PEOPLE_A_PROBE]],
    )
    if cursor.fetchone()[0]:
        return {}
    # To hand out the numbers ourselves spares to read them back.
    cursor.execute(
        """
        SELECT string_agg(nextval(s.name)::text, ' ')
        FROM (SELECT pg_get_serial_sequence('users_recipient', 'id')::regclass AS name
              OFFSET 0) s, generate_series(1, %s)
        """,
        [len(block.people)],
    )
    pks = cursor.fetchone()[0].split()
    lines = [
        f"{pk}\t{userid}\t{phone}\t{email}\t{now}\t{now}"
        for pk, (userid, phone, email) in zip(pks, block.people.values(), strict=True)
    ]
    try:
        with transaction.atomic():
            _copy(
                cursor,
                "users_recipient (id, userid, phone, email, created_at, updated_at)",
                lines,
            )
    except IntegrityError:
        # Nothing of it is locked any more: now all are taken in their order.
        return {}
    return dict(zip(block.people, pks, strict=True))


def _set_people(cursor: CursorWrapper, now: Any) -> dict[str, int]:
    """Return {userid: pk} of the people.

    PostgreSQL keeps the row of each of them locked until the end of the transaction.
    """
    order = "userid"
    if connection.vendor == "postgresql":
        # As they are staged: to sort by the rules of a language takes much longer.
        order += ' COLLATE "C"'
    cursor.execute(_SET_PEOPLE.format(order=order), [now, now])
    return _find_people(cursor)


def _set_openids(
    cursor: CursorWrapper,
    block: Block,
    known: Mapping[str, int] | Mapping[str, str],
    now: Any,
) -> None:
    if _stage(cursor, "upload_openids", _openids(block, known)):
        cursor.execute(_SET_OPENIDS, [now])


def _set_tags(
    cursor: CursorWrapper, block: Block, known: Mapping[str, int], *, replaces: bool
) -> None:
    if not _stage(cursor, "upload_tags", _tags(block, known)):
        return
    if replaces:
        cursor.execute(
            """
            DELETE FROM users_recipienttag WHERE id IN (
                SELECT t.id FROM (SELECT DISTINCT recipient_id FROM upload_tags) s
                CROSS JOIN users_recipienttag t
                WHERE t.recipient_id = s.recipient_id AND t.bind = 'all'
                    AND NOT EXISTS (
                        SELECT 1 FROM upload_tags n
                        WHERE n.recipient_id = t.recipient_id AND n.name = t.name))
            """
        )
    cursor.execute(
        """
        INSERT INTO users_recipienttag (recipient_id, bind, name)
        SELECT recipient_id, 'all', name FROM upload_tags
        WHERE true ORDER BY recipient_id, name
        ON CONFLICT (recipient_id, bind, name) DO NOTHING
        """
    )


def _openids(
    block: Block, pks: Mapping[str, int] | Mapping[str, str]
) -> Iterator[tuple[int | str, int, str]]:
    """Yield (recipient, channel, openid) of the people in `pks`."""
    for (userid, channel), (_row, openid) in block.openids.items():
        if pk := pks.get(userid):
            yield pk, channel, openid


def _tags(block: Block, pks: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    """Yield (recipient, tag) of the people in `pks`."""
    for userid, names in block.tags.items():
        if pk := pks.get(userid):
            for name in names:
                yield pk, name


def _copy_openids(
    cursor: CursorWrapper, block: Block, pks: Mapping[str, str], now: str
) -> None:
    _copy(
        cursor,
        "users_openid (recipient_id, channel_id, openid, updated_at)",
        [
            f"{pks[userid]}\t{channel}\t{openid}\t{now}"
            for (userid, channel), (_row, openid) in block.openids.items()
        ],
    )


def _copy_tags(cursor: CursorWrapper, block: Block, pks: Mapping[str, str]) -> None:
    _copy(
        cursor,
        "users_recipienttag (recipient_id, name, bind)",
        [
            f"{pks[userid]}\t{name}\tall"
            for userid, names in block.tags.items()
            for name in names
        ],
    )


# -- delete ----------------------------------------------------------------------------

_OTHER_OPENIDS = """
    SELECT r.userid, o.channel_id FROM upload_openids s
    CROSS JOIN users_openid o CROSS JOIN users_recipient r
    WHERE o.recipient_id = s.recipient_id AND o.channel_id = s.channel_id
        AND o.openid <> s.openid AND r.id = s.recipient_id
"""


def _delete_values(
    cursor: CursorWrapper, block: Block, known: Mapping[str, int], now: Any
) -> list[RowProblem]:
    """Delete openIDs, tags, phones and emails that are exactly as the rows say.

    Return a warning for who or what is not there, in the order of the rows.
    """
    missing = [
        (row, userid, "unknown_userid")
        for userid, row in block.rows.items()
        if userid not in known
    ]
    if _stage(cursor, "upload_openids", _openids(block, known)):
        cursor.execute(_OTHER_OPENIDS)
        for userid, channel in cursor.fetchall():
            row, _openid = block.openids[userid, channel]
            missing.append((row, userid, "openid_differs"))
        cursor.execute(
            """
            DELETE FROM users_openid WHERE id IN (
                SELECT o.id FROM upload_openids s CROSS JOIN users_openid o
                WHERE o.recipient_id = s.recipient_id
                    AND o.channel_id = s.channel_id AND o.openid = s.openid)
            """
        )
    if _stage(cursor, "upload_tags", _tags(block, known)):
        cursor.execute(
            """
            DELETE FROM users_recipienttag WHERE id IN (
                SELECT t.id FROM upload_tags s CROSS JOIN users_recipienttag t
                WHERE t.recipient_id = s.recipient_id
                    AND t.name = s.name AND t.bind = 'all')
            """
        )
    for column in ("phone", "email"):
        cursor.execute(
            f"""
            UPDATE users_recipient SET {column} = '', updated_at = %s WHERE id IN (
                SELECT r.id FROM upload_people s CROSS JOIN users_recipient r
                WHERE r.userid = s.userid
                    AND s.{column} <> '' AND r.{column} = s.{column})
            """,
            [now],
        )
    return [
        RowProblem(row, userid, code, {}, is_warning=True)
        for row, userid, code in sorted(missing)
    ]
