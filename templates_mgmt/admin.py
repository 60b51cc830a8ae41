"""The console's template pages and the Refresh buttons."""

from functools import partial
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from channels_wechat import checking
from channels_wechat.admin import ChannelAdmin
from channels_wechat.models import Channel
from channels_wechat.wechat.errors import WeChatError

from . import library_pages, previewing, refreshing
from .general_pages import GeneralTemplateAdmin
from .hints import hint
from .library import LIMITS
from .models import GeneralTemplate, SubscribePage, Template
from .page_admin import SubscribePageAdmin
from .tasks import refresh_templates

REFRESH = "channels_wechat.refresh_templates"
# WeChat lets an account use so many templates at once.
LIMIT = 25
SUBSCRIBE_LIMIT = 50
# More channels than this are refreshed by the worker: each one is a call to WeChat.
AT_ONCE = 8


class CurrentFilter(admin.SimpleListFilter):
    """Removed templates only on request."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("removed", _("Removed")), ("all", _("All"))]

    def choices(self, changelist: ChangeList) -> Any:
        choices = list(super().choices(changelist))
        choices[0]["display"] = _("Current")
        return choices

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Template]
    ) -> QuerySet[Template]:
        if self.value() == "all":
            return queryset
        return queryset.filter(removed_at__isnull=self.value() != "removed")


@admin.register(Template)
class TemplateAdmin(ModelAdmin):
    list_display = [
        "named",
        "shown_kind",
        "channel",
        "shown_fields",
        "state",
        "refreshed_at",
    ]
    list_filter = [CurrentFilter, "kind", "channel"]
    list_filter_submit = False
    list_select_related = ["channel"]
    search_fields = ["title", "template_id", "content"]
    ordering = ["channel__name", "title", "pk"]
    list_before_template = "templates_mgmt/_channels.html"
    list_per_page = 50

    # What other apps show on a template's page; templates know nothing of them.
    extra_panels: ClassVar[list[str]] = []

    class Media:
        js = ["jums/forms.js"]

    # Rows are written by the refresh alone.
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=_("title"), ordering="title")
    def named(self, template: Template) -> SafeString:
        return format_html(
            '<span class="strong">{}</span><br><span class="note mono">{}</span>',
            template.title,
            template.template_id,
        )

    @admin.display(description=_("kind"), ordering="kind")
    def shown_kind(self, template: Template) -> str:
        if not template.is_subscribe:
            return template.get_kind_display()
        return f"{template.get_kind_display()} · {_term(template)}"

    @admin.display(description=_("fields"))
    def shown_fields(self, template: Template) -> str:
        return " · ".join(
            field["label"] or field["key"]
            for field in template.fields
            if field["key"] not in previewing.NOT_SHOWN
        )

    @admin.display(description=_("state"), ordering="removed_at")
    def state(self, template: Template) -> SafeString:
        word, label = (
            ("removed", gettext("Removed"))
            if template.removed_at
            else ("ok", gettext("Current"))
        )
        return format_html('<span class="pill pill-{}">{}</span>', word, label)

    @admin.display(
        description=_("last refresh"), ordering="channel__templates_refreshed_at"
    )
    def refreshed_at(self, template: Template) -> Any:
        return template.channel.templates_refreshed_at

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path(
                "refresh/",
                view(require_POST(self.refresh_all_view)),
                name="templates_mgmt_refresh_all",
            ),
            path(
                "refresh/<int:channel_pk>/",
                view(require_POST(self.refresh_view)),
                name="templates_mgmt_refresh",
            ),
            *library_pages.urls(self.admin_site),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "channels": Channel.objects.annotate(
                current=_count_of(Template.Kind.TEMPLATE),
                subscribe=_count_of(Template.Kind.SUBSCRIBE),
            ),
            "limit": LIMITS[Template.Kind.TEMPLATE],
            "subscribe_limit": LIMITS[Template.Kind.SUBSCRIBE],
            "may_refresh": request.user.has_perm(REFRESH),
            "may_add": request.user.has_perm(library_pages.ADD),
            **(extra_context or {}),
        }
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one template: nothing of it can be edited here."""
        template = self.get_object(request, object_id)
        if template is None:
            raise Http404
        if not self.has_view_permission(request, template):
            raise PermissionDenied
        examples = previewing.example_values(template.content, template.example)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": template,
            "title": template.title,
            "template": template,
            "fields": [
                {
                    **field,
                    "example": examples.get(field["key"], ""),
                    "hint": hint(field, template.kind)
                    if field["key"] not in previewing.NOT_SHOWN
                    else gettext("WeChat no longer shows this field."),
                }
                for field in template.fields
            ],
            "lines": previewing.lines(template.fields, examples),
            "send_url": _send_url(request, template),
            "may_refresh": request.user.has_perm(REFRESH),
            "may_remove": not template.removed_at
            and request.user.has_perm(library_pages.REMOVE),
            "extra_panels": self.extra_panels,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "templates_mgmt/template.html", context)

    def refresh_view(self, request: HttpRequest, channel_pk: int) -> HttpResponse:
        """Refresh one channel and say what became different."""
        if not request.user.has_perm(REFRESH):
            raise PermissionDenied
        channel = get_object_or_404(Channel, pk=channel_pk)
        refresh_and_tell(request, [channel])
        return _back(request)

    def refresh_all_view(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm(REFRESH):
            raise PermissionDenied
        refresh_and_tell(request, list(Channel.objects.filter(enabled=True)))
        return _back(request)


def _term(template: Template) -> str:
    return gettext("long-term") if template.long_term else gettext("one-time")


def _count_of(kind: str) -> Count:
    still = Q(templates__removed_at=None, templates__kind=kind)
    return Count("templates", filter=still)


def refresh_and_tell(request: HttpRequest, channels: list[Channel]) -> None:
    """Refresh these channels and leave a message for each; many go to the worker."""
    if len(channels) > AT_ONCE:
        for channel in channels:
            transaction.on_commit(partial(refresh_templates.delay, channel.pk))
        messages.info(
            request,
            ngettext(
                "The templates of %(count)d channel are being refreshed.",
                "The templates of %(count)d channels are being refreshed.",
                len(channels),
            )
            % {"count": len(channels)},
        )
        return
    for channel in channels:
        if not channel.enabled:
            messages.warning(
                request,
                gettext("%(channel)s is disabled; its templates were not refreshed.")
                % {"channel": channel},
            )
            continue
        try:
            refreshed = refreshing.refresh(channel)
        except WeChatError as error:
            messages.error(request, f"{channel}: {refusal(error)}")
        else:
            messages.success(request, f"{channel}: {summary(refreshed)}")
            if refreshed.refused:
                messages.warning(request, f"{channel}: {left_out(refreshed.refused)}")


def summary(refreshed: refreshing.Refreshed) -> str:
    """Return what a refresh brought, as a sentence or two."""
    found = _changes(refreshed.template)
    if not refreshed.refused and any(refreshed.subscribe):
        found += " " + gettext("Subscribe-notifications: %(changes)s") % {
            "changes": _changes(refreshed.subscribe)
        }
    return found


def _changes(changes: refreshing.Changes) -> str:
    return (
        gettext(
            "%(added)d added, %(changed)d changed, %(removed)d removed,"
            " %(unchanged)d unchanged."
        )
        % changes._asdict()
    )


def left_out(error: WeChatError) -> str:
    """Return why an account's subscribe-notifications could not be listed."""
    return " ".join(
        [
            gettext("Its subscribe-notifications could not be listed."),
            refusal(error),
            gettext("Sandbox test accounts have none. Template messages are complete."),
        ]
    )


def refusal(error: WeChatError) -> str:
    """Return why WeChat refused and what to do, with WeChat's own words."""
    refused = checking.refusal(error)
    return " ".join(filter(None, [refused.meaning, refused.fix, refused.quoted]))


def _back(request: HttpRequest) -> HttpResponseRedirect:
    """To the page the button was on, if it is ours."""
    address = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(
        address, {request.get_host()}, request.is_secure()
    ):
        address = reverse("admin:templates_mgmt_template_changelist")
    return HttpResponseRedirect(address)


def _send_url(request: HttpRequest, template: Template) -> str:
    """Where a send with this template begins; "" for who may not, or if it is gone."""
    if template.removed_at or not request.user.has_perm("sends.add_send"):
        return ""
    try:
        address = reverse("admin:sends_send_add")
    except NoReverseMatch:
        return ""
    return f"{address}?channel={template.channel_id}&template={template.pk}"


# Channels know nothing of templates: what their pages offer of them comes from here.
admin.site.unregister(Channel)


@admin.register(Channel)
class ChannelWithTemplatesAdmin(ChannelAdmin):
    actions = [*ChannelAdmin.actions, "refresh_templates"]
    extra_actions = [*ChannelAdmin.extra_actions, "templates_mgmt/_on_channel.html"]

    def has_refresh_templates_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(REFRESH)

    @admin.action(description=_("Refresh templates"), permissions=["refresh_templates"])
    def refresh_templates(
        self, request: HttpRequest, queryset: QuerySet[Channel]
    ) -> None:
        refresh_and_tell(request, list(queryset))


admin.site.register(GeneralTemplate, GeneralTemplateAdmin)
admin.site.register(SubscribePage, SubscribePageAdmin)
