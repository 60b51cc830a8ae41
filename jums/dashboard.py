"""The console's first page: what is being sent, what became of it, who needs help.

It must open as fast with ten million deliveries as with ten: everything comes from the
counters on Send. Only failure reasons look at deliveries, on their own address, and
never at more than FAILURE_ROWS of them.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.core.cache import cache
from django.db.models import Model, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from channels_wechat import checking
from channels_wechat.models import Channel
from sends import reporting
from sends.models import Delivery, Send
from templates_mgmt.models import Template
from users.models import OpenID

DAYS: Final = 14
DAYS_KEPT_S: Final = 60
STALE_TEMPLATES: Final = timedelta(days=2)
QUIET_CALLBACK: Final = timedelta(days=7)
OPEN: Final = ("scheduled", "preparing", "running", "paused")
SHOWN_SENDS: Final = 6

FAILURE_DAYS: Final = 7
FAILURE_SENDS: Final = 20
# Grouping failures reads the rows of a send; larger sends are only linked.
FAILURE_ROWS: Final = 200_000

# The chart's five colours, from the bottom up: CSS word, name, statuses.
BANDS: Final[tuple[tuple[str, Promise, tuple[str, ...]], ...]] = (
    ("delivered", _("Delivered"), ("delivered",)),
    ("accepted", _("Accepted by WeChat"), ("accepted",)),
    ("undelivered", _("Undelivered or unknown"), ("undelivered", "unknown")),
    ("refused", _("Refused"), ("refused",)),
    ("skipped", _("Skipped or canceled"), ("skipped", "canceled")),
    ("waiting", _("Waiting"), ("waiting", "sending")),
)
STATUSES: Final = tuple(status.name.lower() for status in Delivery.Status)


@dataclass(frozen=True)
class Day:
    """One column of the chart; the parts are (CSS word, name, count, per cent)."""

    date: date
    total: int
    parts: list[tuple[str, Promise, int, float]]


@dataclass(frozen=True)
class Line:
    """A send in one of the dashboard's lists."""

    send: Send

    @property
    def done(self) -> int:
        return self.send.total - self.send.n_waiting - self.send.n_sending

    @property
    def failed(self) -> int:
        return self.send.n_refused + self.send.n_undelivered + self.send.n_unknown


@dataclass(frozen=True)
class Health:
    """A channel in the dashboard's list: the worst of what is known about it."""

    channel: Channel
    level: str  # ok, warn or bad
    notes: list[str | Promise]


@dataclass
class Failure:
    """A reason that deliveries of several sends failed for."""

    reason: reporting.Reason
    count: int = 0
    sends: list[Send] = field(default_factory=list)


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the dashboard's figures; unfold calls this for the index page."""
    user = request.user
    context["title"] = _("Dashboard")
    if user.has_perm("sends.view_send"):
        context |= live_context()
        days = _days()
        context |= {
            "days": days,
            "most": max((day.total for day in days), default=0),
            "legend": _legend(days),
            "latest": _lines(
                Send.objects.exclude(status__in=[*OPEN, "draft", "in_review"]).order_by(
                    "-created_at"
                )
            ),
        }
    if user.has_perm("channels_wechat.view_channel"):
        context["health"] = [_health(channel) for channel in Channel.objects.all()]
    context["add_send_url"] = _address(request, "sends.add_send", "sends_send_add")
    sent = ("latest", "open_sends", "in_review")
    if not any(context.get(name) for name in sent):
        context["first_steps"] = _first_steps(request)
    return context


def live_context() -> dict[str, Any]:
    """The part that is fetched again every few seconds: three queries."""
    start = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "today": _sums(start),
        "in_review": Send.objects.filter(status="in_review").count(),
        "open_sends": _lines(
            Send.objects.filter(status__in=OPEN).order_by("priority", "-created_at")
        ),
    }


def live(request: HttpRequest) -> HttpResponse:
    """Answer with today's figures and the open sends, for live.js."""
    if not request.user.has_perm("sends.view_send"):
        return HttpResponse(status=403)
    return render(request, "console/dashboard/_live.html", live_context())


def failures(request: HttpRequest) -> HttpResponse:
    """Answer with why deliveries of the last days failed, for live.js, once."""
    if not request.user.has_perm("sends.view_send"):
        return HttpResponse(status=403)
    found, unread = _failures()
    response = render(
        request,
        "console/dashboard/_failures.html",
        {"failures": found[:SHOWN_SENDS], "unread": unread, "days": FAILURE_DAYS},
    )
    response.headers["X-Live"] = "stop"
    return response


def _lines(sends: QuerySet[Send]) -> list[Line]:
    return [Line(send) for send in sends.select_related("channel")[:SHOWN_SENDS]]


def _sums(since: datetime) -> dict[str, int]:
    """Deliveries per status of the sends created since then, and a few sums of them."""
    found = Send.objects.filter(created_at__gte=since).aggregate(
        **{status: Sum(f"n_{status}", default=0) for status in STATUSES}
    )
    found["total"] = sum(found.values())
    found["failed"] = found["refused"] + found["undelivered"] + found["unknown"]
    found["left"] = found["waiting"] + found["sending"]
    return found


