"""The steps that make a send: template, audience, values, check, confirm.

Each step is a page of one draft; nothing is kept but the draft's row, so a step can be
left, reloaded, repeated or continued on another day.
"""

from typing import Any

from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from channels_wechat import quotas
from channels_wechat.models import Channel
from channels_wechat.wechat.errors import WeChatError
from sends import audience, canary, control, drafting, preflight, previewing, reading
from sends.models import Send
from templates_mgmt.hints import hint
from templates_mgmt.models import GeneralTemplate, Template
from templates_mgmt.previewing import NOT_SHOWN
from users.models import OpenID, RecipientTag
from users.workbooks import BadFile

from .forms import LATE, AudienceForm, ConfirmForm, TemplateForm, ValuesForm
from .pages import (
    STEPS,
    fragment,
    get_send,
    is_draft,
    needs,
    operator,
    page,
    step_page,
    to_send,
    to_step,
)

# How many tags are offered; the rest can be reached with a list.
TAGS_SHOWN = 200
COUNTS_KEPT_S = 60


def next_step(send: Send) -> str:
    """Return where the work on a draft goes on."""
    if send.template is None or send.template.removed_at:
        return "template"
    state = reading.state_of(send)
    if not send.data or (state and state.state != "done"):
        return "audience"
    return "check" if preflight.report_of(send) else "values"


# -- 1 template ------------------------------------------------------------------------


@needs("sends.add_send")
def add(request: HttpRequest) -> HttpResponse:
    return _template(request, None)


@needs("sends.add_send")
def template(request: HttpRequest, pk: int) -> HttpResponse:
    send = get_send(pk)
    return _template(request, send) if is_draft(send) else to_send(send)


def _template(request: HttpRequest, send: Send | None) -> HttpResponse:
    form = TemplateForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            return to_step(_chosen(request, send, form.cleaned_data), "audience")
        except control.WrongState:
            assert send is not None
            return to_send(send)
    channels = list(Channel.objects.filter(enabled=True))
    channel = _asked_channel(request, send, channels)
    templates: list[Template] = []
    if channel:
        found = Template.objects.filter(channel=channel, removed_at__isnull=True)
        templates = list(found.order_by("title", "pk"))
    chosen = _asked_template(request, send, templates)
    steps = [(title, "") for title in STEPS.values()]
    gone = send is not None and send.template is not None and send.template.removed_at
    return page(
        request,
        "sends/step_template.html",
        (send and send.title) or _("New send"),
        send=send,
        steps=steps,
        current=1,
        form=form,
        channels=channels,
        channel=channel,
        templates=templates,
        chosen=chosen,
        gone=send.template if send and gone else None,
        card=_card_of(chosen) if chosen else None,
        title_value=request.POST.get("title", send.title if send else ""),
        may_refresh=request.user.has_perm("channels_wechat.refresh_templates"),
        here=request.get_full_path(),
    )


def _asked_channel(
    request: HttpRequest, send: Send | None, channels: list[Channel]
) -> Channel | None:
    wanted = request.POST.get("channel") or request.GET.get("channel")
    if not wanted and send:
        wanted = str(send.channel_id)
    if not wanted and (template := request.GET.get("template", "")).isdecimal():
        wanted = str(
            Template.objects.filter(pk=template)
            .values_list("channel_id", flat=True)
            .first()
        )
    for channel in channels:
        if str(channel.pk) == wanted:
            return channel
    return channels[0] if channels else None


def _asked_template(
    request: HttpRequest, send: Send | None, templates: list[Template]
) -> Template | None:
    wanted = request.POST.get("template") or request.GET.get("template")
    if not wanted and send:
        wanted = str(send.template_id)
    for found in templates:
        if str(found.pk) == wanted:
            return found
    return templates[0] if len(templates) == 1 else None


def _chosen(request: HttpRequest, send: Send | None, answers: dict[str, Any]) -> Send:
    chosen: Template = answers["template"]
    fields = {
        "channel": answers["channel"],
        "template": chosen,
        "title": answers["title"].strip() or chosen.title[:80],
    }
    if send is None:
        texts = _texts_of(request.GET.get("general", ""), chosen)
        return control.new_draft(operator(request), **fields, **texts)
    keys = {field["key"] for field in chosen.fields}
    data = {key: text for key, text in send.data.items() if key in keys}
    drafting.change(send, **fields, data=data)
    return send


def _texts_of(number: str, chosen: Template) -> dict[str, Any]:
    """Return what a general template of this template has to say, {} without one."""
    if not number.isdecimal() or len(number) > 18:
        return {}
    general = GeneralTemplate.objects.filter(pk=number, template=chosen).first()
    if general is None:
        return {}
    names = ("data", "url", "miniprogram_appid", "miniprogram_path")
    return {name: getattr(general, name) for name in names}


def _card_of(chosen: Template) -> previewing.Card:
    return previewing.example_card(Send(channel=chosen.channel, template=chosen))


