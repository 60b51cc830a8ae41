"""Pages where people subscribe to notifications."""

from typing import Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import Channel

# WeChat lets a button offer so many templates at once, all of one type.
TEMPLATES_AT_MOST = 5


class SubscribePageQuerySet(models.QuerySet["SubscribePage"]):
    def with_templates(self) -> Self:
        """With channel and templates at hand, two queries for all of them."""
        return self.select_related("channel").prefetch_related("templates")


class SubscribePage(models.Model):
    """A public page with a subscribe button, at `/s/{channel code}/{name}`."""

    channel = models.ForeignKey(
        Channel,
        models.CASCADE,
        related_name="subscribe_pages",
        verbose_name=_("channel"),
    )
    name = models.CharField(
        _("name in the address"),
        max_length=40,
        validators=[
            RegexValidator(
                r"\A[a-z0-9]+(-[a-z0-9]+)*\Z",
                _("Small letters, digits and hyphens, please."),
            )
        ],
        help_text=_("Like orders: small letters, digits, hyphens. Stands in the code."),
    )
    title = models.CharField(_("title"), max_length=40)
    text = models.TextField(_("text"), max_length=500, blank=True)
    button = models.CharField(
        _("text of the button"), max_length=12, blank=True, help_text=_("Subscribe")
    )
    colour = models.CharField(
        _("colour of the button"),
        max_length=7,
        default="#07c160",
        validators=[RegexValidator(r"\A#[0-9a-fA-F]{6}\Z", _("Like #07c160."))],
    )
    # At most TEMPLATES_AT_MOST, all one-time or all long-term; the form sees to it.
    templates = models.ManyToManyField(
        "templates_mgmt.Template", related_name="pages", verbose_name=_("templates")
    )
    enabled = models.BooleanField(_("open"), default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False
    )

    objects = SubscribePageQuerySet.as_manager()

    class Meta:
        verbose_name = _("subscribe page")
        verbose_name_plural = _("subscribe pages")
        ordering = ("channel__name", "title", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "name"], name="page_once_per_channel"
            )
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def path(self) -> str:
        return f"/s/{self.channel.code}/{self.name}"

    @property
    def url(self) -> str:
        """Where visitors open it."""
        return f"{settings.PUBLIC_URL}{self.path}"
