"""The console's pages of general templates: choose a template, then fill its fields."""

import json
import re
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from channels_wechat.console import ConsoleAdmin, pill

from . import general, previewing
from .hints import hint
from .models import GeneralTemplate, Template
from .previewing import NOT_SHOWN

LINK = re.compile(r"https?://[^\s/]|\{\{")


class _GeneralTemplateForm(forms.ModelForm):
    template: Template

    class Meta:
        model = GeneralTemplate
        fields = ("name", "url", "miniprogram_appid", "miniprogram_path", "general")
        labels: ClassVar = {
            "miniprogram_appid": gettext_lazy("Mini-program's AppID"),
            "miniprogram_path": gettext_lazy("Mini-program page"),
        }
        help_texts: ClassVar = {
            "url": gettext_lazy("Opened by a tap. It may hold variables too."),
            "miniprogram_appid": gettext_lazy(
                "One that the account is linked to; a tap opens it instead of the link."
            ),
            "miniprogram_path": gettext_lazy("It may hold variables too."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.template.fields:
            key = field["key"]
            self.initial[f"value-{key}"] = self.instance.data.get(key, "")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        texts = {
            f["key"]: cleaned.get(f"value-{f['key']}") for f in self.template.fields
        }
        data = {key: text for key, text in texts.items() if text}
        for key, sentence in general.problems(self.template, data).items():
            if f"value-{key}" not in self.errors:
                self.add_error(f"value-{key}", sentence)
        link = cleaned.get("url")
        # A subscribe-notification has a mini-program's page there.
        if link and not self.template.is_subscribe and not LINK.match(link):
            problem = _("A link begins with http:// or https://, or is a variable.")
            self.add_error("url", problem)
        if cleaned.get("miniprogram_path") and not cleaned.get("miniprogram_appid"):
            problem = _("A page needs the mini-program's AppID.")
            self.add_error("miniprogram_appid", problem)
        self.instance.template, self.instance.data = self.template, data
        return cleaned


def form_for(template: Template) -> Any:
    """Return the form class with a field for each of the template's."""
    fields: dict[str, Any] = {
        f"value-{field['key']}": forms.CharField(
            label=field["label"] or field["key"],
            required=field["key"] not in NOT_SHOWN,
            max_length=general.TEXT_AT_MOST,
            strip=False,
            help_text=hint(field, template.kind),
            widget=UnfoldAdminTextInputWidget,
        )
        for field in template.fields
    }
    return type(
        "GeneralTemplateForm", (_GeneralTemplateForm,), {**fields, "template": template}
    )


class GeneralTemplateAdmin(ConsoleAdmin):
    lead = gettext_lazy(
        "A general template fills a WeChat template with texts; business systems give"
        " only its number and the variables in them, and know nothing of WeChat."
    )
    goes_along = gettext_lazy(
        "Calls that name its number are refused from then on; what was sent with it"
        " stays."
    )
    list_display = ["name", "number", "template", "channel", "variables", "use"]
    list_filter = ["general", "template__channel"]
    list_select_related = ["template__channel"]
    search_fields = ["name"]
    change_form_outer_after_template = "templates_mgmt/_general.html"

    @admin.display(description=gettext_lazy("number for the API"), ordering="pk")
    def number(self, row: GeneralTemplate) -> int:
        return row.pk

    @admin.display(description=gettext_lazy("channel"))
    def channel(self, row: GeneralTemplate) -> str:
        return row.template.channel.name

    @admin.display(description=gettext_lazy("use"), ordering="general")
    def use(self, row: GeneralTemplate) -> SafeString:
        if row.general:
            return pill("ok", _("API and console"))
        return pill("disabled", _("Console only"))

    @admin.display(description=gettext_lazy("variables"))
    def variables(self, row: GeneralTemplate) -> str:
        return ", ".join(general.variables(row)) or "—"

    @admin.display(description=gettext_lazy("values"))
    def texts(self, row: GeneralTemplate) -> str:
        return " · ".join(f"{key}: {text}" for key, text in row.data.items())

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Ask for the template first: the form is made of its fields."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.GET.get("template", "").isdecimal():
            response: HttpResponse = super().add_view(request, form_url, extra_context)
            return response
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Choose a template"),
            "templates": Template.objects.current()
            .select_related("channel")
            .order_by("channel__name", "title", "pk"),
        }
        return TemplateResponse(request, "templates_mgmt/choose.html", context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        """The form, the card that it fills, and the call that uses it."""
        row = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if row is not None:
            context |= {
                "card_lines": previewing.lines(row.template.fields, row.data),
                "call": _call(row),
                "send_url": _send_url(request, row),
            }
        response: HttpResponse = super().change_view(
            request, object_id, form_url, context
        )
        return response

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if self._may_edit(request, obj):
            kwargs["form"] = form_for(self._template(request, obj))
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        link = ["url", ("miniprogram_appid", "miniprogram_path")]
        if not self._may_edit(request, obj):
            names = ["name", "template", "texts", "variables", *link, "general"]
            return [(None, {"fields": names})]
        template = self._template(request, obj)
        values = {
            "fields": [f"value-{field['key']}" for field in template.fields],
            "description": _(
                "Write variables as {{name}}; whoever sends gives their values."
            ),
        }
        return [
            (None, {"fields": [("name", "general")]}),
            (f"{template.title} · {template.channel.name}", values),
            (_("Link"), {"fields": link}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if self._may_edit(request, obj) else ["texts", "variables"]

    def _may_edit(self, request: HttpRequest, obj: Any) -> bool:
        return obj is None or self.has_change_permission(request, obj)

    def _template(self, request: HttpRequest, obj: Any) -> Template:
        if obj is not None and obj.pk:
            found: Template = obj.template
            return found
        number = request.GET.get("template", "")[:18]
        current = Template.objects.current().select_related("channel")
        return get_object_or_404(current, pk=number if number.isdecimal() else 0)


def _call(row: GeneralTemplate) -> str:
    """Return the body of a call that sends with it, to copy."""
    body = {
        "aud_userid": ["zhangsan"],
        "template_id": row.pk,
        "template_para": dict.fromkeys(general.variables(row), "…"),
    }
    return json.dumps(body, ensure_ascii=False, indent=2)


def _send_url(request: HttpRequest, row: GeneralTemplate) -> str:
    """Where a send with its texts begins; "" for who may not, or if it is gone."""
    if row.template.removed_at or not request.user.has_perm("sends.add_send"):
        return ""
    try:
        address = reverse("admin:sends_send_add")
    except NoReverseMatch:
        return ""
    of = {
        "channel": row.template.channel_id,
        "template": row.template_id,
        "general": row.pk,
    }
    return f"{address}?{urlencode(of)}"