@needs("sends.view_send")
def template_card(request: HttpRequest, template_pk: int) -> HttpResponse:
    """The example of one template, for the phone beside the list."""
    found = get_object_or_404(
        Template.objects.select_related("channel"), pk=template_pk
    )
    return fragment(request, "sends/_card.html", card=_card_of(found))


# -- 2 audience ------------------------------------------------------------------------


@needs("sends.add_send")
def audience_step(request: HttpRequest, pk: int) -> HttpResponse:
    send = get_send(pk)
    if not is_draft(send):
        return to_send(send)
    if send.template is None:
        return to_step(send, "template")
    tags = _tags()
    form = AudienceForm(
        request.POST or None,
        request.FILES or None,
        tags=[tag["name"] for tag in tags] + list(send.tags),
    )
    if request.method == "POST" and form.is_valid():
        try:
            return to_step(send, _take_audience(send, form.cleaned_data))
        except BadFile as error:
            form.add_error("file", error.sentence)
        except control.WrongState:
            return to_send(send)
    state = reading.state_of(send)
    done = state is not None and state.state == "done"
    failed = state is not None and state.state == "failed"
    kept = "keep" if done else state.kind if state and failed else send.audience
    kind = form.data.get("kind") or kept
    counts = audience.counts(send) if done else None
    return step_page(
        request,
        send,
        "audience",
        form=form,
        kind=kind,
        state=state,
        counts=counts,
        receiving=counts.to_send if counts else 0,
        everyone=_everyone(send.channel),
        tags=tags,
        chosen_tags=request.POST.getlist("tags") if form.is_bound else send.tags,
    )


def _take_audience(send: Send, answers: dict[str, Any]) -> str:
    """Act on the answers; return the step to go to."""
    match answers["kind"]:
        case "all":
            reading.choose_everyone(send)
        case "tags":
            reading.choose_tags(send, answers["tags"])
        case "paste":
            reading.take_paste(send, answers["pasted"])
            return "audience"
        case "file":
            reading.take_file(send, answers["file"], answers["file"].name)
            return "audience"
        case _:
            state = reading.state_of(send)
            if state is None or state.state != "done":
                return "audience"
    return "values"


def _tags() -> list[dict[str, Any]]:
    def count() -> list[dict[str, Any]]:
        found = RecipientTag.objects.values("name").annotate(
            people=Count("recipient", distinct=True)
        )
        shown = found.order_by("-people", "name")[:TAGS_SHOWN]
        return [dict(tag) for tag in shown]

    found: list[dict[str, Any]] = cache.get_or_set("send-tags", count, COUNTS_KEPT_S)  # type: ignore[assignment]
    return found


def _everyone(channel: Channel) -> int:
    counted = cache.get_or_set(
        f"send-everyone:{channel.pk}",
        lambda: OpenID.objects.filter(channel=channel).count(),
        COUNTS_KEPT_S,
    )
    return counted or 0


@needs("sends.add_send")
def reading_state(request: HttpRequest, pk: int) -> HttpResponse:
    """How far the list is; a reader that went silent is called again."""
    send = get_send(pk)
    state = reading.state_of(send)
    if state is None or not state.is_under_way:
        return fragment(request, "sends/_reading.html", "reload", state=state)
    reading.wake_if_silent(send)
    return fragment(request, "sends/_reading.html", state=state)


# -- 3 values --------------------------------------------------------------------------


@needs("sends.add_send")
def values(request: HttpRequest, pk: int) -> HttpResponse:
    send = get_send(pk)
    if not is_draft(send):
        return to_send(send)
    if send.template is None:
        return to_step(send, "template")
    names = names_of(send)
    form = ValuesForm(request.POST or None, send=send, names=names)
    if request.method == "POST":
        chosen = form.chosen()
        if form.is_valid():
            try:
                drafting.change(send, **chosen)
            except control.WrongState:
                return to_send(send)
            return to_step(send, "check")
        for name, value in chosen.items():
            setattr(send, name, value)
    elif not send.data:
        send.data = suggested(send)
    person = previewing.person_at(send)
    return step_page(
        request,
        send,
        "values",
        form=form,
        fields=_value_fields(send, form),
        names=names,
        card=previewing.card(send, person),
        person=person,
    )


def names_of(send: Send) -> list[str]:
    """Return the names a placeholder may use, those of the list first."""
    columns = list(send.columns)
    return columns + [name for name in audience.BUILT_IN if name not in columns]


def suggested(send: Send) -> dict[str, str]:
    """Return a placeholder for each field that a column is named after."""
    assert send.template is not None
    by_name = {name.strip().lower(): name for name in send.columns}
    found = {}
    for field in send.template.fields:
        for word in (field["key"], field["label"]):
            name = by_name.get(word.strip().lower())
            if word and name:
                found[field["key"]] = f"{{{{{name}}}}}"
                break
    return found


