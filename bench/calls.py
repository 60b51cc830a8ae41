"""Calls with long lists beside empty calls, and beside merely reading the lists."""

import base64
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from .measure import Row, Size, in_turn, ratio
from .stage import stage

USERIDS, PASTED, CALLS = 1000, 100_000, 40


def run(size: Size) -> list[Row]:
    with stage():
        from django.test import Client
        from django.urls import path
        from rest_framework.request import Request
        from rest_framework.response import Response

        from channels_wechat.api.v1 import JumsView, done
        from channels_wechat.business_channels import create_business_channel
        from jums import urls
        from sends import preparing
        from sends.models import Send

        from . import product, rivals

        class EmptyView(JumsView):
            """Knows the caller, and that is all."""

            def post(self, request: Request) -> Response:
                return done()

        urls.urlpatterns.insert(0, path("bench/empty", EmptyView.as_view()))
        product.make_people(USERIDS)
        channel = product.make_channel(USERIDS)
        sender, secret = create_business_channel(
            "bench", [channel], calls_per_minute=1_000_000
        )
        pair = base64.b64encode(f"{sender.key}:{secret}".encode()).decode()
        body = json.dumps(
            {
                "aud_userid": [f"bench{number}" for number in range(1, USERIDS + 1)],
                "msg_wechatoa": [
                    {
                        "type": 0,
                        "template_id": rivals.MESSAGE.template_id,
                        "data": {
                            key: {"value": text}
                            for key, text in rivals.MESSAGE.data.items()
                        },
                    }
                ],
            }
        )
        client = Client(SERVER_NAME="127.0.0.1")

        def call(address: str) -> Callable[[], float]:
            def some() -> float:
                taken = []
                for _ in range(CALLS):
                    started = time.perf_counter()
                    answer: Any = client.post(
                        address,
                        body,
                        content_type="application/json",
                        headers={"authorization": f"Basic {pair}"},
                    )
                    taken.append(1000 * (time.perf_counter() - started))
                    assert answer.status_code == 200, answer.content
                return statistics.median(taken)

            return some

        sent, empty = call("/v1/sent"), call("/bench/empty")
        sent(), empty()  # imports, connections
        sides = in_turn(size.rounds + 2, "ms", {"sent": sent, "empty": empty})
        latest = Send.objects.latest("pk")
        assert preparing.prepare(latest.pk)
        latest.refresh_from_db()
        assert (latest.n_waiting, latest.total) == (USERIDS, USERIDS)
        return [
            Row(
                f"POST /v1/sent with {USERIDS} userids / an empty authenticated view",
                ratio(sides, "sent", "empty"),
                3,
                "at most",
                sides,
                "ms",
            ),
            *_lists(size.rounds + 2),
        ]


def _lists(rounds: int) -> list[Row]:
    from sends.reading import pasted
    from users.audiences import checked

    userids = [f"user{number:08d}" for number in range(PASTED)]
    body, text = json.dumps(userids), "\n".join(userids)

    def timed(run: Callable[[], Any]) -> Callable[[], float]:
        def some() -> float:
            taken = []
            for _ in range(5):
                started = time.perf_counter()
                run()
                taken.append(1000 * (time.perf_counter() - started))
            return statistics.median(taken)

        return some

    loads = timed(lambda: json.loads(body))
    listed = in_turn(
        rounds, "ms", {"check": timed(lambda: checked(userids)), "json.loads": loads}
    )
    taken_in = in_turn(
        rounds, "ms", {"paste": timed(lambda: list(pasted(text))), "json.loads": loads}
    )
    return [
        Row(
            f"checking a list of {PASTED:,} userids / json.loads of its body",
            ratio(listed, "check", "json.loads"),
            5,
            "at most",
            listed,
            "ms",
        ),
        Row(
            f"reading {PASTED:,} pasted userids / json.loads of the same",
            ratio(taken_in, "paste", "json.loads"),
            5,
            "at most",
            taken_in,
            "ms",
        ),
    ]
