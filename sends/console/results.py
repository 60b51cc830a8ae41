"""A submitted send: live progress, buttons, reasons, deliveries, export, again."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from channels_wechat import quotas
from channels_wechat.protection import CHINA
from channels_wechat.wechat import errors
from sends import brake, canary, control, drafting, pacing, preflight, reporting
from sends.models import Delivery, Drain, Send

from . import reviewing
from .checks import download
from .forms import AgainForm
from .pages import (
    fragment,
    get_send,
    is_draft,
    needs,
    operator,
    page,
    to_send,
    to_step,
)
from .steps import next_step

# Receipts come for a while after the last message was sent.
RECEIPTS_COME = timedelta(minutes=10)
ACTIONS = {
    "pause": control.pause,
    "resume": control.resume,
    "cancel": control.cancel,
}


@needs("sends.view_send")
def send(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of one send; of a draft, the step where the work goes on."""
    found = get_send(pk)
    if is_draft(found):
        return to_step(found, next_step(found))
    return page(
        request,
        "sends/send.html",
        found.title or found.msgid,
        send=found,
        opts=Send._meta,
        original=found,
        every=_every(found),
        values=_values(found),
        priority=Send.Priority(found.priority).label,
        **reviewing.told(request, found),
        **_told(request, found),
        **_deliveries(request, found),
    )


def _values(found: Send) -> list[tuple[str, str]]:
    """Return the texts of the message under the names its template gives them."""
    labels = preflight.labels_of(found)
    return [(labels.get(key, key), text) for key, text in found.data.items()]


def _every(found: Send) -> int | None:
    """Return how often to look again, in seconds; None when nothing more comes."""
    status = Send.Status
    match found.status:
        case status.PREPARING | status.RUNNING:
            return 2
        case status.SCHEDULED | status.PAUSED:
            return 5
    ended = found.finished_at
    if found.status == status.CANCELED and found.n_waiting + found.n_sending:
        return 2
    if found.n_accepted and ended and timezone.now() - ended < RECEIPTS_COME:
        return 5
    return None


def _told(request: HttpRequest, found: Send) -> dict[str, Any]:
    status = Send.Status
    reasons = reporting.reasons(found)
    allowed = request.user.has_perm("sends.control_send")
    return {
        "progress": reporting.progress(found),
        "tiles": [
            (word, label, getattr(found, f"n_{word}"))
            for word, label in (
                (s.name.lower(), s.label)
                for s in Delivery.Status
                if s.name not in {"WAITING", "SENDING"}
            )
        ],
        "left": found.n_waiting + found.n_sending,
        "reasons": reasons,
        "again": _again_groups(found, reasons),
        "pause": _pause(found) if found.status == status.PAUSED else None,
        "first": _first(found),
        "slowed": _slowed(found),
        "plan": _plan(found),
        "hold": _hold(found) if found.status == status.RUNNING else None,
        "may_pause": allowed
        and found.status in {status.SCHEDULED, status.PREPARING, status.RUNNING},
        "may_resume": allowed and found.status == status.PAUSED,
        "may_cancel": allowed and found.is_open,
        "may_resend": request.user.has_perm("sends.add_send")
        and not found.is_open
        and not found.archived_at,
    }


