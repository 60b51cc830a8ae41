"""Who a send goes to: one SELECT per kind of audience, used for previews, for counts
and for preparing, so that what the operator was told is what is sent.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import connection, transaction

from channels_wechat.protection import today
from channels_wechat.wechat.messages import placeholders

from .models import AudienceRow, Send
from .querysets import CANCELED, SKIPPED, is_postgresql, stamp
from .staging import ROWS_A_BLOCK, Line, insert

# Names a text may use besides the columns of an uploaded file.
BUILT_IN = ("userid", "openid", "phone", "email")
PEOPLE_A_BLOCK = 2000


@dataclass(frozen=True)
class Person:
    """One line of an audience. `reason` is why it would be skipped, or "".

    `id` is the line's place in its source, to go on after it.
    """

    id: int
    row: int
    userid: str
    openid: str
    variables: dict[str, str]
    reason: str


@dataclass(frozen=True)
class AudienceCounts:
    """What confirming a send would do with each line of its audience."""

    to_send: int
    no_openid: int
    no_recipient: int
    foreign_openid: int
    duplicate: int
    unfollowed: int  # of those to send: WeChat will most likely refuse them
    # Of subscribe-notifications: people with no acceptance left, by what we know of
    # them. They are skipped, or among those to send if the send tries them.
    used_up: int = 0
    never_accepted: int = 0
    rejected: int = 0
    skips_unreachable: bool = False

    @property
    def unreachable(self) -> int:
        return self.used_up + self.never_accepted + self.rejected

    @property
    def reachable(self) -> int:
        """People that WeChat will take the message for, as far as we know."""
        return self.to_send - (0 if self.skips_unreachable else self.unreachable)

    @property
    def people(self) -> int:
        """People with an openID, each once."""
        return self.reachable + self.unreachable

    @property
    def total(self) -> int:
        return (
            self.to_send
            + (self.unreachable if self.skips_unreachable else 0)
            + self.no_openid
            + self.no_recipient
            + self.foreign_openid
            + self.duplicate
        )


@dataclass(frozen=True)
class Source:
    """SQL of an audience's lines: `select` has the columns
    id, row, userid, openid, variables, reason, unfollowed, and acceptance (0, or why
    nobody can be reached: 1 used up, 2 never accepted, 3 rejected), and takes
    `parameters`."""

    select: str
    parameters: list[Any]


def used_names(send: Send) -> set[str]:
    """Return the placeholder names in the send's values, link and page path."""
    texts = [*send.data.values(), send.url, send.miniprogram_path]
    return {name for text in texts for name in placeholders(text)}


def unknown_names(send: Send) -> set[str]:
    """Return the placeholder names that neither a column nor a built-in provides."""
    return used_names(send) - set(send.columns) - set(BUILT_IN)


def stage(send: Send, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Replace the send's audience by the given rows; return how many.

    Each row is userid, openid, then one value per name in `columns`; the names in
    `columns` become variables. Blocks are written as they come, so `rows` may stream.
    """
    count = 0
    with transaction.atomic():
        AudienceRow.objects.filter(send=send).delete()
        lines = (
            Line(
                number,
                userid,
                openid,
                dict(zip(columns, values, strict=True)) if columns else None,
            )
            for number, (userid, openid, *values) in enumerate(rows, start=1)
        )
        while block := list(islice(lines, ROWS_A_BLOCK)):
            insert(send.pk, block)
            count += len(block)
        send.audience = Send.Audience.ROWS
        send.columns = list(columns)
        send.save(update_fields=["audience", "columns"])
    return count


def source(send: Send) -> Source:
    """Return the SELECT of every line of the send's audience.

    Each line names the send's channel: no other channel's openid can come out.
    """
    builders = {
        Send.Audience.ALL: _everyone,
        Send.Audience.TAGS: _tagged,
        Send.Audience.ROWS: _listed,
        Send.Audience.IDS: _given,
    }
    lines = builders[Send.Audience(send.audience)](send)
    return _accepting(send, _protected(send, lines))


def counts(send: Send) -> AudienceCounts:
    """Count the audience by what would become of it, in one statement."""
    lines = source(send)
    sql = f"""
        SELECT count(*) FILTER (WHERE reason = ''),
            count(DISTINCT CASE WHEN reason = '' THEN openid END),
            count(*) FILTER (WHERE reason = 'no_openid'),
            count(*) FILTER (WHERE reason = 'no_recipient'),
            count(*) FILTER (WHERE reason = 'foreign_openid'),
            count(DISTINCT CASE WHEN reason = '' AND unfollowed = 1 THEN openid END),
            count(*) FILTER (WHERE reason = 'no_acceptance'),
            count(DISTINCT CASE WHEN acceptance = 1 THEN openid END),
            count(DISTINCT CASE WHEN acceptance = 2 THEN openid END),
            count(DISTINCT CASE WHEN acceptance = 3 THEN openid END)
        FROM ({lines.select}) AS audience
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, lines.parameters)
        (
            good,
            distinct,
            no_openid,
            no_recipient,
            foreign,
            unfollowed,
            skipped,
            used_up,
            never_accepted,
            rejected,
        ) = cursor.fetchone()
    skips = is_skipping(send)
    doubles = good - distinct
    if skips:
        doubles += skipped - used_up - never_accepted - rejected
    return AudienceCounts(
        distinct,
        no_openid,
        no_recipient,
        foreign,
        doubles,
        unfollowed,
        used_up,
        never_accepted,
        rejected,
        skips,
    )


