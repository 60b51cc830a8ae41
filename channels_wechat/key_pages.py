"""The console's pages of access keys and business channels: a secret is shown in the
very answer that made it, and nothing keeps it for a next one."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from . import access_keys, business_channels
from .console import ConsoleAdmin, shown_time, switched
from .forms import BusinessChannelForm, RotationForm
from .models import BusinessChannel


class KeyAdmin(ConsoleAdmin):
    """What both kinds of key pairs share."""

    list_filter = ["enabled"]
    search_fields = ["name", "key"]
    actions_detail = ["rotate"]
    key_label: ClassVar[str]
    secret_label: ClassVar[str]

    def make(self, obj: Any, form: Any, by: Any) -> tuple[Any, str]:
        """Store a new pair; return its row and its secret."""
        raise NotImplementedError

    def renew(self, obj: Any, keep: timedelta) -> tuple[str, datetime]:
        """Give the pair a new secret; return it and until when the old one works."""
        raise NotImplementedError

    def shown_once(self) -> str:
        return gettext(
            "It is shown this once. A lost one is replaced by rotating the secret."
        )

    @admin.display(description=_("key"), ordering="key")
    def shown_key(self, row: Any) -> SafeString:
        return format_html('<span class="mono nowrap">{}</span>', row.key)

    @admin.display(description=_("key"))
    def key_to_copy(self, row: Any) -> SafeString:
        return render_to_string("console/_copy.html", {"text": row.key})

    @admin.display(description=_("state"), ordering="enabled")
    def state(self, row: Any) -> SafeString:
        return switched(row.enabled)

    @admin.display(description=_("created"), ordering="created_at")
    def made_at(self, row: Any) -> str:
        return shown_time(row.created_at)

    @admin.display(description=_("created by"))
    def made_by(self, row: Any) -> str:
        return str(row.created_by or gettext("the API or a command"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return []
        return ["key_to_copy", "last_used_at", "made_at", "made_by", "old_until"]

    @admin.display(description=_("old secret valid until"))
    def old_until(self, row: Any) -> str:
        until: datetime | None = row.previous_valid_until
        if until is None or until <= timezone.now():
            return gettext("no old secret works")
        return shown_time(until)

    def save_model(
        self, request: HttpRequest, obj: Any, form: ModelForm, change: bool
    ) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        row, obj.fresh_secret = self.make(obj, form, request.user)
        obj.pk, obj.key = row.pk, row.key
        obj._state.adding = False

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: Any = None
    ) -> HttpResponse:
        return self._show(request, obj, obj.fresh_secret)

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description=_("Rotate the secret"),
        url_path="rotate",
        permissions=["change"],
        icon="autorenew",
    )
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask how long the old secret shall work; then show the new one, once."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        form = RotationForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            keep = timedelta(seconds=form.cleaned_data["keep_old_for_s"])
            secret, until = self.renew(row, keep)
            self.log_change(request, row, self.secret_label)
            return self._show(request, row, secret, until if keep else None)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": gettext("Rotate the secret"),
            "form": form,
            "back_url": self._address("change", row),
        }
        return TemplateResponse(request, "channels_wechat/rotate.html", context)

    def _show(
        self,
        request: HttpRequest,
        row: Model,
        secret: str,
        old_valid_until: datetime | None = None,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": str(row),
            "text": self.shown_once(),
            "key_label": self.key_label,
            "secret_label": self.secret_label,
            "fresh_secret": secret,
            "old_valid_until": old_valid_until,
            "done_url": self._address("change", row),
        }
        response = TemplateResponse(request, "channels_wechat/new_secret.html", context)
        response["Cache-Control"] = "no-store"
        return response


class AccessKeyAdmin(KeyAdmin):
    """Key pairs of the resource API."""

    lead = _(
        "With an access key, a system of yours may do everything below /api/, and"
        " change users below /v1/. Give each system its own, so that one can be"
        " switched off without the others."
    )
    list_display = ["name", "shown_key", "state", "last_used_at", "made_at"]
    goes_along = _("Whatever still uses it is refused from then on.")
    key_label, secret_label = "AccessKey", "Secret"

    def shown_once(self) -> str:
        return gettext(
            "It is shown this once; only its fingerprint is kept. A lost one is"
            " replaced by rotating the secret."
        )

    def make(self, obj: Any, form: Any, by: Any) -> tuple[Any, str]:
        return access_keys.create_access_key(obj.name, by=by)

    def renew(self, obj: Any, keep: timedelta) -> tuple[str, datetime]:
        return access_keys.rotate_secret(obj, keep)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return ["name"]
        return ["name", "enabled", *self.get_readonly_fields(request, obj)]


class BusinessChannelAdmin(KeyAdmin):
    """Business lines that send: their pairs, channels and protections."""

    lead = _(
        "A business channel is a system that sends through the API: its ChannelKey and"
        " MasterSecret, the channels it may use, and what protects people from it."
    )
    form = BusinessChannelForm
    change_form_outer_after_template = "channels_wechat/_sender_links.html"
    list_display = [
        "name",
        "shown_key",
        "shown_channels",
        "state",
        "protections",
        "last_used_at",
    ]
    list_filter = ["enabled", "review", "channels"]
    goes_along = _(
        "Its callback URLs and strategies go along; whatever still uses its key is"
        " refused from then on."
    )
    is_kept = _("Sends belong to this business channel, so it stays. Disable it.")
    key_label, secret_label = "ChannelKey", "MasterSecret"

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("channels")

    def make(self, obj: Any, form: Any, by: Any) -> tuple[Any, str]:
        fields = dict(form.cleaned_data)
        words = fields.pop("words")
        return business_channels.create_business_channel(
            by=by, sensitive_words=words, **fields
        )

    def renew(self, obj: Any, keep: timedelta) -> tuple[str, datetime]:
        until = business_channels.rotate_secret(obj, keep)
        return obj.master_secret, until

    @admin.display(description=_("channels"))
    def shown_channels(self, row: BusinessChannel) -> str:
        return " · ".join(channel.name for channel in row.channels.all()) or "—"

    @admin.display(description=_("protections"))
    def protections(self, row: BusinessChannel) -> str:
        return " · ".join(on(row)) or gettext("off")

    @admin.display(description=_("sensitive words"))
    def words(self, row: BusinessChannel) -> str:
        """What those see who may only look; others have a form field of that name."""
        return ", ".join(row.sensitive_words)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sets: list[Any] = [
            (None, {"fields": ["name", "channels", "enabled"]}),
            (
                _("Protections"),
                {
                    "fields": [
                        "review",
                        ("calls_per_minute", "broadcasts_per_day"),
                        ("per_person_per_day", "quiet_hours"),
                        "words",
                    ],
                    "description": _(
                        "Each one is off until you set it. A call that runs into one is"
                        " refused with the code that is named here."
                    ),
                },
            ),
            (
                _("Status callbacks"),
                {"fields": [("callbacks_enabled", "sign_callbacks"), "track_clicks"]},
            ),
        ]
        if obj is not None:
            key, used, made, maker, old = self.get_readonly_fields(request, obj)
            facts = {"fields": [(key, used), (made, maker), old]}
            sets.append((_("ChannelKey"), facts))
        return sets


def on(row: BusinessChannel) -> list[str]:
    """Return the protections that are on, in the language that is active now."""
    limits = [
        (row.review, gettext("review")),
        (row.calls_per_minute is not None, gettext("calls a minute")),
        (row.broadcasts_per_day is not None, gettext("broadcasts a day")),
        (row.per_person_per_day is not None, gettext("messages a person and day")),
        (row.quiet_hours, gettext("quiet hours")),
        (row.sensitive_words, gettext("sensitive words")),
    ]
    return [name for is_on, name in limits if is_on]
