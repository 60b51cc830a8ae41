"""The product's side: real sends through the real worker."""

import time

from django.db import connection
from django.utils import timezone

from channels_wechat.models import Channel
from sends import audience, control
from sends.models import Delivery, Send
from templates_mgmt.models import Template

from . import rivals

SECONDS_AT_MOST = 900


def make_channel(connections: int) -> Channel:
    channel = Channel.objects.create(
        name="Bench",
        code="bench",
        appid="wx00000000000be9c4",
        app_secret="bench",
        connections=connections,
    )
    fields = [
        {"key": key, "label": key, "type": key.rstrip("0123456789")}
        for key in rivals.MESSAGE.data
    ]
    Template.objects.create(
        channel=channel,
        template_id=rivals.MESSAGE.template_id,
        title="Meeting",
        content="".join(f"{key}:{{{{{key}.DATA}}}}\n" for key in rivals.MESSAGE.data),
        fields=fields,
    )
    return channel


def make_people(channel: Channel, count: int) -> None:
    """Bind `count` people to the channel: the audience "everyone"."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users_recipient (userid, phone, email, created_at, updated_at)"
            " SELECT 'bench' || n, '', '', %s, %s FROM generate_series(1, %s) AS n",
            [now, now, count],
        )
        cursor.execute(
            "INSERT INTO users_openid (channel_id, recipient_id, openid, updated_at)"
            " SELECT %s, id, 'oBench' || lpad(id::text, 22, '0'), %s"
            " FROM users_recipient",
            [channel.pk, now],
        )
        cursor.execute("VACUUM ANALYZE")


def send_to(channel: Channel, count: int) -> float:
    """Send to `count` people; return the seconds from the request to the last row."""
    send = control.new_draft(
        None,
        channel=channel,
        template=channel.templates.get(),
        data=rivals.MESSAGE.data,
        url=rivals.MESSAGE.url,
    )
    everyone = channel.openids.count()
    if count < everyone:
        openids = channel.openids.order_by("pk").values_list("openid", flat=True)
        audience.stage(send, [], (("", openid) for openid in openids[:count]))
    started = time.perf_counter()
    control.submit(send)
    while True:
        found = Send.objects.get(pk=send.pk)
        if found.status == Send.Status.FINISHED:
            break
        if time.perf_counter() - started > SECONDS_AT_MOST:
            raise TimeoutError(f"{found.status}, {found.counts}")
        time.sleep(0.05)
    seconds = time.perf_counter() - started
    assert found.n_accepted == count, found.counts
    return seconds


def send_naively(channel: Channel, count: int) -> float:
    """Queue one task per message; return the seconds until the last row is saved."""
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
