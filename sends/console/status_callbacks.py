"""Callback URLs of business channels, and the log of what they were told."""

from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from sends import callback_urls, calling, telling
from sends.models import CallbackURL, StatusBatch

REPLAY = "sends.replay_statusbatch"
STATE_PILLS = {
    StatusBatch.State.WAITING: "waiting",
    StatusBatch.State.HELD: "warn",
    StatusBatch.State.DELIVERED: "ok",
    StatusBatch.State.FAILED: "bad",
}


def _pill(word: str, label: object) -> SafeString:
    return format_html('<span class="pill pill-{}">{}</span>', word, label)


class CallbackURLForm(forms.ModelForm):
    """A new URL is verified while the form is checked."""

    types = forms.TypedMultipleChoiceField(
        label=_("Tell it of"),
        choices=[(number, label) for number, label in callback_urls.TYPES.items()],
        coerce=int,
        required=False,
        initial=list(callback_urls.TYPES),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = CallbackURL
        fields: ClassVar = ["business_channel", "url", "default", "types"]
        help_texts: ClassVar = {
            "url": _(
                "It is called at once with ?echostr=… and has to answer exactly that"
                " text."
            ),
            "default": _("Hears of every send that names no URL."),
        }

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if self.instance.pk:
            if self.initial.get("default") and not given.get("default"):
                self.add_error(
                    "default", _("Make another URL the default one instead of this.")
                )
        elif not self.errors:
            try:
                callback_urls.verify_new(given["business_channel"], given["url"])
            except (
                calling.URLRefused,
                callback_urls.Unverified,
                callback_urls.NotPossible,
            ) as problem:
                self.add_error("url", str(problem))
        return given


class CallbackURLAdmin(ModelAdmin):
    """Where business systems hear of their messages."""

    form = CallbackURLForm
    list_display = ["shown_url", "business_channel", "is_default", "told", "state"]
    list_filter = ["business_channel"]
    list_filter_submit = False
    list_select_related = ["business_channel"]
    search_fields = ["url"]
    ordering = ["business_channel__name", "pk"]
    actions = ["test_selected", "make_default"]
    compressed_fields = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[CallbackURL]:
        found: QuerySet[CallbackURL] = super().get_queryset(request)
        line = telling.in_line().filter(url=OuterRef("pk")).order_by("pk")
        return found.annotate(first_state=Subquery(line.values("state")[:1]))

    @admin.display(description="URL", ordering="url")
    def shown_url(self, row: CallbackURL) -> SafeString:
        return format_html('<span class="mono">{}</span>', row.url)

    @admin.display(description=_("default"))
    def is_default(self, row: CallbackURL) -> SafeString | str:
        return _pill("ok", _("default")) if row.default else "—"

    @admin.display(description=_("told of"))
    def told(self, row: CallbackURL) -> str:
        if len(row.types) == len(callback_urls.TYPES):
            return gettext("everything")
        labels = (str(callback_urls.TYPES[number]) for number in row.types)
        return " · ".join(labels) or gettext("nothing")

    @admin.display(description=_("state"))
    def state(self, row: CallbackURL) -> SafeString:
        if not row.business_channel.callbacks_enabled:
            return _pill("disabled", _("switched off"))
        if row.first_state == StatusBatch.State.HELD:  # type: ignore[attr-defined]
            return _pill("bad", _("does not answer"))
        if row.first_state:  # type: ignore[attr-defined]
            return _pill("info", _("being told"))
        return _pill("ok", _("nothing waits"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["business_channel", "url", "verified_at"] if obj else []

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = ["business_channel", "url", "default", "types"]
        return [*fields, "verified_at"] if obj else fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed and not (obj is not None and obj.default)

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(
        self, request: HttpRequest, obj: CallbackURL, form: Any, change: bool
    ) -> None:
        given = form.cleaned_data
        if change:
            callback_urls.change(
                obj, types=given["types"], default=given["default"] or None
            )
            return
        try:
            row = callback_urls.insert_verified(
                given["business_channel"],
                given["url"],
                types=given["types"],
                default=given["default"],
            )
        except callback_urls.NotPossible as problem:
            # Somebody added one while ours was being verified.
            raise PermissionDenied(str(problem)) from None
        obj.pk, obj.verified_at, obj.default = row.pk, row.verified_at, row.default
        obj._state.adding = False

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Its log goes along, which nobody deletes by itself, and may be long."""
        return [str(row) for row in objs], {}, set(), []

    def delete_model(self, request: HttpRequest, obj: CallbackURL) -> None:
        callback_urls.remove(obj)

    @admin.action(description=_("Test"), permissions=["change"])
    def test_selected(
        self, request: HttpRequest, queryset: QuerySet[CallbackURL]
    ) -> None:
        for row in queryset[: callback_urls.AT_MOST]:
            try:
                callback_urls.verify_again(row)
            except (calling.URLRefused, callback_urls.Unverified) as problem:
                messages.error(request, f"{row.url}: {problem}")
            else:
                messages.success(
                    request,
                    gettext("%(url)s answers as it should.") % {"url": row.url},
                )

    @admin.action(description=_("Make it the default"), permissions=["change"])
    def make_default(
        self, request: HttpRequest, queryset: QuerySet[CallbackURL]
    ) -> None:
        rows = list(queryset)
        if len({row.business_channel_id for row in rows}) < len(rows):
            messages.error(request, gettext("A business channel has one default URL."))
            return
        for row in rows:
            callback_urls.make_default(row)
            messages.success(
                request, gettext("%(url)s is the default now.") % {"url": row.url}
            )


class StatusBatchAdmin(ModelAdmin):
    """What was told, tried and failed; failed ones can be replayed."""

    list_display = [
        "number",
        "receiver",
        "shown_state",
        "size",
        "created_at",
        "last_attempt",
        "next_try",
    ]
    list_filter = ["state", "url__business_channel"]
    list_filter_submit = False
    list_select_related = ["url__business_channel"]
    ordering = ["-pk"]
    list_per_page = 50
    show_full_result_count = False
    actions = ["replay_selected"]

    # Rows are written by the worker alone.
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(REPLAY)

    @admin.display(description=_("number"), ordering="pk")
    def number(self, batch: StatusBatch) -> SafeString:
        return format_html('<span class="strong mono">{}</span>', batch)

    @admin.display(description=_("business channel"))
    def receiver(self, batch: StatusBatch) -> SafeString:
        return format_html(
            '{}<br><span class="note mono">{}</span>',
            batch.url.business_channel,
            urlsplit(batch.url.url).netloc,
        )

    @admin.display(description=_("state"), ordering="state")
    def shown_state(self, batch: StatusBatch) -> SafeString:
        state = StatusBatch.State(batch.state)
        return _pill(STATE_PILLS[state], state.label)

    @admin.display(description=_("last attempt"))
    def last_attempt(self, batch: StatusBatch) -> str:
        if not batch.attempts:
            return "—"
        last = batch.attempts[-1]
        return last["error"] or f"HTTP {last['status']} · {last['took_ms']} ms"

    @admin.display(description=_("next try"))
    def next_try(self, batch: StatusBatch) -> datetime | None:
        waits = batch.state in {StatusBatch.State.WAITING, StatusBatch.State.HELD}
        return batch.try_at if waits else None

    @admin.action(description=_("Replay"), permissions=["replay"])
    def replay_selected(
        self, request: HttpRequest, queryset: QuerySet[StatusBatch]
    ) -> None:
        self._replay(request, queryset)

    def get_urls(self) -> list[URLPattern]:
        return [
            path(
                "<int:pk>/replay/",
                self.admin_site.admin_view(require_POST(self.replay_view)),
                name="sends_statusbatch_replay",
            ),
            *super().get_urls(),
        ]

    def replay_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_replay_permission(request):
            raise PermissionDenied
        self._replay(request, StatusBatch.objects.filter(pk=pk))
        return HttpResponseRedirect(
            reverse("admin:sends_statusbatch_change", args=[pk])
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show each attempt: nothing of it can be edited."""
        batch = self.get_object(request, object_id)
        if batch is None:
            raise Http404
        if not self.has_view_permission(request, batch):
            raise PermissionDenied
        state = StatusBatch.State(batch.state)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": batch,
            "title": str(batch),
            "batch": batch,
            "pill": STATE_PILLS[state],
            "next_try": self.next_try(batch),
            "attempts": [
                {**attempt, "at": datetime.fromisoformat(attempt["at"])}
                for attempt in reversed(batch.attempts)
            ],
            "may_replay": self.has_replay_permission(request)
            and state in {StatusBatch.State.HELD, StatusBatch.State.FAILED},
        }
        return TemplateResponse(request, "sends/status_batch.html", context)

    def _replay(self, request: HttpRequest, chosen: QuerySet[StatusBatch]) -> None:
        pks = list(chosen.values_list("pk", flat=True))
        count = telling.replay(StatusBatch.objects.filter(pk__in=pks))
        if count:
            messages.success(
                request,
                ngettext(
                    "%(n)d status callback is told again.",
                    "%(n)d status callbacks are told again.",
                    count,
                )
                % {"n": count},
            )
        else:
            messages.warning(request, gettext("None of them has failed."))
