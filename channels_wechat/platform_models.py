"""The third-party platform: its ticket and token, who has authorised it, and how.

Links and codes: somebody makes a link for a channel to be; each visit needs a pre-auth
code; the account's administrator scans; WeChat gives one authorisation code, twice (to
the browser and by an event, in either order); it is exchanged once.
"""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .models import Channel, LeasedToken
from .secrets import SecretField


class Platform(LeasedToken):
    """One component AppID: its ticket, and its component token in the lease's fields.

    AppSecret, Token and key are not here: they come from the environment.
    """

    component_appid = models.CharField("AppID", max_length=32, unique=True)
    ticket = SecretField(blank=True, editable=False)
    # By WeChat's clock: an older ticket never takes the place of a newer one.
    ticket_created_at = models.DateTimeField(null=True, editable=False)
    ticket_received_at = models.DateTimeField(null=True, editable=False)
    # When we last asked WeChat to push tickets.
    push_asked_at = models.DateTimeField(null=True, editable=False)
    # When WeChat last looked at, or pushed to, the authorisation event URL.
    heard_at = models.DateTimeField(null=True, editable=False)
    token_ok_at = models.DateTimeField(null=True, editable=False)
    refused_at = models.DateTimeField(null=True, editable=False)
    refused_errcode = models.IntegerField(null=True, editable=False)
    refused_errmsg = models.CharField(max_length=500, blank=True, editable=False)

    class Meta:
        verbose_name = _("third-party platform")
        verbose_name_plural = _("third-party platform")

    def __str__(self) -> str:
        return self.component_appid


class Authorization(models.Model):
    """What an account has granted to the platform.

    `number` grows with every new authorisation; a refresh that began before it must not
    write its tokens. `ended_at`: withdrawn; the row stays to say since when.
    """

    channel = models.OneToOneField(
        Channel, models.CASCADE, related_name="platform_authorization"
    )
    platform = models.ForeignKey(Platform, models.PROTECT)
    number = models.PositiveIntegerField(default=1)
    refresh_token = SecretField(blank=True)
    permission_sets: Any = models.JSONField(default=list)
    # By WeChat's clock where it told.
    authorised_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    account_name = models.CharField(max_length=100, blank=True)
    principal = models.CharField(max_length=200, blank=True)
    service_type = models.SmallIntegerField(null=True)
    verify_type = models.SmallIntegerField(null=True)
    account_status = models.SmallIntegerField(null=True)

    def __str__(self) -> str:
        return f"authorisation of channel {self.channel_id}"


class Avatar(models.Model):
    """An account's picture, copied: WeChat's own address refuses foreign pages."""

    channel = models.OneToOneField(Channel, models.CASCADE, related_name="avatar")
    image = models.BinaryField()
    content_type = models.CharField(max_length=20)

    def __str__(self) -> str:
        return f"avatar of channel {self.channel_id}"


class PlatformLink(models.Model):
    """A page where an account's administrator authorises it, for one channel."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting for the scan")
        DONE = "done", _("Connected")
        FAILED = "failed", _("Not connected")

    platform = models.ForeignKey(Platform, models.CASCADE)
    token = models.CharField(max_length=32, unique=True)
    code = models.CharField(max_length=32)
    name = models.CharField(max_length=30)
    # The channel to authorise again; after success, the channel it made.
    channel = models.ForeignKey(Channel, models.CASCADE, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False
    )
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    # A stable word for why not (see granting.PROBLEMS), or WeChat's refusal.
    problem = models.CharField(max_length=20, blank=True)
    errcode = models.IntegerField(null=True)
    errmsg = models.CharField(max_length=500, blank=True)
    account_name = models.CharField(max_length=100, blank=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("authorisation link")
        verbose_name_plural = _("authorisation links")

    def __str__(self) -> str:
        return f"link for {self.code}"


class PreAuthCode(models.Model):
    """A code for one attempt on a link's page. Kept so that an event finds its link."""

    link = models.ForeignKey(PlatformLink, models.CASCADE, related_name="codes")
    value = models.CharField(max_length=512)
    fingerprint = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"pre-auth code of link {self.link_id}"


class AuthorizationCode(models.Model):
    """A code that WeChat gave for a scan: exchanged once, whoever brings it first.

    The code itself is wiped once it is settled; its fingerprint stays, so that a repeat
    changes nothing.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        FAILED = "failed"

    platform = models.ForeignKey(Platform, models.CASCADE)
    fingerprint = models.CharField(max_length=64, unique=True)
    value = SecretField(blank=True)
    # Told by the event, or by the exchange; "" when only the browser came so far.
    appid = models.CharField(max_length=32, blank=True)
    # What it was exchanged for, until that is on a channel.
    refresh_token = SecretField(blank=True)
    permission_sets: Any = models.JSONField(default=list)
    link = models.ForeignKey(PlatformLink, models.CASCADE, null=True)
    authorised_at = models.DateTimeField()
    received_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    due_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=models.Q(state="waiting"),
                name="code_waiting",
            )
        ]

    def __str__(self) -> str:
        return f"authorisation code {self.pk}"


class PlatformEvent(models.Model):
    """A line of the platform's log. The same thing again counts up the newest line."""

    class Kind(models.TextChoices):
        TICKET = "ticket", _("Ticket received")
        PUSH_ASKED = "push_asked", _("Asked WeChat to push tickets")
        AUTHORIZED = "authorized", _("Authorised")
        UPDATED = "updated", _("Permission sets changed")
        UNAUTHORIZED = "unauthorized", _("Authorisation withdrawn")
        RELEASE_TEST = "release_test", _("Release test")
        ERROR = "error", _("WeChat refused")
        REFUSED_PUSH = "refused_push", _("Push refused")
        UNKNOWN_ACCOUNT = "unknown_account", _("Push of an unknown account")
        OTHER = "other", _("Another event")

    platform = models.ForeignKey(Platform, models.CASCADE, db_index=False)
    kind = models.CharField(max_length=15, choices=Kind.choices)
    appid = models.CharField(max_length=32, blank=True)
    errcode = models.IntegerField(null=True)
    # A word of ours, or WeChat's own.
    detail = models.CharField(max_length=300, blank=True)
    ip = models.GenericIPAddressField(null=True)
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    # Of pushes: a repeat has the same and is not acted on again.
    key = models.CharField(  # noqa: DJ001  # unique, and absent from most lines
        max_length=64, unique=True, null=True
    )

    class Meta:
        verbose_name = _("platform event")
        verbose_name_plural = _("platform events")
        indexes = [
            models.Index(fields=["platform", "last_at"], name="platform_event_page")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.last_at:%H:%M:%S}"
