"""The console's pages of subscribe pages."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminColorInputWidget,
)

from channels_wechat import recognising
from channels_wechat.models import Channel
from channels_wechat.qr import svg

from .models import SubscribePage, Template
from .page_models import TEMPLATES_AT_MOST
from .public_pages import offered_templates


class SubscribePageForm(forms.ModelForm):
    channel: Channel | None = None  # of a new page

    class Meta:
        model = SubscribePage
        fields = ("title", "name", "text", "templates", "button", "colour", "enabled")
        widgets = {
            "templates": UnfoldAdminCheckboxSelectMultipleWidget,
            "colour": UnfoldAdminColorInputWidget,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None and self.channel is not None:
            self.instance.channel = self.channel
        field = self.fields.get("templates")
        if isinstance(field, forms.ModelMultipleChoiceField):
            there = Q(removed_at=None, kind=Template.Kind.SUBSCRIBE)
            of_channel = Template.objects.filter(there, channel=self.instance.channel)
            field.queryset = of_channel.order_by("long_term", "title", "pk")
            field.label_from_instance = _named  # type: ignore[method-assign,assignment]  # Django's own way
            field.help_text = _(
                "At most %(count)d, all one-time or all long-term: WeChat offers them"
                " in one dialog."
            ) % {"count": TEMPLATES_AT_MOST}

    def clean_templates(self) -> Any:
        chosen = self.cleaned_data["templates"]
        if len(chosen) > TEMPLATES_AT_MOST:
            raise forms.ValidationError(
                _("At most %(count)d templates.") % {"count": TEMPLATES_AT_MOST}
            )
        if len({template.long_term for template in chosen}) > 1:
            raise forms.ValidationError(
                _("Choose one-time or long-term templates, not both.")
            )
        return chosen

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        same = SubscribePage.objects.filter(channel=self.instance.channel, name=name)
        if same.exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError(_("Another page of this channel is called so."))
        return name


def _named(template: Any) -> str:
    term = gettext("long-term") if template.long_term else gettext("one-time")
    return f"{template.title} · {term}"


class SubscribePageAdmin(ModelAdmin):
    form = SubscribePageForm
    list_display = ["named", "address", "offers", "state"]
    list_filter = ["channel"]
    list_filter_submit = False
    search_fields = ["title", "name"]
    compressed_fields = True
    fieldsets = [
        (None, {"fields": [("title", "name"), "text", "templates"]}),
        (_("Button"), {"fields": [("button", "colour"), "enabled"]}),
    ]

    class Media:
        js = ["jums/copy.js"]

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def get_queryset(self, request: HttpRequest) -> Any:
        return SubscribePage.objects.with_templates()

    @admin.display(description=_("title"), ordering="title")
    def named(self, page: SubscribePage) -> SafeString:
        return format_html(
            '<span class="strong">{}</span><br><span class="note">{}</span>',
            page.title,
            page.channel.name,
        )

    @admin.display(description=_("address"))
    def address(self, page: SubscribePage) -> SafeString:
        return format_html('<span class="mono">{}</span>', page.path)

    @admin.display(description=_("templates"))
    def offers(self, page: SubscribePage) -> str:
        return " · ".join(template.title for template in offered_templates(page))

    @admin.display(description=_("state"))
    def state(self, page: SubscribePage) -> SafeString:
        word, label = state_of(page)
        return format_html('<span class="pill pill-{}">{}</span>', word, label)

    # -- addresses ---------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        name = "templates_mgmt_subscribepage_{}".format
        return [
            path("<int:pk>/print/", view(self.print_view), name=name("print")),
            path("<path:object_id>/edit/", view(self.edit_view), name=name("edit")),
            *super().get_urls(),
        ]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Ask for the channel first: the templates to choose from are its own."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if _channel_of(request):
            response: HttpResponse = super().add_view(request, form_url, extra_context)
            return response
        subscribe = Q(
            templates__kind=Template.Kind.SUBSCRIBE, templates__removed_at=None
        )
        channels = Channel.objects.annotate(
            notices=Count("templates", filter=subscribe)
        ).order_by("name")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Whose page?"),
            "channels": channels,
        }
        return TemplateResponse(request, "templates_mgmt/page_channel.html", context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        """Show the page with its code, and what still stands in its way."""
        page = self._page(request, object_id)
        offered = offered_templates(page)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": page,
            "title": page.title,
            "page": page,
            "channel": page.channel,
            "offered": offered,
            "gone": [t for t in page.templates.all() if t.removed_at],
            "qr": svg(page.url),
            "host": urlsplit(settings.PUBLIC_URL).netloc,
            "is_test": recognising.was_found(page.channel),
            "may_change": self.has_change_permission(request, page),
            "may_delete": self.has_delete_permission(request, page),
        }
        return TemplateResponse(request, "templates_mgmt/page.html", context)

    def print_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A sheet of paper: the code, large, and what it is for."""
        page = self._page(request, pk)
        context = {"page": page, "qr": svg(page.url), "title": page.title}
        return TemplateResponse(request, "templates_mgmt/page_print.html", context)

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        response: HttpResponse = super().change_view(request, object_id)
        return response

    # -- the form ----------------------------------------------------------------------

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        channel = obj.channel if obj is not None else _channel_of(request)
        kwargs["form"] = type("Form", (SubscribePageForm,), {"channel": channel})
        return super().get_form(request, obj, change, **kwargs)

    def save_model(
        self, request: HttpRequest, obj: SubscribePage, form: Any, change: bool
    ) -> None:
        if not change:
            obj.created_by = request.user  # type: ignore[assignment]  # never anonymous
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: Any = None
    ) -> HttpResponse:
        messages.success(request, gettext("The page is open under its address."))
        return self._shown(obj)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        messages.success(request, gettext("The page was saved."))
        return self._shown(obj)

    # -- one step each -----------------------------------------------------------------

    def _page(self, request: HttpRequest, pk: str | int) -> SubscribePage:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not str(pk).isdecimal() or len(str(pk)) > 18:
            raise Http404
        page: SubscribePage = get_object_or_404(
            SubscribePage.objects.with_templates(), pk=pk
        )
        return page

    def _shown(self, page: SubscribePage) -> HttpResponseRedirect:
        return HttpResponseRedirect(
            reverse("admin:templates_mgmt_subscribepage_change", args=[page.pk])
        )


def state_of(page: SubscribePage) -> tuple[str, str]:
    """Return (word, label) of whether visitors find a button."""
    if not page.channel.enabled:
        return "disabled", gettext("Channel disabled")
    if not page.enabled:
        return "disabled", gettext("Closed")
    if not offered_templates(page):
        return "bad", gettext("No template left")
    return "ok", gettext("Open")


def _channel_of(request: HttpRequest) -> Channel | None:
    return Channel.objects.filter(code=request.GET.get("channel", "")[:32]).first()