def is_skipping(send: Send) -> bool:
    """Whether people with no acceptance left are left out."""
    return bool(send.template and send.template.is_subscribe and send.skip_unreachable)


def people(send: Send, after: int = 0, limit: int | None = None) -> Iterator[Person]:
    """Yield the audience in its own order, lines that would be skipped included.

    `after` is the id of the last person seen. Without a limit it reads in blocks.
    """
    lines = source(send)
    sql = f"""
        SELECT id, row, userid, openid, variables, reason
        FROM ({lines.select}) AS audience
        WHERE id > %s ORDER BY id LIMIT %s
    """
    left = limit
    while left is None or left > 0:
        size = PEOPLE_A_BLOCK if left is None else min(left, PEOPLE_A_BLOCK)
        with connection.cursor() as cursor:
            cursor.execute(sql, [*lines.parameters, after, size])
            found = cursor.fetchall()
        for id_, row, userid, openid, variables, reason in found:
            if isinstance(variables, str):
                variables = json.loads(variables)
            known = {"userid": userid, "openid": openid, **(variables or {})}
            yield Person(id_, row, userid, openid, known, reason)
        if len(found) < size:
            return
        after = found[-1][0]
        left = None if left is None else left - size


def _protected(send: Send, lines: Source) -> Source:
    """Add what a business system's own lists and its cap leave out."""
    reasons: list[str] = []
    parameters: list[Any] = []
    if send.blacklist_id:
        reasons.append(
            "WHEN EXISTS (SELECT 1 FROM users_userlistentry e WHERE e.list_id = %s"
            " AND e.userid IN (line.userid, line.openid)) THEN 'blacklisted'"
        )
        parameters.append(send.blacklist_id)
    if send.whitelist_id:
        reasons.append(
            "WHEN NOT EXISTS (SELECT 1 FROM users_userlistentry e WHERE e.list_id = %s"
            " AND e.userid IN (line.userid, line.openid)) THEN 'not_listed'"
        )
        parameters.append(send.whitelist_id)
    cap = send.business_channel and send.business_channel.per_person_per_day
    if cap:
        reasons.append(
            "WHEN (SELECT count(*) FROM sends_delivery d"
            " JOIN sends_send s ON s.id = d.send_id"
            " WHERE d.openid = line.openid AND NOT (d.openid = '')"
            " AND d.channel_id = %s AND s.business_channel_id = %s"
            f" AND d.status <> {SKIPPED} AND d.status <> {CANCELED}"
            " AND s.id <> %s AND s.created_at >= %s) >= %s THEN 'capped'"
        )
        parameters += [
            send.channel_id,
            send.business_channel_id,
            send.pk,
            stamp(today()),
            cap,
        ]
    if not reasons:
        return lines
    select = f"""
        SELECT line.id, line.row, line.userid, line.openid, line.variables,
            CASE WHEN line.reason <> '' THEN line.reason {" ".join(reasons)}
                ELSE '' END AS reason,
            line.unfollowed
        FROM ({lines.select}) AS line
    """
    return Source(select, [*parameters, *lines.parameters])


def _accepting(send: Send, lines: Source) -> Source:
    """Add who accepts a subscribe-notification; who does not may be skipped.

    Such a message reaches people who do not follow, too.
    """
    template = send.template
    # By the index on the openid, whatever a planner without statistics believes: see
    # sends.ledger. OFFSET 0 lets it not join in another way, each person with all.
    if template is None or not template.is_subscribe:
        return Source(
            f"SELECT line.*, 0 AS acceptance FROM ({lines.select}) AS line",
            lines.parameters,
        )
    enough = "a.standing" if template.long_term else 'a."left" > 0'
    acceptance = f"""CASE WHEN line.reason <> '' OR {enough} THEN 0
        WHEN a.rejected THEN 3 WHEN a.accepted > 0 THEN 1 ELSE 2 END"""
    reason = "line.reason"
    if is_skipping(send):
        reason = f"CASE WHEN {acceptance} > 0 THEN 'no_acceptance' ELSE line.reason END"
    theirs = """a.openid = line.openid
        AND a.channel_id + 0 = %s AND a.template_id || '' = %s"""
    if is_postgresql():
        join = f"""LATERAL (SELECT a.standing, a."left", a.rejected, a.accepted
            FROM sends_acceptance AS a WHERE {theirs} OFFSET 0) AS a ON TRUE"""
    else:
        join = f"sends_acceptance AS a ON {theirs}"
    select = f"""
        SELECT line.id, line.row, line.userid, line.openid, line.variables,
            {reason} AS reason, 0 AS unfollowed, {acceptance} AS acceptance
        FROM ({lines.select}) AS line LEFT JOIN {join}
    """
    mine = [send.channel_id, template.template_id]
    return Source(select, [*lines.parameters, *mine])


