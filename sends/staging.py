"""Lines of a list into the database, a block at a time in one statement each."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from django.db import connection

from .querysets import is_postgresql

ROWS_A_BLOCK = 5000


class Line(NamedTuple):
    """One line: its number in the source, who, and the columns' values by name."""

    row: int
    userid: str
    openid: str
    variables: dict[str, str] | None


def insert(send_pk: int, lines: Sequence[Line]) -> None:
    """Add lines to the audience of a send, in their order.

    One JSON parameter instead of a parameter per value: a third of the time that
    bulk_create takes, and no limit on how many lines fit.
    """
    if not lines:
        return
    if is_postgresql():
        sql = """
            INSERT INTO sends_audiencerow (send_id, row, userid, openid, variables)
            SELECT %s, (line ->> 0)::integer, line ->> 1, line ->> 2,
                nullif(line -> 3, 'null'::jsonb)
            FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS given (line, n)
            ORDER BY n
        """
    else:
        sql = """
            INSERT INTO sends_audiencerow (send_id, row, userid, openid, variables)
            SELECT %s, value ->> 0, value ->> 1, value ->> 2,
                CASE WHEN value ->> 3 IS NULL THEN NULL ELSE value -> 3 END
            FROM json_each(%s) ORDER BY key
        """
    with connection.cursor() as cursor:
        cursor.execute(sql, [send_pk, json.dumps(lines, ensure_ascii=False)])


def insert_userids(send_pk: int, userids: Sequence[str]) -> None:
    """Add lines that name a person and nothing else, numbered from 1, in one statement.

    The database takes a list of texts for half the time of a list of lines.
    """
    if not userids:
        return
    if is_postgresql():
        given = "json_array_elements_text(%s::json) WITH ORDINALITY AS given (id, n)"
    else:
        given = "(SELECT value AS id, key + 1 AS n FROM json_each(%s)) AS given"
    sql = f"""
        INSERT INTO sends_audiencerow (send_id, "row", userid, openid)
        SELECT %s, n, id, '' FROM {given} ORDER BY n
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [send_pk, json.dumps(userids, ensure_ascii=False)])
