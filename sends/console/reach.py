"""Who can be reached by a subscribe-notification, on the page of its template."""

from typing import Any, Final

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from sends import forecasting
from templates_mgmt.models import Template

from .pages import fragment, needs

# The days' numbers are read from every entry of the template.
KEPT_S: Final = 300
HEIGHT: Final = 48


@needs("sends.view_acceptance")
def reach(request: HttpRequest, template_pk: int) -> HttpResponse:
    """The live part: what the ledger says now, and the last 30 days."""
    template = get_object_or_404(Template, pk=template_pk, kind=Template.Kind.SUBSCRIBE)
    now = forecasting.reach(template)
    key = f"reach:{template.pk}"
    growth: list[forecasting.Day] | None = cache.get(key)
    if growth is None:
        growth = forecasting.growth(template)
        cache.set(key, growth, KEPT_S)
    days = [*growth[:-1], growth[-1]._replace(reachable=now.reachable)]
    grown = now.reachable - days[0].reachable
    return fragment(
        request,
        "sends/_reach.html",
        "stop",
        reach=now,
        grown=grown,
        shrunk=-grown,
        highest=max(day.reachable for day in days),
        days=_bars(days),
    )


def _bars(days: list[forecasting.Day]) -> list[dict[str, Any]]:
    highest = max(day.reachable for day in days) or 1
    bars = []
    for number, day in enumerate(days):
        height = max(1, HEIGHT * day.reachable // highest)
        bars.append(
            {
                "day": day.day,
                "reachable": day.reachable,
                "x": 10 * number + 1,
                "y": HEIGHT - height,
                "height": height,
            }
        )
    return bars
