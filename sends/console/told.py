"""The log of status callbacks: what was told, tried, failed, and telling it again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from channels_wechat.models import BusinessChannel
from sends import callback_urls, calling, telling
from sends.models import StatusBatch

from .pages import needs, page

REPLAY = "sends.replay_statusbatch"
PAGE = 50
# State and receiver are looked for among so many of the newest: no index holds them.
LOOKED_THROUGH = 5000
State = StatusBatch.State
PILLS = {
    State.WAITING: "waiting",
    State.HELD: "warn",
    State.DELIVERED: "ok",
    State.FAILED: "bad",
}
LABELS = {**dict(State.choices), State.HELD: gettext_lazy("not taken, still tried")}
# What a state that wants somebody means, and what to do.
EXPLAINED = {
    State.HELD: (
        gettext_lazy("The receiver does not take it"),
        gettext_lazy(
            "It is tried again every 50 seconds for an hour; what comes after it waits"
            " in line."
        ),
        gettext_lazy("Look at the answers below and mend the receiver."),
    ),
    State.FAILED: (
        gettext_lazy("It was given up"),
        gettext_lazy("The receiver never took it. Its items are kept."),
        gettext_lazy("Mend the receiver, then press Replay."),
    ),
}


@needs("sends.view_statusbatch")
def log(request: HttpRequest) -> HttpResponse:
    """Newest first, by cursor and without counting."""
    asked = _asked(request.GET)
    found = StatusBatch.objects.order_by("-pk")
    if asked["before"]:
        found = found.filter(pk__lt=asked["before"])
    filtered = bool(asked["state"] or asked["business"])
    if filtered:
        newest = found.values("pk")[:LOOKED_THROUGH]
        found = StatusBatch.objects.filter(pk__in=newest).order_by("-pk")
        if asked["state"]:
            found = found.filter(state=asked["state"])
        if asked["business"]:
            found = found.filter(url__business_channel=int(asked["business"]))
    rows = list(found.select_related("url__business_channel")[: PAGE + 1])
    more, rows = len(rows) > PAGE, rows[:PAGE]
    query = {name: value for name, value in asked.items() if value}
    may_replay = request.user.has_perm(REPLAY)
    return page(
        request,
        "sends/told.html",
        _("Status callbacks"),
        rows=[_told(batch) for batch in rows],
        asked=asked,
        filtered=filtered,
        looked_through=LOOKED_THROUGH,
        states=LABELS.items(),
        businesses=BusinessChannel.objects.order_by("name"),
        may_replay=may_replay and any(_is_open(batch) for batch in rows),
        next=urlencode({**query, "before": str(rows[-1].pk)}) if more else "",
    )


def _asked(get: Mapping[str, str]) -> dict[str, str]:
    def number(name: str) -> str:
        text = get.get(name, "")
        return text if text.isdecimal() and len(text) < 19 else ""

    state = get.get("state", "")
    return {
        "business": number("business"),
        "state": state if state in State.values else "",
        "before": number("before"),
    }


def _is_open(batch: StatusBatch) -> bool:
    """Whether a replay would do anything."""
    return batch.state in {State.HELD, State.FAILED}


def _told(batch: StatusBatch) -> dict[str, Any]:
    waits = batch.state in {State.WAITING, State.HELD}
    return {
        "batch": batch,
        "pill": PILLS[State(batch.state)],
        "label": LABELS[State(batch.state)],
        "host": urlsplit(batch.url.url).netloc,
        "last": _answer(batch.attempts[-1]) if batch.attempts else None,
        "next_try": batch.try_at if waits else None,
        "is_open": _is_open(batch),
    }


def _answer(attempt: Mapping[str, Any]) -> dict[str, Any]:
    """Return one try in words: what was answered, and what to do about it."""
    status = attempt["status"]
    # Tries of an earlier release have no kind.
    what, advice = map(
        str,
        calling.NO_ANSWER.get(attempt.get("kind", ""), calling.NO_ANSWER["connection"]),
    )
    if status is not None:
        what, advice = f"HTTP {status}", ""
        if attempt["error"]:
            advice = str(_("Only HTTP 200 takes the items."))
    return {
        "at": datetime.fromisoformat(attempt["at"]),
        "what": what,
        "advice": advice,
        "words": attempt["error"] if status is None else "",
        "took_ms": attempt["took_ms"],
    }


@needs("sends.view_statusbatch")
def batch(request: HttpRequest, pk: int) -> HttpResponse:
    """One POST: what it tells, each try, and telling it again."""
    found = get_object_or_404(
        StatusBatch.objects.select_related("url__business_channel"), pk=pk
    )
    title, text, fix = EXPLAINED.get(State(found.state), ("", "", ""))
    items = found.items.select_related("send").order_by("pk")
    return page(
        request,
        "sends/status_batch.html",
        _("Status callback #%(number)d") % {"number": found.pk},
        **_told(found),
        explained={"title": title, "text": text, "fix": fix} if title else None,
        level=PILLS[State(found.state)],
        attempts=[_answer(attempt) for attempt in reversed(found.attempts)],
        items=[
            {"item": item, "type": callback_urls.TYPES[item.type]} for item in items
        ],
        may_replay=_is_open(found) and request.user.has_perm(REPLAY),
    )


@needs(REPLAY)
@require_POST
def replay(request: HttpRequest) -> HttpResponse:
    """Tell the chosen ones again, or all that failed of one business channel."""
    chosen = [pk for pk in request.POST.getlist("pk") if pk.isdecimal()][:PAGE]
    _replay(request, StatusBatch.objects.filter(pk__in=chosen))
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}):
        back = reverse("admin:sends_statusbatch_changelist")
    return HttpResponseRedirect(back)


@needs(REPLAY)
@require_POST
def replay_all(request: HttpRequest, pk: int) -> HttpResponse:
    """Tell everything again that a URL did not take."""
    _replay(request, StatusBatch.objects.filter(url=pk))
    return redirect("admin:sends_callbackurl_change", pk)


@needs(REPLAY)
@require_POST
def replay_one(request: HttpRequest, pk: int) -> HttpResponse:
    _replay(request, StatusBatch.objects.filter(pk=pk))
    return redirect("admin:sends_statusbatch_change", pk)


def _replay(request: HttpRequest, chosen: QuerySet[StatusBatch]) -> None:
    if count := telling.replay(chosen):
        said = ngettext(
            "%(n)d status callback is told again.",
            "%(n)d status callbacks are told again.",
            count,
        )
        messages.success(request, said % {"n": count})
    else:
        messages.warning(request, _("None of them has failed."))
