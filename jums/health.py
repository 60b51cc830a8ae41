"""Alive, ready, and how much is done: `/healthz`, `/readyz`, `/metrics`.

Totals are read from the database, so that every web process gives the same answer and
none needs to know of the others. Nothing here counts deliveries row by row.
"""

from collections.abc import Iterable
from datetime import timedelta

from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.models import Count, Min, Sum
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from kombu.exceptions import KombuError
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from channels_wechat.models import Channel
from sends.models import Delivery, InboundEvent, Send
from users.models import Upload

from .celery import app

WORKER_PATIENCE_S = 2.0
# Load balancers ask every second or two; a worker need not answer each of them.
WORKER_KNOWN_S = 5


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers. Asks nothing else, so that nothing else can fail it."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database, broker and a worker answer; 503 naming those that do not."""
    found = {"database": database_state()}
    found["broker"] = broker_state()
    found["worker"] = (
        worker_state() if found["broker"] == "ok" else "broker unreachable"
    )
    ready = all(state == "ok" for state in found.values())
    answer = JsonResponse({"ready": ready, **found}, status=200 if ready else 503)
    # Django would log each 503 as an error of ours; whoever asks has the answer.
    answer._has_been_logged = True  # type: ignore[attr-defined]  # Django's own mark
    return answer


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(Totals())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def database_state() -> str:
    """`ok`, or what is wrong."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return type(error).__name__
    return "ok"


def broker_state() -> str:
    """`ok`, or what is wrong, without the URL."""
    try:
        with app.connection_for_write(connect_timeout=2) as broker:
            broker.ensure_connection(max_retries=1, timeout=2)
    except (KombuError, OSError) as error:
        # Never its text: it may repeat the URL, and the URL a password.
        return type(error).__name__
    return "ok"


def worker_state() -> str:
    """`ok` if any worker answers within two seconds, or what is wrong."""
    if cache.get("jums.worker"):
        return "ok"
    inspector = app.control.inspect(timeout=WORKER_PATIENCE_S, limit=1)
    try:
        answers = inspector.ping()
    except (KombuError, OSError) as error:
        return type(error).__name__
    if not answers:
        return "no worker answered"
    cache.set("jums.worker", True, WORKER_KNOWN_S)
    return "ok"


class Totals:
    """What the database says at the moment of asking."""

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        yield from self._channels()
        yield from self._sends()
        yield from self._events()
        yield self._uploads()

    def _channels(self) -> Iterable[Metric]:
        ready = GaugeMetricFamily(
            "jums_channel_ready",
            "1 when WeChat accepts the channel's credentials.",
            labels=["channel"],
        )
        silence = GaugeMetricFamily(
            "jums_channel_last_push_timestamp_seconds",
            "When WeChat last pushed an event for the channel.",
            labels=["channel"],
        )
        for channel in Channel.objects.all():
            ready.add_metric([channel.code], float(channel.status == "ready"))
            if channel.last_push_at:
                silence.add_metric([channel.code], channel.last_push_at.timestamp())
        yield ready
        yield silence

    def _sends(self) -> Iterable[Metric]:
        sends = GaugeMetricFamily(
            "jums_sends", "Sends by status.", labels=["channel", "status"]
        )
        counted = Send.objects.values_list("channel__code", "status").annotate(
            number=Count("pk")
        )
        for code, status, number in counted.order_by():
            sends.add_metric([code, status], number)
        yield sends

        # Counters on the sends, not rows: ten million deliveries cost nothing here.
        deliveries = GaugeMetricFamily(
            "jums_deliveries",
            "Deliveries by status, over all sends.",
            labels=["channel", "status"],
        )
        names = [status.name.lower() for status in Delivery.Status]
        sums = {name: Sum(f"n_{name}") for name in names}
        rows = Send.objects.order_by().values("channel").annotate(**sums)
        for code, *numbers in rows.values_list("channel__code", *names):
            for name, number in zip(names, numbers, strict=True):
                deliveries.add_metric([code, name], number)
        yield deliveries

        late = GaugeMetricFamily(
            "jums_sends_overdue",
            "Scheduled sends that should have started over a minute ago.",
        )
        a_minute_ago = timezone.now() - timedelta(minutes=1)
        late.add_metric([], Send.objects.due(a_minute_ago).count())
        yield late

    def _events(self) -> Iterable[Metric]:
        waiting = InboundEvent.objects.filter(status=InboundEvent.Status.WAITING)
        seen = waiting.aggregate(number=Count("pk"), oldest=Min("received_at"))
        number = GaugeMetricFamily(
            "jums_events_waiting", "WeChat's events that wait to be applied."
        )
        number.add_metric([], seen["number"])
        yield number
        age = GaugeMetricFamily(
            "jums_events_oldest_age_seconds", "How long the oldest of them has waited."
        )
        oldest = seen["oldest"]
        waited = (timezone.now() - oldest).total_seconds() if oldest else 0.0
        age.add_metric([], waited)
        yield age

    def _uploads(self) -> Metric:
        uploads = GaugeMetricFamily(
            "jums_uploads", "Uploads by status.", labels=["status"]
        )
        counted = Upload.objects.values_list("status").annotate(number=Count("pk"))
        for status, number in counted.order_by():
            uploads.add_metric([status], number)
        return uploads