def _pause(found: Send) -> dict[str, Any]:
    """Return why a send rests, what to do, and when it goes on."""
    code = errors.explain(found.pause_errcode)
    words = brake.sentence(found.pause_code, found.pause_detail)
    if found.pause_errcode is not None:
        words = f"{words} ({found.pause_errcode})"
    fix = _(code.advice) if code and code.advice else ""
    title = found.get_pause_code_display()
    match found.pause_code:
        case Send.PauseCode.OPERATOR:
            title = _("Paused by %(name)s") % {"name": found.paused_by}
            fix = _("Press Resume to go on where it stopped.")
        case Send.PauseCode.CHANNEL if found.pause_errcode not in (
            errors.AUTHORISE_AGAIN
        ):
            fix = " ".join(filter(None, [fix, _("Then press Resume.")]))
        case Send.PauseCode.TEMPLATE:
            way_on = _(
                "Once it is mended at WeChat, press Resume. Otherwise cancel, then send"
                " again to those canceled, with another template or link."
            )
            fix = " ".join(filter(None, [fix, way_on]))
        case Send.PauseCode.SILENCE:
            fix = _(
                "Nothing may be repeated after an unseen answer, so the send rests. It "
                "goes on by itself, or press Resume."
            )
        case Send.PauseCode.RESERVE:
            fix = _(
                "It goes on by itself when the quota starts anew. To go on at once, "
                "keep less for API messages on the channel's page, then press Resume."
            )
        case Send.PauseCode.MISSED:
            title = _("It did not start at %(when)s: JUMS was not running") % {
                "when": date_format(
                    timezone.localtime(found.scheduled_for), "SHORT_DATETIME_FORMAT"
                )
            }
            fix = _("Press Resume to send it now, or cancel it.")
        case Send.PauseCode.DISABLED:
            fix = _("Enable the channel, then press Resume.")
        case Send.PauseCode.UNKNOWN_ERRORS:
            fix = _(
                "Read WeChat's words, mend what they complain of, then press Resume."
            )
        case Send.PauseCode.REFUSALS:
            fix = _(
                "Look at the reasons below. Press Resume to go on all the same: it is"
                " not stopped for this again."
            )
        case Send.PauseCode.CANARY:
            fix = _(
                "Nobody else was sent to. Look at the reasons below, then cancel, or"
                " press Resume to send to everyone all the same."
            )
    return {
        "code": found.pause_code,
        "title": title,
        "text": _(code.meaning) if code else "",
        "words": words.strip(),
        "ip": errors.requested_ip(found.pause_detail),
        "fix": fix,
        "resume_at": found.resume_at,
        "china": _china_time(found.resume_at),
        "is_bad": found.pause_code not in {"operator", "quota", "reserve"},
    }


def _plan(found: Send) -> quotas.Plan | None:
    """Return how the rest of a send is spread over days, None if it needs but today's
    quota, or nobody knows that."""
    going = found.status == Send.Status.RUNNING or found.resume_at
    if not going or not found.is_open or found.template is None:
        return None
    reading = quotas.known(found.channel, found.template.kind)
    if reading is None:
        return None
    reserve = 0 if found.source == Send.Source.API else found.channel.api_reserve
    others = Send.objects.exclude(pk=found.pk)
    ahead = others.ahead(found.channel_id, found.template.kind)
    plan = quotas.plan(found.n_waiting, reading, reserve, ahead)
    return plan if plan.takes_days else None


def _first(found: Send) -> int:
    """Return how many go first while everyone else waits for them, else 0."""
    if found.status != Send.Status.RUNNING or found.canary != Send.Canary.WAITING:
        return 0
    return canary.size(found.total - found.n_skipped)


def _china_time(at: datetime | None) -> datetime | None:
    """Return the time in China, None where the operator's clock shows the same."""
    if at is None:
        return None
    there = at.astimezone(CHINA)
    here = timezone.localtime(at)
    return there if there.utcoffset() != here.utcoffset() else None


def _slowed(found: Send) -> dict[str, Any] | None:
    """Return what share of its pace the send's channel is given, None: all of it."""
    if found.status != Send.Status.RUNNING:
        return None
    drain = Drain.objects.filter(channel=found.channel, pace__lt=1).first()
    if drain is None:
        return None
    pace = pacing.Pace.of(drain, timezone.now())
    if pace.share == 1:
        return None
    return {"percent": round(100 * pace.share), "reason": pace.reason}


def _hold(found: Send) -> Drain | None:
    return Drain.objects.filter(
        channel=found.channel, hold_until__gt=timezone.now()
    ).first()


