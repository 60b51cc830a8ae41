"""Accounts, roles, audit trail and failed logins in the console's own look.

Each of these admins comes with a package and would show unstyled forms.
"""

from typing import Any

from auditlog.admin import LogEntryAdmin as BaseLogEntryAdmin
from auditlog.models import LogEntry
from axes.admin import AccessAttemptAdmin as BaseAccessAttemptAdmin
from axes.admin import AccessFailureLogAdmin as BaseAccessFailureLogAdmin
from axes.admin import AccessLogAdmin as BaseAccessLogAdmin
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Model
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
    admin.site.unregister(model)
    model._meta.verbose_name = singular
    model._meta.verbose_name_plural = plural


@admin.register(User)
class UserAdmin(BaseUserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    compressed_fields = True


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, ModelAdmin):
    pass


@admin.register(LogEntry)
class LogEntryAdmin(BaseLogEntryAdmin, ModelAdmin):
    pass


@admin.register(AccessAttempt)
class AccessAttemptAdmin(BaseAccessAttemptAdmin, ModelAdmin):
    pass


@admin.register(AccessFailureLog)
class AccessFailureLogAdmin(BaseAccessFailureLogAdmin, ModelAdmin):
    pass


@admin.register(AccessLog)
class AccessLogAdmin(BaseAccessLogAdmin, ModelAdmin):
    pass
