"""Collecting openIDs: where visitors may be sent back to, and what works only once."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import Channel

from . import validators


class LoginPage(models.Model):
    """A page of the enterprise that visitors of a channel may be sent back to.

    Nobody else is ever handed a ticket: an address that is not here is refused.
    """

    channel = models.ForeignKey(
        Channel, models.CASCADE, related_name="login_pages", verbose_name=_("channel")
    )
    url = models.CharField(
        _("address"), max_length=1000, validators=[validators.login_page]
    )
    below = models.BooleanField(
        _("and everything below it"),
        default=False,
        help_text=_("Otherwise this very address only."),
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False
    )

    class Meta:
        verbose_name = _("login page")
        verbose_name_plural = _("login pages")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(fields=["channel", "url"], name="login_page_once")
        ]

    def __str__(self) -> str:
        return self.url


class BindingTicket(models.Model):
    """Stands for an openID until the enterprise's server fetches it. Only the hash is
    kept: whoever reads the database cannot use it."""

    digest = models.CharField(max_length=64, unique=True)
    channel = models.ForeignKey(Channel, models.CASCADE)
    openid = models.CharField(max_length=64)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"binding ticket {self.pk} of channel {self.channel_id}"


class Spent(models.Model):
    """The hash of something that works once and was used. Kept until it would have
    expired anyway."""

    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"spent {self.digest[:8]}"


class VerificationFile(models.Model):
    """A file WeChat wants to find at the root of our domain before it lets an account
    use it: MP_verify_….txt, or a number's for a third-party platform."""

    name = models.CharField(
        _("file name"),
        max_length=64,
        unique=True,
        validators=[validators.verification_file],
    )
    content = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("verification file")
        verbose_name_plural = _("verification files")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
