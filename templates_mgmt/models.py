"""WeChat templates of the channels."""

from functools import cached_property
from typing import Any, Self, cast

from django.db import models
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import Channel
from channels_wechat.wechat.limits import Kind as WeChatKind
from channels_wechat.wechat.limits import Problem, check_value


class TemplateQuerySet(models.QuerySet["Template"]):
    def current(self) -> Self:
        """Templates that WeChat listed at the last refresh."""
        return self.filter(removed_at__isnull=True)


class Template(models.Model):
    """A WeChat template of a channel, as of the last refresh."""

    class Kind(models.TextChoices):
        TEMPLATE = "template", _("Template message")
        SUBSCRIBE = "subscribe", _("Subscribe-notification")

    channel = models.ForeignKey(
        Channel, models.CASCADE, related_name="templates", verbose_name=_("channel")
    )
    kind = models.CharField(
        _("kind"), max_length=10, choices=Kind.choices, default=Kind.TEMPLATE
    )
    template_id = models.CharField(_("template id"), max_length=64)
    title = models.CharField(_("title"), max_length=200)
    content = models.TextField(_("content"))
    example = models.TextField(_("example"), blank=True)
    primary_industry = models.CharField(max_length=60, blank=True)
    deputy_industry = models.CharField(max_length=60, blank=True)
    # [{"key": "thing1", "label": "会议主题", "type": "thing"}], in the card's order;
    # with "values" where WeChat takes only these.
    fields: Any = models.JSONField(_("fields"), default=list)
    # Of subscribe-notifications: accepted once, good for any number of messages.
    long_term = models.BooleanField(_("long-term"), default=False, db_default=False)
    # What it was added with from here; WeChat never tells it again. The title's number
    # in the public library, and the keywords' numbers (of template messages: names).
    library_id = models.CharField(max_length=40, blank=True, default="", db_default="")
    picked: Any = models.JSONField(default=list, db_default=[])
    scene = models.CharField(
        _("scene"), max_length=15, blank=True, default="", db_default=""
    )
    first_seen_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)

    objects = TemplateQuerySet.as_manager()

    class Meta:
        verbose_name = _("template")
        verbose_name_plural = _("templates")
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "template_id"], name="template_once_per_channel"
            )
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_subscribe(self) -> bool:
        return self.kind == self.Kind.SUBSCRIBE

    @property
    def wechat_kind(self) -> WeChatKind:
        """The kind in the words of channels_wechat.wechat."""
        return cast(WeChatKind, self.kind)

    @cached_property
    def _listed(self) -> dict[str, frozenset[str]]:
        return {f["key"]: frozenset(f.get("values", ())) for f in self.fields}

    def problem_of(self, key: str, value: str) -> Problem | None:
        """Return why WeChat would refuse or shorten `value` in the field `key`."""
        listed = self._listed.get(key, frozenset())
        return check_value(key, value, self.wechat_kind, listed)


class GeneralTemplate(models.Model):
    """A JUMS template with variables, which fills a WeChat template.

    Its number is the API's `template_id`. `data` is {"thing1": "Order {{order}}"}; only
    with `general` may the API use it.
    """

    name = models.CharField(_("name"), max_length=60, unique=True)
    template = models.ForeignKey(
        Template, models.PROTECT, related_name="+", verbose_name=_("template")
    )
    url = models.CharField(_("link"), max_length=1000, blank=True)
    miniprogram_appid = models.CharField(max_length=32, blank=True)
    miniprogram_path = models.CharField(max_length=1000, blank=True)
    data: Any = models.JSONField(_("values"), default=dict)
    general = models.BooleanField(
        _("usable over the API"),
        default=True,
        help_text=_("Otherwise it is for the console only."),
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("general template")
        verbose_name_plural = _("general templates")

    def __str__(self) -> str:
        return self.name


# Models of subscribe pages; they name the ones above by string.
from .page_models import (  # noqa: E402
    SubscribePage as SubscribePage,
)
