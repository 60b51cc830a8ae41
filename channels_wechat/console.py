"""What the console's lists and forms have in common, whatever they are about."""

from datetime import datetime
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.utils import quote
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.contrib.contenttypes.models import ContentType
from django.db.models import PROTECT, Field, Model
from django.db.models.fields.reverse_related import ForeignObjectRel
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin


def pill(word: str, label: object) -> SafeString:
    """Return a status as a coloured pill; `word` is what its colour goes by."""
    return format_html('<span class="pill pill-{}">{}</span>', word, label)


def switched(enabled: bool) -> SafeString:
    """Return whether something is switched on, as a pill."""
    if enabled:
        return pill("ok", gettext("Enabled"))
    return pill("disabled", gettext("Disabled"))


def shown_time(at: datetime) -> str:
    """Return a moment as the console writes it: a form would show it as code does."""
    return date_format(timezone.localtime(at), "DATETIME_FORMAT")


def is_needed(obj: Model) -> bool:
    """Whether rows that protect it point at it. One query per kind of row."""
    relations = (
        relation
        for relation in obj._meta.get_fields(include_hidden=True)
        if isinstance(relation, ForeignObjectRel) and relation.on_delete is PROTECT
    )
    return any(
        relation.related_model._base_manager.filter(
            **{relation.field.name: obj}
        ).exists()
        for relation in relations
    )


class NoDetours:
    """A form without the theme's buttons that lead away from it half-filled, and with
    a plain word for a name that is taken."""

    def formfield_for_dbfield(
        self, db_field: "Field[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> Any:
        field = super().formfield_for_dbfield(  # type: ignore[misc]  # of ModelAdmin
            db_field, request, **kwargs
        )
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        if field is not None and getattr(db_field, "unique", False):
            field.error_messages["unique"] = _("It is taken already. Choose another.")
        return field


class ConsoleAdmin(NoDetours, ModelAdmin):
    """A list that says what it is for; rows that are deleted one at a time.

    `lead` stands above the list. `goes_along` says what a deletion takes with it,
    `is_kept` why a row that others need stays, and what to do instead.
    """

    lead: ClassVar[Promise | str] = ""
    goes_along: ClassVar[Promise | str] = ""
    is_kept: ClassVar[Promise | str] = ""
    list_before_template = "console/_lead.html"
    list_filter_submit = False
    compressed_fields = True

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What goes along may be long, and is told in a sentence: read none of it."""
        return [str(obj) for obj in objs], {}, set(), []

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        obj = self.get_object(request, object_id)
        allowed = obj is not None and self.has_delete_permission(request, obj)
        if allowed and is_needed(obj):
            messages.warning(request, str(self.is_kept))
            return HttpResponseRedirect(self._address("change", obj))
        context = {"goes_along": self.goes_along, **(extra_context or {})}
        response: HttpResponse = super().delete_view(request, object_id, context)
        return response

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Lead to the audit log of this row: it also has what the API changed."""
        if request.user.has_perm("auditlog.view_logentry"):
            about = {
                "content_type": str(ContentType.objects.get_for_model(self.model).pk),
                "object_pk": object_id,
            }
            try:
                log = reverse("admin:auditlog_logentry_changelist")
            except NoReverseMatch:
                pass
            else:
                return HttpResponseRedirect(f"{log}?{urlencode(about)}")
        response: HttpResponse = super().history_view(request, object_id, extra_context)
        return response

    def _address(self, page: str, obj: Model | None = None) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(name, args=[quote(obj.pk)] if obj is not None else [])