def _value_fields(send: Send, form: ValuesForm) -> list[dict[str, Any]]:
    assert send.template is not None
    return [
        {
            "key": field["key"],
            "name": f"value-{field['key']}",
            "label": field["label"] or field["key"],
            "hint": _("WeChat no longer shows this field.")
            if field["key"] in NOT_SHOWN
            else hint(field, send.template.kind),
            "value": send.data.get(field["key"], ""),
            "errors": form.errors.get(f"value-{field['key']}", [])
            if form.is_bound
            else [],
        }
        for field in send.template.fields
    ]


@needs("sends.view_send")
@require_POST
def preview(request: HttpRequest, pk: int) -> HttpResponse:
    """The phone of one person, with the texts as they are typed right now."""
    send = get_send(pk)
    if send.template is None:
        return HttpResponse(status=404)
    if "typed" in request.POST:
        # Of this object alone: nothing is saved.
        form = ValuesForm(request.POST, send=send, names=[])
        for name, value in form.chosen().items():
            setattr(send, name, value)
    seen = _number(request.POST.get("seen"))
    turn = request.POST.get("turn", "this")
    person, missed = None, ""
    if query := request.POST.get("q", "").strip():
        person = previewing.person_named(send, query)
        missed = "" if person else _("Nobody in the audience is called this.")
    elif turn in {"next", "previous"}:
        person = previewing.person_at(send, turn, seen)  # type: ignore[arg-type]
        missed = "" if person else _("That is the end of the list.")
    if person is None and seen:
        person = previewing.person_at(send, "this", seen)
    person = person or previewing.person_at(send)
    return fragment(
        request,
        "sends/_person.html",
        send=send,
        person=person,
        card=previewing.card(send, person),
        missed=missed,
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 19 else 0


# -- 4 check: see console/checks.py ----------------------------------------------------
# -- 5 confirm -------------------------------------------------------------------------


@needs("sends.submit_send")
def confirm(request: HttpRequest, pk: int) -> HttpResponse:
    send = get_send(pk)
    if not is_draft(send):
        # A second click, or a reload after the first: it is on its way.
        return to_send(send)
    if (gate := _gate(send)) is not None:
        return gate
    report = preflight.report_of(send)
    assert report is not None
    form = ConfirmForm(request.POST or None)
    refused: list[str] = []
    if request.method == "POST" and form.is_valid():
        later = form.cleaned_data["when"] == "later"
        send.canary = Send.Canary.WAITING if form.cleaned_data["canary"] else ""
        send.priority = form.cleaned_data["priority"] or Send.Priority.NORMAL
        send.late_within_h = form.cleaned_data["late"] if later else None
        send.save(update_fields=["canary", "priority", "late_within_h"])
        try:
            control.submit(send, form.cleaned_data["at"] if later else None)
        except ValidationError as error:
            refused = error.messages
        except control.WrongState:
            return to_send(send)
        else:
            return to_send(send)
    counts = audience.counts(send)
    receiving = max(0, counts.to_send - report.bad)
    first = canary.size(receiving)
    return step_page(
        request,
        send,
        "confirm",
        first=first if receiving > first else 0,
        form=form,
        late=LATE,
        priorities=Send.Priority.choices,
        priority=int(request.POST.get("priority") or send.priority),
        refused=refused,
        counts=counts,
        bad=report.bad,
        receiving=receiving,
        card=previewing.card(send, previewing.person_at(send)),
        zone=timezone.get_current_timezone_name(),
        earliest=timezone.localtime().strftime("%Y-%m-%dT%H:%M"),
    )


@needs("sends.submit_send")
def quota(request: HttpRequest, pk: int) -> HttpResponse:
    """What WeChat still lets this account send today; asked apart from the page, which
    shall not wait for WeChat."""
    send = get_send(pk)
    kind = send.template.kind if send.template else Template.Kind.TEMPLATE
    try:
        reading = quotas.read(send.channel, kind)
    except WeChatError as error:
        return fragment(request, "sends/_quota.html", "stop", refused=error)
    reserve, ahead = send.channel.api_reserve, Send.objects.ahead(send.channel_id, kind)
    wanted = _number(request.GET.get("people"))
    plan = quotas.plan(wanted, reading, reserve, ahead)
    return fragment(
        request,
        "sends/_quota.html",
        "stop",
        quota=reading,
        reserve=reserve,
        ahead=ahead,
        plan=plan if plan.takes_days else None,
    )


def _gate(send: Send) -> HttpResponseRedirect | None:
    """Return where to go first, None when the draft may be confirmed."""
    state = reading.state_of(send)
    if send.template is None or send.template.removed_at:
        return to_step(send, "template")
    if state is not None and state.state != "done":
        return to_step(send, "audience")
    report = preflight.report_of(send)
    fine = (
        report is not None
        and not report.is_under_way
        and not report.blocks
        and (not report.bad or report.accepted)
    )
    return None if fine else to_step(send, "check")


@needs("sends.delete_send")
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a draft; nothing else can be deleted."""
    send = get_send(pk)
    try:
        drafting.delete(send)
    except control.WrongState as error:
        messages.error(request, str(error))
        return to_send(send)
    messages.success(request, _("The draft was deleted."))
    return redirect(reverse("admin:sends_send_changelist"))
