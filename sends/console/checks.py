"""Step 4: every value of everyone, the problems as a file, and a test send to one."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from channels_wechat.wechat.limits import Problem
from sends import (
    audience,
    control,
    drafting,
    exporting,
    preflight,
    previewing,
    reading,
    reporting,
)
from sends.models import Delivery, Send

from .pages import (
    fragment,
    get_send,
    is_draft,
    needs,
    operator,
    sends,
    step_page,
    step_url,
    to_send,
    to_step,
)

# A test's form works once; so long is remembered that it was used.
TOKEN_KEPT_S = 3600


@needs("sends.add_send")
def check(request: HttpRequest, pk: int) -> HttpResponse:
    send = get_send(pk)
    if not is_draft(send):
        return to_send(send)
    state = reading.state_of(send)
    if send.template is None or send.template.removed_at:
        return to_step(send, "template")
    if state is not None and state.state != "done":
        return to_step(send, "audience")
    if not send.data:
        return to_step(send, "values")
    if request.method == "POST":
        if "unreachable" in request.POST:
            return _choose(request, send)
        return _accept(request, send)
    try:
        report = preflight.start(send)
    except control.WrongState:
        return to_send(send)
    return step_page(
        request,
        send,
        "check",
        unfilled=not report.is_under_way and not report.total and not report.checked,
        test_error=request.session.pop("send-test-error", ""),
        test=_test_of(request, send),
        person=(person := previewing.person_at(send)),
        card=previewing.card(send, person),
        token=secrets.token_hex(8),
        forecast=audience.counts(send) if send.template.is_subscribe else None,
        **_told(send, report),
    )


def _choose(request: HttpRequest, send: Send) -> HttpResponse:
    """Skip people of whom no acceptance is left, or try them."""
    skip = request.POST["unreachable"] != "try"
    try:
        if skip != send.skip_unreachable:
            drafting.change(send, skip_unreachable=skip)
    except control.WrongState:
        return to_send(send)
    return to_step(send, "check")


def _told(send: Send, report: preflight.Report) -> dict[str, Any]:
    labels = preflight.labels_of(send)
    return {
        "report": report,
        "groups": [
            {
                "label": labels.get(group.key, group.key),
                "text": reporting.short(
                    Problem(group.code, group.key, group.limit), labels
                ),
                "lines": group.lines,
                "blocks": group.blocks,
            }
            for group in report.groups
        ],
        "constants": [
            {"text": preflight.sentence(problem, labels), "blocks": problem.blocks}
            for problem in (
                Problem(code, key, limit, length)
                for key, code, limit, length in report.constants
            )
        ],
        "examples": [
            {
                "who": userid or reporting.mask(openid),
                "person": person,
                "text": preflight.sentence(Problem(code, key, limit, length), labels),
                "value": value,
            }
            for person, userid, openid, key, code, limit, length, value in (
                report.examples
            )
        ],
    }


def _accept(request: HttpRequest, send: Send) -> HttpResponse:
    report = preflight.report_of(send)
    if report is None or report.is_under_way or report.blocks:
        return to_step(send, "check")
    if report.bad:
        if "accept" not in request.POST:
            return to_step(send, "check")
        try:
            preflight.accept(send)
        except control.WrongState:
            return to_send(send)
    return to_step(send, "confirm")


@needs("sends.add_send")
def check_state(request: HttpRequest, pk: int) -> HttpResponse:
    """How far the check is; a checker that went silent is called again."""
    send = get_send(pk)
    report = preflight.report_of(send)
    if report is None or not report.is_under_way:
        return fragment(request, "sends/_checking.html", "reload", report=report)
    try:
        report = preflight.start(send)
    except control.WrongState:
        return fragment(request, "sends/_checking.html", "reload", report=report)
    return fragment(request, "sends/_checking.html", report=report)


@needs("sends.view_send")
def problems_file(request: HttpRequest, pk: int, kind: str) -> StreamingHttpResponse:
    """Every unfit value of everyone, as a table."""
    send = get_send(pk)
    labels = preflight.labels_of(send)

    def rows() -> Iterator[list[object]]:
        for person, problem, value in preflight.findings(send):
            yield [
                person.row or "",
                person.userid,
                person.openid,
                labels.get(problem.key, problem.key),
                value,
                preflight.sentence(problem, labels),
                _("is skipped") if problem.blocks else _("is sent"),
            ]

    header = [
        _("row"),
        "userid",
        "openid",
        _("field"),
        _("value"),
        _("problem"),
        _("what happens"),
    ]
    return download(kind, f"problems-{send.pk}", header, rows())


def download(
    kind: str, name: str, header: exporting.Row, rows: Iterator[list[object]]
) -> StreamingHttpResponse:
    """Return a table as a file that is written while it is read."""
    response = StreamingHttpResponse(
        exporting.stream(kind, header, rows),
        content_type=exporting.CONTENT_TYPES[kind],
    )
    response["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return response


# -- test send -------------------------------------------------------------------------


@needs("sends.submit_send")
@require_POST
def send_test(request: HttpRequest, pk: int) -> HttpResponse:
    """Send the message with one person's values, to this person or to somebody else."""
    send = get_send(pk)
    if not is_draft(send):
        return to_send(send)
    token = request.POST.get("token", "")[:40]
    if not cache.add(f"send-test:{token}", True, TOKEN_KEPT_S):
        return to_step(send, "check")  # a second click
    seen = request.POST.get("person", "")
    person = (
        previewing.person_at(send, "this", int(seen))
        if seen.isdecimal() and len(seen) < 19
        else None
    )
    to = request.POST.get("to", "").strip()[:64]
    error = ""
    if person is None:
        error = _("There is nobody whose values could be used.")
    elif to:
        is_openid = bool(reading.OPENID.match(to))
        person = replace(
            person, userid="" if is_openid else to, openid=to if is_openid else ""
        )
    if person is not None:
        try:
            test = control.new_test(send, person, operator(request))
        except ValidationError as refusal:
            error = " ".join(refusal.messages)
        else:
            return _with_test(send, test)
    request.session["send-test-error"] = error
    return to_step(send, "check")


def _with_test(send: Send, test: Send) -> HttpResponse:
    return redirect(f"{step_url(send, 'check')}?test={test.pk}#test")


def _test_of(request: HttpRequest, send: Send) -> dict[str, Any] | None:
    pk = request.GET.get("test", "")
    if not pk.isdecimal() or len(pk) > 18:
        return None
    test = sends().filter(pk=pk, source=Send.Source.TEST, channel=send.channel).first()
    return _test_told(test) if test else None


def _test_told(test: Send) -> dict[str, Any]:
    delivery = Delivery.objects.filter(send=test).first()
    reason = reporting.explain(delivery, {}) if delivery else None
    settled = delivery is not None and delivery.status not in (
        Delivery.Status.WAITING,
        Delivery.Status.SENDING,
        Delivery.Status.ACCEPTED,
    )
    return {
        "send": test,
        "delivery": delivery,
        "who": delivery.userid or reporting.mask(delivery.openid) if delivery else "",
        "word": Delivery.Status(delivery.status).name.lower() if delivery else "",
        "reason": reason,
        "settled": settled,
    }


@needs("sends.view_send")
def test_state(request: HttpRequest, pk: int) -> HttpResponse:
    """What became of a test send."""
    test = get_object_or_404(sends(), pk=pk, source=Send.Source.TEST)
    told = _test_told(test)
    live = "stop" if told["settled"] or test.status == Send.Status.PAUSED else ""
    return fragment(request, "sends/_test.html", live, test=told)
