"""The console's pages of channels; those of keys are in `key_pages`."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import action

from . import changing, checking
from .forms import ChannelForm
from .key_pages import AccessKeyAdmin, BusinessChannelAdmin
from .models import AccessKey, BusinessChannel, Channel, Platform
from .platform_pages import PlatformAdmin, grant_of, scan_urls
from .wechat.crypto import make_encoding_aes_key, make_token
from .wechat.errors import error_for

STATUS = {
    "ready": _("Ready"),
    "unverified": _("Not verified"),
    "unauthorized": _("Refused by WeChat"),
    "disabled": _("Disabled"),
}
CHECK = "channels_wechat.check_channel"
CHANGE = "channels_wechat.change_channel"
# Each check is up to four calls to WeChat, made while the operator waits.
CHECKED_AT_ONCE = 5


def pill(word: str, label: object) -> SafeString:
    return format_html('<span class="pill pill-{}">{}</span>', word, label)


@admin.register(Channel)
class ChannelAdmin(ModelAdmin):
    """A channel's page shows it; its form is one step further, under `edit/`."""

    form = ChannelForm
    list_display = ["named", "state", "by", "appid", "heard", "checked"]
    list_display_links = ["named"]
    list_filter = ["enabled", "authorization"]
    list_filter_submit = False
    search_fields = ["name", "code", "appid"]
    actions = ["check_selected", "enable_selected", "disable_selected"]
    actions_list = ["connect_by_scan"]
    fieldsets = [
        (None, {"fields": [("name", "code"), ("appid", "new_secret")]}),
        (
            _("Callbacks"),
            {
                "fields": ["callback_mode", ("new_token", "new_aes_key")],
                "description": _(
                    "The same mode as in WeChat's console: safe for a real account,"
                    " plain for a test account."
                ),
            },
        ),
        (
            _("Limits"),
            {"fields": [("connections", "rate_per_s"), ("api_reserve", "original_id")]},
        ),
    ]
    compressed_fields = True

    # Templates other apps put onto a channel's page, e.g. a Refresh button: included
    # with `channel`, `request` and `perms`, and leave themselves out if they are not
    # for this user.
    extra_actions: ClassVar[list[str]] = []
    # The same of panels beside the findings, with `channel` and `perms`.
    extra_panels: ClassVar[list[str]] = []

    class Media:
        js = ["jums/forms.js"]

    # -- the list ----------------------------------------------------------------------

    @admin.display(description=_("channel"), ordering="name")
    def named(self, channel: Channel) -> SafeString:
        return format_html(
            '<span class="strong">{}</span><br><span class="note mono">{}</span>',
            channel.name,
            channel.code,
        )

    @admin.display(description=_("state"))
    def state(self, channel: Channel) -> SafeString:
        return pill(channel.status, STATUS[channel.status])

    @admin.display(description=_("connected by"), ordering="authorization")
    def by(self, channel: Channel) -> str:
        return channel.get_authorization_display()

    @admin.display(description=_("last push"), ordering="last_push_at")
    def heard(self, channel: Channel) -> Any:
        return channel.last_push_at

    @admin.display(description=_("last check"), ordering="checked_at")
    def checked(self, channel: Channel) -> SafeString:
        if channel.checked_at is None:
            return pill("unverified", gettext("Never"))
        worst = worst_level(channel)
        return pill(worst, LEVELS[worst])

    @admin.action(description=_("Check"), permissions=["check"])
    def check_selected(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        if queryset.count() > CHECKED_AT_ONCE:
            messages.warning(
                request,
                gettext("Choose at most %(count)d channels to check.")
                % {"count": CHECKED_AT_ONCE},
            )
            return
        for channel in queryset:
            self._check_and_tell(request, channel)

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable_selected(
        self, request: HttpRequest, queryset: QuerySet[Channel]
    ) -> None:
        count = queryset.filter(enabled=False).update(enabled=True)
        messages.success(
            request,
            ngettext("%(n)d channel enabled.", "%(n)d channels enabled.", count)
            % {"n": count},
        )

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable_selected(
        self, request: HttpRequest, queryset: QuerySet[Channel]
    ) -> None:
        count = queryset.filter(enabled=True).update(enabled=False)
        messages.success(
            request,
            ngettext("%(n)d channel disabled.", "%(n)d channels disabled.", count)
            % {"n": count},
        )

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description=_("Connect by scan"),
        url_path="connect-by-scan",
        permissions=["add"],
        icon="qr_code_scanner",
    )
    def connect_by_scan(self, request: HttpRequest) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:channels_wechat_channel_scan"))

    # -- permissions -------------------------------------------------------------------

    def has_check_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(CHECK)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What people or sends belong to stays; it can be disabled."""
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed and not (obj is not None and changing.is_used(obj))

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return []
        if changing.is_used(obj):
            return ["code", "appid"]
        return ["appid"] if obj.is_authorised else []

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sets = super().get_fieldsets(request, obj)
        if obj is not None and obj.is_authorised:
            # Token and key of its pushes are the platform's.
            return [one for one in sets if "callback_mode" not in one[1]["fields"]]
        return sets

    # -- addresses ---------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        def post(address: str, view: Any, name: str) -> Any:
            return path(
                f"<int:pk>/{address}/",
                self.admin_site.admin_view(require_POST(view)),
                name=f"channels_wechat_channel_{name}",
            )

        return [
            path(
                "<path:object_id>/edit/",
                self.admin_site.admin_view(self.edit_view),
                name="channels_wechat_channel_edit",
            ),
            post("check", self.check_view, "check"),
            post("enable", self.enable_view, "enable"),
            post("disable", self.disable_view, "disable"),
            post("renew-token", self.renew_token_view, "renew_token"),
            post("renew-key", self.renew_key_view, "renew_key"),
            *scan_urls(self.admin_site),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the channel: how it is, and what goes where in WeChat's console."""
        channel = self.get_object(request, object_id)
        if channel is None:
            raise Http404
        if not self.has_view_permission(request, channel):
            raise PermissionDenied
        may_change = self.has_change_permission(request, channel)
        refused = None
        if channel.refused_at:
            error = error_for(channel.refused_errcode, channel.refused_errmsg)
            refused = checking.refusal(error)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": channel,
            "title": channel.name,
            "channel": channel,
            "status_label": STATUS[channel.status],
            "findings": named_findings(channel),
            "refused": refused,
            "server_ips": settings.SERVER_IPS,
            "may_change": may_change,
            **grant_of(channel),
            "may_check": self.has_check_permission(request),
            "extra_actions": self.extra_actions,
            "extra_panels": self.extra_panels,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "channels_wechat/channel.html", context)

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        # Neither debug pages nor error mails may show what was posted.
        view = sensitive_post_parameters()(super().change_view)
        response: HttpResponse = view(request, object_id)
        return response

    def check_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_check_permission(request):
            raise PermissionDenied
        channel = get_object_or_404(Channel, pk=pk)
        self._check_and_tell(request, channel)
        return self._page(channel)

    def enable_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._set_enabled(request, pk, True)

    def disable_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._set_enabled(request, pk, False)

    def renew_token_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        channel = self._to_change(request, pk)
        changing.change(channel, {"callback_token": make_token()})
        self.log_change(request, channel, "Token")
        messages.warning(
            request,
            gettext("Enter the new Token in WeChat's console now: pushes wait for it."),
        )
        return self._page(channel)

    def renew_key_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        channel = self._to_change(request, pk)
        changing.change(channel, {"encoding_aes_key": make_encoding_aes_key()})
        self.log_change(request, channel, "EncodingAESKey")
        messages.warning(
            request,
            gettext(
                "Enter the new EncodingAESKey in WeChat's console. The previous one"
                " works until then."
            ),
        )
        return self._page(channel)

    # -- saving ------------------------------------------------------------------------

    def save_model(
        self, request: HttpRequest, obj: Channel, form: ModelForm, change: bool
    ) -> None:
        assert isinstance(form, ChannelForm)
        if not change:
            obj.created_by = request.user  # type: ignore[assignment]  # never anonymous
            for name, value in form.secrets().items():
                setattr(obj, name, value)
            super().save_model(request, obj, form, change)
            return
        # The form has written onto `obj`; what changes must be told from what was.
        columns = {field.name for field in Channel._meta.concrete_fields}
        values = {
            name: form.cleaned_data[name]
            for name in form.changed_data
            if name in columns
        }
        stored = Channel.objects.get(pk=obj.pk)
        changing.change(stored, {**values, **form.secrets()})

    def response_add(
        self, request: HttpRequest, obj: Channel, post_url_continue: Any = None
    ) -> HttpResponse:
        if "_addanother" in request.POST or "_popup" in request.POST:
            response: HttpResponse = super().response_add(
                request, obj, post_url_continue
            )
            return response
        messages.success(
            request,
            gettext("The channel was saved. Enter what follows in WeChat's console."),
        )
        return self._page(obj)

    def response_change(self, request: HttpRequest, obj: Channel) -> HttpResponse:
        messages.success(request, gettext("The channel was saved."))
        return self._page(obj)

    # -- one step each -----------------------------------------------------------------

    def _page(self, channel: Channel) -> HttpResponseRedirect:
        return HttpResponseRedirect(
            reverse("admin:channels_wechat_channel_change", args=[channel.pk])
        )

    def _to_change(self, request: HttpRequest, pk: int) -> Channel:
        channel = get_object_or_404(Channel, pk=pk)
        if not self.has_change_permission(request, channel):
            raise PermissionDenied
        return channel

    def _set_enabled(
        self, request: HttpRequest, pk: int, enabled: bool
    ) -> HttpResponse:
        channel = self._to_change(request, pk)
        changing.change(channel, {"enabled": enabled})
        said = gettext("Enabled.") if enabled else gettext("Disabled: nothing is sent.")
        self.log_change(request, channel, said)
        messages.success(request, said)
        return self._page(channel)

    def _check_and_tell(self, request: HttpRequest, channel: Channel) -> None:
        found = checking.check(channel)
        bad = sum(finding.level == "bad" for finding in found)
        if bad:
            messages.error(
                request,
                ngettext(
                    "%(channel)s: %(count)d thing does not work.",
                    "%(channel)s: %(count)d things do not work.",
                    bad,
                )
                % {"channel": channel, "count": bad},
            )
        else:
            messages.success(
                request,
                gettext("%(channel)s: nothing stands in the way of sending.")
                % {"channel": channel},
            )


LEVELS = {"ok": _("All right"), "warn": _("Look here"), "bad": _("Does not work")}
CHECKS = {
    "enabled": _("Switch"),
    "token": _("Access token"),
    "account": _("Account"),
    "templates": _("Templates"),
    "quota": _("Quota"),
    "address": _("Address"),
    "callback": _("Callback"),
    "clock": _("Clock"),
    "authorization": _("Authorisation"),
    "kind": _("Kind of account"),
    "sets": _("Permission sets"),
}


def named_findings(channel: Channel) -> list[dict[str, Any]]:
    """Return the last check's findings with their names in this language."""
    return [
        {
            **finding._asdict(),
            "name": CHECKS.get(finding.check, finding.check),
            "label": LEVELS[finding.level],
        }
        for finding in checking.findings(channel)
    ]


def worst_level(channel: Channel) -> str:
    levels = {finding.level for finding in checking.findings(channel)}
    return next((level for level in ("bad", "warn") if level in levels), "ok")


admin.site.register(AccessKey, AccessKeyAdmin)
admin.site.register(BusinessChannel, BusinessChannelAdmin)
admin.site.register(Platform, PlatformAdmin)
