"""The list of sends, newest first, paged without counting."""

from datetime import date, datetime, time
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import BusinessChannel, Channel
from sends import reporting
from sends.models import Send

from .pages import needs, page, sends

PAGE = 30
# Of the address -> of the model.
FILTERS = {
    "channel": "channel",
    "status": "status",
    "source": "source",
    "business": "business_channel",
}


@needs("sends.view_send")
def overview(request: HttpRequest) -> HttpResponse:
    asked = _asked(request)
    found = sends().order_by("-pk")
    for name, column in FILTERS.items():
        if asked[name]:
            found = found.filter(**{column: asked[name]})
    if day := _day(asked["since"]):
        found = found.filter(created_at__gte=_midnight(day))
    if day := _day(asked["until"]):
        found = found.filter(created_at__lte=_midnight(day, time.max))
    if asked["before"]:
        found = found.filter(pk__lt=asked["before"])
    rows = list(found.defer("reading", "preflight", "data", "columns")[: PAGE + 1])
    query = {name: value for name, value in asked.items() if value}
    more = len(rows) > PAGE
    rows = rows[:PAGE]
    return page(
        request,
        "sends/list.html",
        _("Sends"),
        rows=[{"send": send, "failed": _failed(send)} for send in rows],
        channels=Channel.objects.order_by("name"),
        businesses=BusinessChannel.objects.order_by("name"),
        statuses=Send.Status.choices,
        sources=Send.Source.choices,
        asked=asked,
        filtered=any(asked[name] for name in asked if name != "before"),
        next=urlencode({**query, "before": rows[-1].pk}) if more else "",
        may_add=request.user.has_perm("sends.add_send"),
        mask=reporting.mask,
    )


def _asked(request: HttpRequest) -> dict[str, Any]:
    get = request.GET.get

    def number(name: str) -> str:
        text = get(name, "")
        return text if text.isdecimal() and len(text) < 19 else ""

    return {
        "channel": number("channel"),
        "business": number("business"),
        "status": s if (s := get("status", "")) in Send.Status.values else "",
        "source": s if (s := get("source", "")) in Send.Source.values else "",
        "since": get("since", "") if _day(get("since", "")) else "",
        "until": get("until", "") if _day(get("until", "")) else "",
        "before": number("before"),
    }


def _day(text: str) -> date | None:
    try:
        return parse_date(text)
    except ValueError:  # 2026-02-31
        return None


def _midnight(day: date, at: time = time.min) -> datetime:
    """Return the day's beginning (or end) where the operator is."""
    return timezone.make_aware(datetime.combine(day, at))


def _failed(send: Send) -> int:
    return send.n_refused + send.n_undelivered + send.n_unknown
