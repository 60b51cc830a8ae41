"""What the pipeline is compared with, each sending the same messages to the far end."""

import asyncio
import os
import time
from collections.abc import Iterator

import aiohttp
import requests
from celery import Celery

from channels_wechat.wechat.bulk import BulkSender, Call, Outcome
from channels_wechat.wechat.messages import CompiledMessage

PATH = "/cgi-bin/message/template/send"
MESSAGE = CompiledMessage(
    "tSBmeeting0003pB6nKx4Dv9Sc2Ht7Gw5Qe1Lm8Ry3U",
    {
        "thing1": "季度会议, be in time",
        "time2": "2026年5月8日 10:00",
        "thing4": "会议室 A, 上海市徐汇区",
        "character_string5": "ROOM-20260508-001",
    },
    "https://example.com/meetings/20260508",
)


def openid(number: int) -> str:
    return f"oBench{number:022d}"


def bodies(count: int) -> Iterator[tuple[int, bytes]]:
    for number in range(count):
        yield number, MESSAGE.render(openid(number), f"abcdefabcdef-{number:x}", {})


def bare_bulk(base_url: str, count: int, connections: int) -> float:
    """Return the seconds that the bulk client alone needs, with no database at all."""
    sender = BulkSender(base_url, connections=connections)
    started = time.perf_counter()
    calls = (Call(key, body) for key, body in bodies(count))
    answered = 0
    while answered < count:
        while sender.queued < 1000 and (call := next(calls, None)) is not None:
            sender.submit([call], "t" * 136)
        for answer in sender.poll(0.05):
            assert answer.outcome is Outcome.ANSWERED, answer
            assert answer.errcode == 0, answer
            answered += 1
    seconds = time.perf_counter() - started
    sender.close()
    return seconds


def bare_aiohttp(base_url: str, count: int, connections: int) -> float:
    """Return the seconds that a plain aiohttp loop needs."""

    async def run() -> None:
        messages = bodies(count)
        connector = aiohttp.TCPConnector(limit=connections)
        url = f"{base_url}{PATH}?access_token={'t' * 136}"

        async def work(session: aiohttp.ClientSession) -> None:
            for _number, body in messages:
                async with session.post(url, data=body) as answer:
                    assert (await answer.json(content_type=None))["errcode"] == 0

        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(work(session) for _ in range(connections)))

    started = time.perf_counter()
    asyncio.run(run())
    return time.perf_counter() - started


# The naive way, as most such products are built: a task, a POST and a save per message.
naive = Celery("naive")


def use_broker() -> None:
    """Take the broker from the environment, which a stage sets."""
    folder = os.environ.get("NAIVE_BROKER_FOLDER")
    if folder:
        naive.conf.broker_transport_options = {
            "data_folder_in": folder,
            "data_folder_out": folder,
            "control_folder": folder,
            "polling_interval": 0.01,
        }


use_broker()
naive.conf.task_ignore_result = True
_session = requests.Session()


@naive.task
def naive_send(delivery_pk: int) -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.utils import timezone

    from sends.models import Delivery

    delivery = Delivery.objects.get(pk=delivery_pk)
    url = f"{settings.WECHAT_API_BASE}{PATH}?access_token={'t' * 136}"
    body = MESSAGE.render(delivery.openid, f"abcdefabcdef-{delivery_pk:x}", {})
    answer = _session.post(url, data=body, timeout=15).json()
    delivery.wechat_msgid = answer["msgid"]
    delivery.status = Delivery.Status.ACCEPTED
    delivery.sent_at = timezone.now()
    delivery.save()
