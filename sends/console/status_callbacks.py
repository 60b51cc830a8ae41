"""Callback URLs of business channels: where they hear of their messages."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from channels_wechat.console import ConsoleAdmin, pill
from sends import callback_urls, calling, telling
from sends.models import CallbackURL, StatusBatch

from .told import REPLAY


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
                "It has to answer a call with ?echostr=… with exactly that text; a new"
                " one is called when it is saved."
            ),
            "default": _("Hears of every send that names no URL."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance.pk and "default" in self.fields:
            self.fields["default"].help_text = _(
                "Hears of every send that names no URL. The first one always does."
            )

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


class CallbackURLAdmin(ConsoleAdmin):
    """Where business systems hear of their messages."""

    lead = _(
        "What becomes of each message of a business channel is posted to its callback"
        " URLs: submitted, delivered, failed and why. The first one hears of every"
        " send that names no other. Five for each business channel."
    )
    goes_along = _("What it was told and what still waits for it go along.")
    form = CallbackURLForm
    change_form_outer_before_template = "sends/_callback_url.html"
    list_display = ["shown_url", "business_channel", "is_default", "told", "state"]
    list_filter = ["business_channel"]
    list_select_related = ["business_channel"]
    search_fields = ["url"]
    ordering = ["business_channel__name", "pk"]
    actions = ["test_selected", "make_default"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[CallbackURL]:
        found: QuerySet[CallbackURL] = super().get_queryset(request)
        line = telling.in_line().filter(url=OuterRef("pk")).order_by("pk")
        return found.annotate(
            first_state=Subquery(line.values("state")[:1]),
            first_tries=Subquery(line.values("tries")[:1]),
            gave_up=Exists(
                StatusBatch.objects.filter(
                    url=OuterRef("pk"), state=StatusBatch.State.FAILED
                )
            ),
        )

    @admin.display(description="URL", ordering="url")
    def shown_url(self, row: CallbackURL) -> SafeString:
        return format_html('<span class="mono">{}</span>', row.url)

    @admin.display(description=_("default"))
    def is_default(self, row: CallbackURL) -> SafeString | str:
        return pill("ok", _("default")) if row.default else "—"

    @admin.display(description=_("told of"))
    def told(self, row: CallbackURL) -> str:
        if len(row.types) == len(callback_urls.TYPES):
            return gettext("everything")
        labels = (str(callback_urls.TYPES[number]) for number in row.types)
        return " · ".join(labels) or gettext("nothing")

    @admin.display(description=_("state"))
    def state(self, row: Any) -> SafeString:
        if not row.business_channel.callbacks_enabled:
            return pill("disabled", gettext("switched off"))
        if row.first_state == StatusBatch.State.HELD:
            return pill("bad", gettext("does not take it"))
        if row.first_tries:
            return pill("warn", gettext("tried again"))
        if row.first_state:
            return pill("info", gettext("being told"))
        if row.gave_up:
            return pill("bad", gettext("some was given up"))
        return pill("ok", gettext("nothing waits"))

    def get_urls(self) -> list[URLPattern]:
        return [
            path(
                "<int:pk>/test/",
                self.admin_site.admin_view(require_POST(self.test_view)),
                name="sends_callbackurl_test",
            ),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if row is not None:
            open_ = StatusBatch.objects.filter(
                url=row, state__in=[StatusBatch.State.HELD, StatusBatch.State.FAILED]
            )
            context |= {
                "shown_state": self.state(row),
                "may_test": self.has_change_permission(request, row),
                "may_replay": request.user.has_perm(REPLAY) and open_.exists(),
            }
        response: HttpResponse = super().change_view(
            request, object_id, form_url, context
        )
        return response

    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = get_object_or_404(CallbackURL, pk=pk)
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        _test(request, row)
        return redirect("admin:sends_callbackurl_change", pk)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["business_channel", "url", "verified_at"] if obj else []

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = ["business_channel", "url", "default", "types"]
        return [*fields, "verified_at"] if obj else fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed and not (obj is not None and obj.default)

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

    def delete_model(self, request: HttpRequest, obj: CallbackURL) -> None:
        callback_urls.remove(obj)

    @admin.action(description=_("Test"), permissions=["change"])
    def test_selected(
        self, request: HttpRequest, queryset: QuerySet[CallbackURL]
    ) -> None:
        for row in queryset[: callback_urls.AT_MOST]:
            _test(request, row)

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


def _test(request: HttpRequest, row: CallbackURL) -> None:
    """Ask for the echo once more, and say what came."""
    try:
        callback_urls.verify_again(row)
    except (calling.URLRefused, callback_urls.Unverified) as problem:
        messages.error(request, f"{row.url}: {problem}")
    else:
        said = gettext("%(url)s answers as it should.") % {"url": row.url}
        messages.success(request, said)
