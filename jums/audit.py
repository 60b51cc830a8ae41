"""Which changes leave a line in the audit log, and what is never written there.

Rows that machines write all day long have fields of their own for who and when (a send
its author, an upload likewise); here are the few that people set up.
"""

from auditlog.registry import auditlog
from django.contrib.auth.models import Group, User

from channels_wechat.models import AccessKey, BusinessChannel, Channel
from sends.models import CallbackURL, Strategy
from templates_mgmt.models import GeneralTemplate
from users.models import Segment, UserList


def mask(value: str) -> str:
    """Return what the log says instead of a secret: that there is one."""
    return "••••••" if value else ""


def register() -> None:
    """Tell django-auditlog what to watch. Called once, when every app is loaded."""
    auditlog.register(
        Channel,
        include_fields=[
            "name",
            "code",
            "appid",
            "app_secret",
            "original_id",
            "callback_mode",
            "callback_token",
            "encoding_aes_key",
            "enabled",
            "connections",
            "rate_per_s",
        ],
        mask_fields=["app_secret", "callback_token", "encoding_aes_key"],
        mask_callable="jums.audit.mask",
    )
    auditlog.register(
        AccessKey,
        include_fields=["name", "enabled", "secret_hash"],
        mask_fields=["secret_hash"],
        mask_callable="jums.audit.mask",
    )
    auditlog.register(
        BusinessChannel,
        include_fields=[
            "name",
            "master_secret",
            "enabled",
            "review",
            "calls_per_minute",
            "broadcasts_per_day",
            "per_person_per_day",
            "quiet_hours",
            "sensitive_words",
            "callbacks_enabled",
            "sign_callbacks",
            "track_clicks",
        ],
        m2m_fields={"channels"},
        mask_fields=["master_secret"],
        mask_callable="jums.audit.mask",
    )
    auditlog.register(CallbackURL, include_fields=["url", "default", "types"])
    # Who is on a list is too much for a log: how many are tells that it changed.
    auditlog.register(UserList, include_fields=["name", "kind", "size"])
    auditlog.register(
        Segment, include_fields=["name", "any_tags", "all_tags", "none_tags"]
    )
    auditlog.register(
        Strategy, include_fields=["name", "business_channel", "steps", "enabled"]
    )
    auditlog.register(
        GeneralTemplate,
        include_fields=[
            "name",
            "template",
            "data",
            "url",
            "miniprogram_appid",
            "miniprogram_path",
            "general",
        ],
    )
    auditlog.register(
        User,
        include_fields=[
            "username",
            "first_name",
            "last_name",
            "email",
            "password",
            "is_active",
            "is_staff",
            "is_superuser",
        ],
        mask_fields=["password"],
        mask_callable="jums.audit.mask",
        m2m_fields={"groups", "user_permissions"},
    )
    auditlog.register(Group, include_fields=["name"], m2m_fields={"permissions"})