def _days() -> list[Day]:
    today = timezone.localdate()
    key = f"dashboard-days:{timezone.get_current_timezone_name()}:{today}"
    counted: dict[date, Counter[str]] | None = cache.get(key)
    if counted is None:
        first = timezone.localtime().replace(
            hour=0, minute=0, second=0, microsecond=0
        ) - timedelta(days=DAYS - 1)
        rows = (
            Send.objects.filter(created_at__gte=first)
            .order_by()
            .annotate(day=TruncDate("created_at"))
            .values_list("day")
            .annotate(**{f"sum_{status}": Sum(f"n_{status}") for status in STATUSES})
        )
        counted = {
            day: Counter(dict(zip(STATUSES, sums, strict=True))) for day, *sums in rows
        }
        cache.set(key, counted, DAYS_KEPT_S)
    dates = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    most = max((sum(counts.values()) for counts in counted.values()), default=0)
    return [_day(one, counted.get(one, Counter()), most) for one in dates]


def _day(one: date, counts: Counter[str], most: int) -> Day:
    parts = []
    for word, name, statuses in BANDS:
        count = sum(counts[status] for status in statuses)
        if count:
            parts.append((word, name, count, round(100 * count / most, 2)))
    return Day(one, sum(counts.values()), parts)


def _legend(days: list[Day]) -> list[tuple[str, Promise, int]]:
    sums: Counter[str] = Counter()
    for day in days:
        for word, _name, count, _share in day.parts:
            sums[word] += count
    return [(word, name, sums[word]) for word, name, _statuses in BANDS if sums[word]]


def _health(channel: Channel) -> Health:
    """Judge by what was noted on the channel: no call, no further query."""
    now = timezone.now()
    match channel.status:
        case "disabled":
            return Health(channel, "mute", [_("Disabled")])
        case "unauthorized":
            words = channel.refused_errmsg
            if channel.refused_errcode:
                words = f"{words} ({channel.refused_errcode})"
            return Health(channel, "bad", [_("WeChat refuses the channel"), words])
        case "unverified" if channel.checked_at is None:
            return Health(channel, "warn", [_("Not checked yet")])
    notes: list[str | Promise] = []
    heard_at = channel.last_push_at or channel.callback_verified_at
    if heard_at is None and not channel.is_authorised:
        notes.append(_("No callback was ever heard: receipts will not arrive"))
    elif heard_at and now - heard_at > QUIET_CALLBACK:
        notes.append(_("No callback for a week"))
    if channel.templates_refreshed_at is None:
        notes.append(_("Templates were never refreshed"))
    elif now - channel.templates_refreshed_at > STALE_TEMPLATES:
        notes.append(_("Templates are older than two days"))
    findings = [item for item in checking.findings(channel) if item.level == "bad"]
    if channel.checked_at and channel.token_ok_at:
        # What was refused then and is given now is no news.
        given_since = channel.token_ok_at > channel.checked_at
        findings = [f for f in findings if f.check != "token" or not given_since]
    notes += [item.detail for item in findings]
    return Health(channel, "bad" if findings else "warn" if notes else "ok", notes)


def _failures() -> tuple[list[Failure], list[Line]]:
    """Reasons over the sends of the last days, the most frequent first, and the sends
    that are too large to be read here."""
    sends = (
        Send.objects.filter(
            Q(n_refused__gt=0) | Q(n_undelivered__gt=0) | Q(n_unknown__gt=0),
            created_at__gte=timezone.now() - timedelta(days=FAILURE_DAYS),
        )
        .select_related("channel", "template")
        .order_by("-created_at")[:FAILURE_SENDS]
    )
    merged: dict[object, Failure] = {}
    unread: list[Line] = []
    rows_left = FAILURE_ROWS
    for send in sends:
        if send.total > rows_left:
            unread.append(Line(send))
            continue
        rows_left -= send.total
        for reason in reporting.reasons(send):
            if reason.status == Delivery.Status.SKIPPED:
                continue  # never sent: the send's own page tells
            same = merged.setdefault(
                (reason.status, reason.errcode, reason.title), Failure(reason)
            )
            same.count += reason.count
            same.sends.append(send)
    return sorted(merged.values(), key=lambda one: -one.count), unread


def _first_steps(request: HttpRequest) -> list[dict[str, Any]]:
    """What a new installation still needs, in order, with where to do it."""
    steps: list[tuple[Promise, type[Model], str, str]] = [
        (
            _("Connect a channel with AppID and AppSecret"),
            Channel,
            "channels_wechat.add_channel",
            "channels_wechat_channel_add",
        ),
        (
            _("Refresh its templates"),
            Template,
            "templates_mgmt.view_template",
            "templates_mgmt_template_changelist",
        ),
        (
            _("Upload who has which openID"),
            OpenID,
            "users.add_upload",
            "users_upload_add",
        ),
        (_("Send your first message"), Send, "sends.add_send", "sends_send_add"),
    ]
    return [
        {
            "text": text,
            "done": model._default_manager.exists(),
            "url": _address(request, permission, name),
        }
        for text, model, permission, name in steps
    ]


def _address(request: HttpRequest, permission: str, name: str) -> str:
    if not request.user.has_perm(permission):
        return ""
    try:
        return reverse(f"admin:{name}")
    except NoReverseMatch:
        return ""
