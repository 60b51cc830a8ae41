"""The console with many deliveries beside the console with ten thousand."""

import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests import services

from .measure import Row, Size, in_turn, say
from .stage import AS_WE_SAY, stage

if TYPE_CHECKING:
    from django.test import Client

FEW, SENDS, LOOKS = 10_000, 100, 7
# The send that is looked at has so many of the few: a page full of refused ones, too,
# so that both sides show as many lines. So has a person, who gets four of all messages.
LOOKED_AT = FEW // 4
EACH_GETS = 4
# Of each send; the rest was delivered.
SHARES = """
    CASE WHEN n %% 40 = 0 THEN 5 WHEN n %% 33 = 0 THEN 4 WHEN n %% 51 = 0 THEN 7
    ELSE 3 END
"""


def run(size: Size) -> list[Row]:
    with stage(), services.postgresql().fresh("bench", AS_WE_SAY) as other:
        from django.core.management import call_command
        from django.db import connection

        names = {
            "few": str(connection.settings_dict["NAME"]),
            "many": urlsplit(other).path.lstrip("/").partition("?")[0],
        }
        counts = {"few": FEW, "many": size.deliveries}
        clients: dict[str, Client] = {}
        addresses: dict[str, dict[str, str]] = {}

        def use(name: str) -> None:
            if connection.settings_dict["NAME"] != names[name]:
                connection.close()
                connection.settings_dict["NAME"] = names[name]

        for name, count in counts.items():
            use(name)
            call_command("migrate", verbosity=0)
            say(f"  {count:,} deliveries in {SENDS} sends")
            clients[name], addresses[name] = _fill(count)

        def look(name: str, page: str) -> Callable[[], float]:
            def some() -> float:
                use(name)
                taken = []
                for _ in range(LOOKS):
                    started = time.perf_counter()
                    answer = clients[name].get(addresses[name][page])
                    b"".join(answer)
                    taken.append(1000 * (time.perf_counter() - started))
                    assert answer.status_code == 200, (page, answer.status_code)
                return statistics.median(taken)

            return some

        def first_look(name: str, page: str) -> float:
            use(name)
            started = time.perf_counter()
            clients[name].get(addresses[name][page])
            return round(1000 * (time.perf_counter() - started), 1)

        pages = list(addresses["few"])
        first = {
            page: {name: first_look(name, page) for name in counts} for page in pages
        }
        rows = []
        for page in pages:
            say(f"  {page}")
            sides = in_turn(
                size.rounds, "ms", {name: look(name, page) for name in counts}
            )
            few, many = (statistics.median(sides[name]) for name in counts)
            rows.append((many / few, page, sides))
        slowest, page, sides = max(rows, key=lambda row: row[0])
        table = [
            {
                "page": page,
                f"ms with {FEW:,}": round(statistics.median(sides["few"]), 1),
                f"ms with {size.deliveries:,}": round(
                    statistics.median(sides["many"]), 1
                ),
                "first look, ms": first[page]["many"],
                "ratio": round(figure, 2),
            }
            for figure, page, sides in rows
        ]
        connection.close()
        use("few")
        return [
            Row(
                f"the slowest page with {size.deliveries:,} deliveries / {FEW:,}",
                slowest,
                1.5,
                "at most",
                sides,
                "ms",
                {"slowest": page, "table": table},
            )
        ]


def _fill(count: int) -> tuple["Client", dict[str, str]]:
    """Make sends with so many deliveries; return a client that has logged in, and the
    pages to look at."""
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client
    from django.utils import timezone

    from sends.models import Send

    from . import product

    people, last = count // EACH_GETS, max(count // SENDS, LOOKED_AT)
    each = (count - last) // (SENDS - 1)
    product.make_people(people)
    channel = product.make_channel(people)
    now = timezone.now()
    sends = [
        product.new_send(
            channel,
            title=f"Send {number}",
            status=Send.Status.RUNNING if number < 2 else Send.Status.FINISHED,
            started_at=now,
            prepared_at=now,
            finished_at=None if number < 2 else now,
        )
        for number in range(SENDS)
    ]
    with connection.cursor() as cursor:
        for number, send in enumerate(sends):
            first = 1 + number * each
            cursor.execute(
                "INSERT INTO sends_delivery (send_id, channel_id, userid, openid,"
                " status, reason, error, errcode, wechat_msgid, sent_at, receipt_at)"
                f" SELECT %s, %s, 'bench' || p, {product.openid_sql('p')}, s,"
                " CASE s WHEN 7 THEN 'no_openid' ELSE '' END,"
                " CASE s WHEN 4 THEN 'user block' ELSE '' END,"
                " CASE s WHEN 5 THEN 43004 END, n, %s, %s"
                f" FROM (SELECT n, {SHARES} AS s, 1 + (n::bigint * 7919) %% %s AS p"
                " FROM generate_series(%s, %s) AS n) AS numbered",
                [
                    send.pk,
                    channel.pk,
                    now,
                    now,
                    people,
                    first,
                    first - 1 + (last if send is sends[-1] else each),
                ],
            )
        cursor.execute(
            "UPDATE sends_send SET n_delivered = c.d, n_undelivered = c.u,"
            " n_refused = c.r, n_skipped = c.s FROM (SELECT send_id,"
            " count(*) FILTER (WHERE status = 3) AS d,"
            " count(*) FILTER (WHERE status = 4) AS u,"
            " count(*) FILTER (WHERE status = 5) AS r,"
            " count(*) FILTER (WHERE status = 7) AS s"
            " FROM sends_delivery GROUP BY send_id) AS c"
            " WHERE c.send_id = sends_send.id"
        )
        cursor.execute(
            "INSERT INTO sends_inboundevent (channel_id, key, event, openid, msgid,"
            " outcome, payload, status, created_at, received_at, try_at, applied_at)"
            " SELECT %s, 'receipt ' || n, 'templatesendjobfinish',"
            f" {product.openid_sql('n')}, n, 'success', '', 1, %s, %s, %s, %s"
            " FROM generate_series(1, %s) AS n",
            [channel.pk, now, now, now, now, people],
        )
    product.tidy()
    with suppress(ValueError):
        timezone.activate("Asia/Shanghai")
    user = get_user_model().objects.create_superuser("bench", "", "bench")
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(user)
    # The first whom the last send is to.
    person = f"bench{1 + (1 + (SENDS - 1) * each) * 7919 % people}"
    page = f"/console/sends/send/{sends[-1].pk}/"
    return client, {
        "dashboard": "/console/",
        "dashboard, live part": "/console/dashboard/live/",
        "dashboard, failures": "/console/dashboard/failures/",
        "sends": "/console/sends/send/",
        "a send": page,
        "a send, progress": f"{page}progress/",
        "a send, the refused": f"{page}?status=refused",
        "a send, one person": f"{page}?q={person}",
        "a person's history": f"/console/sends/send/to/{person}/",
        "recipients": "/console/users/recipient/",
        "recipients, a search": "/console/users/recipient/?q=bench7",
        "events": "/console/sends/inboundevent/",
        "API: sends": "/api/sends/",
        "API: deliveries": f"/api/sends/{sends[-1].msgid}/deliveries/",
        "API: recipients": "/api/recipients/",
    }