def _variables(send: Send, stored: str = "") -> str:
    """SQL of the variables a delivery keeps, or NULL when its texts use none.

    `stored` is the column with the file's values, for audiences that have one.
    """
    used = used_names(send)
    contact = [n for n in ("phone", "email") if n in used and n not in send.columns]
    pairs = ", ".join(f"'{name}', coalesce(r.{name}, '')" for name in contact)
    from_file = bool(stored and used & set(send.columns))
    if is_postgresql():
        built = f"jsonb_build_object({pairs})"
        merged = f"coalesce({stored}, '{{}}'::jsonb) || {built}"
        nothing = "NULL::jsonb"
    else:
        built = f"json_object({pairs})"
        merged = f"json_patch(coalesce({stored}, '{{}}'), {built})"
        nothing = "NULL"
    if from_file and contact:
        return merged
    return stored if from_file else built if contact else nothing


def _everyone(send: Send) -> Source:
    select = f"""
        SELECT o.id AS id, 0 AS row, r.userid AS userid, o.openid AS openid,
            {_variables(send)} AS variables, '' AS reason,
            CASE WHEN o.followed IS FALSE THEN 1 ELSE 0 END AS unfollowed
        FROM users_openid o JOIN users_recipient r ON r.id = o.recipient_id
        WHERE o.channel_id = %s
    """
    return Source(select, [send.channel_id])


def _tagged(send: Send) -> Source:
    marks = ", ".join(["%s"] * len(send.tags)) or "NULL"
    select = f"""
        SELECT r.id AS id, 0 AS row, r.userid AS userid,
            coalesce(o.openid, '') AS openid,
            {_variables(send)} AS variables,
            CASE WHEN o.id IS NULL THEN 'no_openid' ELSE '' END AS reason,
            CASE WHEN o.followed IS FALSE THEN 1 ELSE 0 END AS unfollowed
        FROM users_recipient r
        LEFT JOIN users_openid o ON o.recipient_id = r.id AND o.channel_id = %s
        WHERE EXISTS (SELECT 1 FROM users_recipienttag t
            WHERE t.recipient_id = r.id AND t.name IN ({marks}))
    """
    return Source(select, [send.channel_id, *send.tags])


def _listed(send: Send) -> Source:
    return _of_lines(send, "sends_audiencerow")


def _given(send: Send) -> Source:
    """The ids of a request; the line's place among them is its id."""
    if is_postgresql():
        each = """json_array_elements_text(g.ids::json)
            WITH ORDINALITY AS given (value, place)"""
        place, nothing = "given.place", "NULL::jsonb"
    else:
        each = "json_each(g.ids) AS given"
        place, nothing = "given.key + 1", "NULL"
    return _of_lines(
        send,
        f"""(
            SELECT g.send_id, {place} AS id, {place} AS row,
                CASE WHEN g.kind = 'userid' THEN given.value ELSE '' END AS userid,
                CASE WHEN g.kind = 'openid' THEN given.value ELSE '' END AS openid,
                {nothing} AS variables
            FROM sends_givenids g CROSS JOIN {each}
        )""",
    )


def _of_lines(send: Send, lines: str) -> Source:
    # A line gives a userid, an openid, or both; an openid counts as it stands. One
    # that we know from another channel alone can only be a mistake.
    select = f"""
        SELECT a.id AS id, a.row AS row,
            CASE WHEN a.userid <> '' THEN a.userid ELSE coalesce(
                (SELECT min(w.userid) FROM users_openid x
                 JOIN users_recipient w ON w.id = x.recipient_id
                 WHERE x.openid = a.openid AND x.channel_id = %s), '') END AS userid,
            CASE WHEN a.openid <> '' THEN a.openid
                ELSE coalesce(o.openid, '') END AS openid,
            {_variables(send, "a.variables")} AS variables,
            CASE WHEN a.openid <> '' THEN
                    CASE WHEN EXISTS (SELECT 1 FROM users_openid x
                            WHERE x.openid = a.openid AND x.channel_id <> %s)
                        AND NOT EXISTS (SELECT 1 FROM users_openid x
                            WHERE x.openid = a.openid AND x.channel_id = %s)
                    THEN 'foreign_openid' ELSE '' END
                WHEN r.id IS NULL THEN 'no_recipient'
                WHEN o.id IS NULL THEN 'no_openid'
                ELSE '' END AS reason,
            CASE WHEN o.followed IS FALSE THEN 1 ELSE 0 END AS unfollowed
        FROM {lines} AS a
        LEFT JOIN users_recipient r ON r.userid = a.userid AND a.userid <> ''
        LEFT JOIN users_openid o ON o.recipient_id = r.id AND o.channel_id = %s
        WHERE a.send_id = %s
    """
    return Source(select, [*[send.channel_id] * 4, send.pk])