def _deliveries(request: HttpRequest, found: Send) -> dict[str, Any]:
    word = request.GET.get("status", "")
    person = request.GET.get("q", "").strip()[:64]
    after = request.GET.get("after", "")
    status = Delivery.Status.__members__.get(word.upper())
    page_ = reporting.deliveries(
        found,
        status.value if status is not None else None,
        person,
        int(after) if after.isdecimal() and len(after) < 19 else 0,
    )
    labels = preflight.labels_of(found)
    query = {"status": word, "q": person, "after": page_.next}
    return {
        "rows": [
            {
                "delivery": row,
                "word": Delivery.Status(row.status).name.lower(),
                "openid": reporting.mask(row.openid),
                "reason": reporting.explain(row, labels),
            }
            for row in page_.rows
        ],
        "statuses": [(s.name.lower(), s.label) for s in Delivery.Status],
        "status": word if status is not None else "",
        "q": person,
        "after": after,
        "next": urlencode({k: v for k, v in query.items() if v}) if page_.next else "",
    }


@needs("sends.view_send")
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The live part of the page."""
    found = get_send(pk)
    every = _every(found)
    live = "stop" if every is None else ""
    # Its deliveries are different now, and it is looked at less often.
    if request.GET.get("status") and request.GET["status"] != found.status:
        live = "reload"
    return fragment(
        request, "sends/_progress.html", live, send=found, **_told(request, found)
    )


@needs("sends.control_send")
@require_POST
def act(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """Pause, resume or cancel."""
    found = get_send(pk)
    try:
        ACTIONS[action](found, by=operator(request).get_username())
    except control.WrongState as error:
        messages.warning(request, str(error))
    return to_send(found)


@needs("sends.view_send")
def export(request: HttpRequest, pk: int, kind: str) -> StreamingHttpResponse:
    """The deliveries as a file, of one status or all."""
    found = get_send(pk)
    if is_draft(found):
        raise Http404
    word = request.GET.get("status", "")
    status = Delivery.Status.__members__.get(word.upper())
    header = [str(title) for title in reporting.EXPORT_HEADER]
    value = status.value if status is not None else None
    name = f"send-{found.pk}" + (f"-{word}" if status is not None else "")
    return download(kind, name, header, reporting.export_rows(found, value))


# -- again -----------------------------------------------------------------------------


def _again_groups(found: Send, reasons: list[reporting.Reason]) -> list[dict[str, Any]]:
    """Return the groups that may be tried again, with how many they are."""
    again = drafting.Again
    refused = sum(r.count for r in reasons if r.passing and r.status_word == "refused")
    failed = sum(
        r.count for r in reasons if r.passing and r.status_word == "undelivered"
    )
    groups = [
        (again.PASSING, refused, _("Refused for a reason that passes"), ""),
        (
            again.SYSTEM_FAILED,
            failed,
            _("Taken by WeChat, but not delivered: a failure of WeChat's own"),
            "",
        ),
        (
            again.CANCELED,
            found.n_canceled,
            _("Not sent, because the send was canceled"),
            "",
        ),
        (
            again.UNKNOWN,
            found.n_unknown,
            _("Sent, but WeChat's answer was never seen"),
            _again_warning(found),
        ),
    ]
    offered = [group for group in groups if group[1]]
    return [
        {
            "word": str(word),
            "count": count,
            "text": text,
            "warning": warning,
            "chosen": word == again.PASSING or (len(offered) == 1 and not warning),
        }
        for word, count, text, warning in offered
    ]


def _again_warning(found: Send) -> str:
    """Say what a repeat after an unseen answer risks."""
    if found.template and found.template.is_subscribe:
        return _(
            "A subscribe-notification has nothing by which WeChat would recognise a "
            "repeat: whoever has it already gets it twice, and each one uses an "
            "acceptance. Better wait for the receipts, which come for a day."
        )
    return _("Some of them have the message already and will get it twice.")


@needs("sends.add_send")
@require_POST
def send_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a draft for those it failed for, and go to its check."""
    found = get_send(pk)
    if found.is_open or is_draft(found):
        messages.warning(request, _("This send has not ended yet."))
        return to_send(found)
    choices = [
        group["word"] for group in _again_groups(found, reporting.reasons(found))
    ]
    form = AgainForm(request.POST, choices=choices)
    if not form.is_valid():
        messages.warning(request, _("Choose at least one group."))
        return redirect(reverse("admin:sends_send_change", args=[pk]) + "#again")
    draft = drafting.send_again(found, form.cleaned_data["what"], operator(request))
    return to_step(draft, "values")
