"""Accounts, roles, audit trail and failed logins in the console's own look.

Each of these admins comes with a package, would show unstyled forms, and speaks English
here and there whatever the language.
"""

from typing import Any

import auditlog.admin  # noqa: F401  # as the next one
import axes.admin  # noqa: F401  # both register first, so that we can take over
from auditlog.models import LogEntry
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model, QuerySet
from django.forms import ModelMultipleChoiceField
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

# Our words for these things: in Chinese a "user" is the one who gets the messages.
NAMES: list[tuple[type[Model], Any, Any]] = [
    (User, _("console account"), _("console accounts")),
    (Group, _("role"), _("roles")),
    (LogEntry, _("change"), _("audit log")),
    (AccessAttempt, _("failed login"), _("failed logins")),
    (AccessFailureLog, _("refused login"), _("refused logins")),
    (AccessLog, _("login"), _("logins")),
]
for model, singular, plural in NAMES:
    # Of the three of django-axes, the attempts alone are shown: they lock and unlock.
    admin.site.unregister(model)
    model._meta.verbose_name = singular
    model._meta.verbose_name_plural = plural

VERBS = {
    "add": _("add"),
    "change": _("change it"),
    "delete": _("delete"),
    "view": _("view"),
}
# Nobody adds or changes what machines write, whatever a role says.
POINTLESS = {
    f"{verb}_{model}"
    for verb in ("add", "change", "delete")
    for model in (
        "logentry",
        "accessattempt",
        "template",
        "inboundevent",
        "statusbatch",
    )
} - {"delete_accessattempt"}


def offer_permissions(field: ModelMultipleChoiceField) -> None:
    """Let a form offer the permissions of what the console shows, in its language."""
    shown = [
        kind.pk
        for kind in ContentType.objects.all()
        if (model := kind.model_class()) and admin.site.is_registered(model)
    ]
    field.queryset = Permission.objects.filter(content_type__in=shown).select_related(
        "content_type"
    )
    setattr(field, "label_from_instance", permission_label)  # noqa: B010  # a method


def permission_label(permission: Permission) -> str:
    model = permission.content_type.model_class()
    assert model is not None
    name = capfirst(str(model._meta.verbose_name_plural))
    verb, _underscore, of = permission.codename.partition("_")
    if of == model._meta.model_name and verb in VERBS:
        return f"{name} · {VERBS[verb]}"
    # Stored in English; models mark the names of their own permissions.
    return f"{name} · {gettext(permission.name)}"


class OffersPermissions:
    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        field = super().formfield_for_manytomany(  # type: ignore[misc]  # of ModelAdmin
            db_field, request, **kwargs
        )
        if db_field.related_model is Permission:
            offer_permissions(field)
        return field


@admin.register(User)
class UserAdmin(OffersPermissions, BaseUserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    compressed_fields = True


@admin.register(Group)
class GroupAdmin(OffersPermissions, BaseGroupAdmin, ModelAdmin):
    pass


class ReadOnly(ModelAdmin):
    """Rows that machines write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnly):
    list_display = ["timestamp", "who", "action", "kind", "object_repr", "what"]
    fields = ["timestamp", "who", "remote_addr", "action", "object_repr", "changed"]
    readonly_fields = ["who", "changed"]
    list_filter = ["action"]
    list_filter_submit = False
    list_select_related = ["content_type", "actor"]
    search_fields = ["object_repr", "actor__username"]
    date_hierarchy = "timestamp"
    list_per_page = 50

    @admin.display(description=_("who"), ordering="actor")
    def who(self, entry: LogEntry) -> str:
        return str(entry.actor) if entry.actor else gettext("system")

    @admin.display(description=_("kind"), ordering="content_type")
    def kind(self, entry: LogEntry) -> str:
        return capfirst(str(model_of(entry)._meta.verbose_name))

    @admin.display(description=_("changed fields"))
    def what(self, entry: LogEntry) -> str:
        if entry.action != LogEntry.Action.UPDATE:
            return ""
        return " · ".join(named(entry, name) for name in entry.changes_dict)

    @admin.display(description=_("changed fields"))
    def changed(self, entry: LogEntry) -> SafeString:
        lines = []
        for name, change in entry.changes_dict.items():
            if isinstance(change, dict):  # of a relation to many
                sign = "+" if change.get("operation") == "add" else "−"
                before, after = "", f"{sign} {', '.join(change.get('objects', []))}"
            else:
                before, after = change
            lines.append((named(entry, name), _shown(before), _shown(after)))
        return format_html_join(mark_safe("<br>"), "{}: {} → {}", lines)


def _shown(value: Any) -> str:
    return "–" if value in {None, "", "None"} else str(value)


def model_of(entry: LogEntry) -> type[Model]:
    model: type[Model] = entry.content_type.model_class() or LogEntry
    return model


def named(entry: LogEntry, field: str) -> str:
    """The name of a field that an entry says was changed, in the reader's language."""
    try:
        found = model_of(entry)._meta.get_field(field)
    except FieldDoesNotExist:
        return field
    return str(getattr(found, "verbose_name", field))


@admin.register(AccessAttempt)
class AccessAttemptAdmin(ReadOnly):
    list_display = [
        "attempt_time",
        "username",
        "ip_address",
        "failures_since_start",
        "user_agent",
    ]
    list_display_links = None
    search_fields = ["username", "ip_address"]
    actions = ["unlock"]

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("axes.delete_accessattempt")

    @admin.action(description=_("Forget and unlock"), permissions=["unlock"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[AccessAttempt]) -> None:
        count, _per_model = queryset.delete()
        messages.success(
            request,
            ngettext("%(n)d login unlocked.", "%(n)d logins unlocked.", count)
            % {"n": count},
        )
