"""The product's side: real sends through the real worker."""

import time
from typing import Any

from django.db import connection
from django.utils import timezone

from channels_wechat.models import Channel
from sends import control
from sends.models import Chunk, Delivery, Send
from templates_mgmt.models import Template
from users.models import OpenID, Recipient

from . import rivals

SECONDS_AT_MOST = 1200
WARM_UP = 1000


def make_people(count: int) -> None:
    """Have recipients bench1 to benchN."""
    with connection.cursor() as cursor:
        there, now = Recipient.objects.count(), _now()
        cursor.execute(
            "INSERT INTO users_recipient (userid, phone, email, created_at, updated_at)"
            f" SELECT 'bench' || n, '', '', %s, %s FROM {_numbers()} WHERE n > %s",
            [now, now, count, there],
        )


def make_channel(people: int, connections: int = 256) -> Channel:
    """Return a channel that the first so many recipients are bound to."""
    number = Channel.objects.count() + 1
    channel = Channel.objects.create(
        name=f"Bench {number}",
        code=f"bench{number}",
        appid=f"wx{number:016x}",
        app_secret="bench",
        original_id=f"gh_{number:012x}",
        callback_mode="safe",
        callback_token="tokentokentoken",
        encoding_aes_key="abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
        connections=connections,
        templates_refreshed_at=timezone.now(),
    )
    Template.objects.create(
        channel=channel,
        template_id=rivals.MESSAGE.template_id,
        title="Meeting",
        content="".join(f"{key}:{{{{{key}.DATA}}}}\n" for key in rivals.MESSAGE.data),
        fields=[
            {"key": key, "label": key, "type": key.rstrip("0123456789")}
            for key in rivals.MESSAGE.data
        ],
    )
    first = Recipient.objects.order_by("pk").values_list("pk", flat=True).first() or 1
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO users_openid (channel_id, recipient_id, openid, updated_at)"
            f" SELECT %s, n + %s, {openid_sql('n')}, %s FROM {_numbers()}",
            [channel.pk, first - 1, _now(), people],
        )
        tidy()
    return channel


def _now() -> Any:
    return connection.ops.adapt_datetimefield_value(timezone.now())


def _numbers() -> str:
    """SQL of the numbers 1 to a parameter, as n."""
    if connection.vendor == "postgresql":
        return "generate_series(1, %s) AS n"
    return (
        "(WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up"
        " LIMIT %s) SELECT n FROM up)"
    )


def openid_sql(number: str) -> str:
    """SQL of `rivals.openid`."""
    if connection.vendor == "postgresql":
        return f"'oBench' || lpad({number}::text, 22, '0')"
    return f"printf('oBench%%022d', {number})"


def tidy() -> None:
    """Have the database know what is in its tables, as autovacuum would."""
    with connection.cursor() as cursor:
        cursor.execute(
            "VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE"
        )


def new_send(channel: Channel, **fields: Any) -> Send:
    """Return a draft to everyone who is bound to the channel."""
    return control.new_draft(
        None,
        channel=channel,
        template=channel.templates.get(),
        data=rivals.MESSAGE.data,
        url=rivals.MESSAGE.url,
        **fields,
    )


def send_to_all(channel: Channel) -> float:
    """Send to everyone; return the seconds from the request to the last row."""
    send = new_send(channel)
    started = time.perf_counter()
    control.submit(send)
    found = finished(send)
    seconds = time.perf_counter() - started
    assert found.n_accepted == OpenID.objects.filter(channel=channel).count(), (
        found.counts
    )
    return seconds


def finished(send: Send) -> Send:
    """Wait for the end of a send."""
    started = time.perf_counter()
    while True:
        found = Send.objects.get(pk=send.pk)
        if found.status == Send.Status.FINISHED:
            return found
        if time.perf_counter() - started > SECONDS_AT_MOST:
            raise TimeoutError(f"{found.status}, {found.counts}")
        time.sleep(0.05)


def send_naively(channel: Channel, count: int) -> float:
    """Queue one task per message; return the seconds until the last row is saved."""
    rivals.use_broker()
    send = control.new_draft(None, channel=channel, template=channel.templates.get())
    deliveries = Delivery.objects.bulk_create(
        Delivery(send=send, channel=channel, openid=rivals.openid(number))
        for number in range(count)
    )
    started = time.perf_counter()
    for delivery in deliveries:
        rivals.naive_send.delay(delivery.pk)
    waiting = Delivery.objects.filter(send=send, status=Delivery.Status.WAITING)
    while waiting.exists():
        if time.perf_counter() - started > SECONDS_AT_MOST:
            raise TimeoutError(f"{waiting.count()} still wait")
        time.sleep(0.1)
    return time.perf_counter() - started


def delivery_bytes() -> int:
    """Return the size of deliveries and chunks with their indexes, in bytes."""
    tables = [Delivery._meta.db_table, Chunk._meta.db_table]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT sum(pg_total_relation_size(t::regclass)) FROM unnest(%s) AS t",
                [tables],
            )
        else:
            cursor.execute(
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            )
        return int(cursor.fetchone()[0])


def updates() -> tuple[int, int]:
    """Return how often deliveries were updated, and how often inside their page."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
            " WHERE relname = %s",
            [Delivery._meta.db_table],
        )
        every, hot = cursor.fetchone()
    return int(every), int(hot)
