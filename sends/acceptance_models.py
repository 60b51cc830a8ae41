"""Who may be sent how many more subscribe-notifications, as far as we can know.

WeChat does not tell how many acceptances an openid has left, so they are counted from
what it pushes and answers. Entries are only ever added; an Acceptance is what they add
up to (sends.ledger), and can be counted again at any time.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import Channel
from templates_mgmt.models import Template


class AcceptanceQuerySet(models.QuerySet["Acceptance"]):
    def with_terms(self) -> "AcceptanceQuerySet":
        """Note on each one whether its template is long-term."""
        template = Template.objects.filter(
            channel=models.OuterRef("channel"),
            template_id=models.OuterRef("template_id"),
            long_term=True,
        )
        return self.annotate(long_term=models.Exists(template))

    def of(self, template: Template) -> "AcceptanceQuerySet":
        return self.filter(
            channel=template.channel_id, template_id=template.template_id
        )


class Acceptance(models.Model):
    """What an openid still accepts of one template, by its entries.

    No index holds a column that changes (as with deliveries).
    """

    class Confidence(models.TextChoices):
        """How far `left` may be believed."""

        CONFIRMED = "confirmed", _("WeChat's own word, counted on from there")
        COUNTED = "counted", _("Counted from the events that came")
        DOUBTFUL = "doubtful", _("More was used than we saw accepted")

    channel = models.ForeignKey(Channel, models.CASCADE, db_index=False)
    # WeChat's, not a key of ours: events may come before the next refresh.
    template_id = models.CharField(max_length=64)
    openid = models.CharField(max_length=64)

    accepted = models.PositiveIntegerField(default=0)  # times, ever
    used = models.PositiveIntegerField(default=0)  # messages WeChat took, ever
    # Messages that may still be sent, were the template a one-time one.
    left = models.PositiveIntegerField(default=0)
    # Accepted at least once since WeChat last said no: enough for a long-term one.
    standing = models.BooleanField(default=False)
    rejected = models.BooleanField(default=False)
    overdrawn = models.BooleanField(default=False)  # took more than we saw accepted
    zeroed = models.BooleanField(default=False)  # WeChat said once that none is left
    last_event_at = models.DateTimeField(null=True)

    # From with_terms().
    long_term: bool = False

    objects = AcceptanceQuerySet.as_manager()

    class Meta:
        verbose_name = _("acceptance")
        verbose_name_plural = _("acceptances")
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "template_id", "openid"], name="acceptance_once"
            )
        ]
        indexes = [
            models.Index(
                fields=["channel", "template_id", "id"], name="acceptance_page"
            ),
            models.Index(fields=["channel", "id"], name="acceptance_channel"),
            models.Index(fields=["openid", "id"], name="acceptance_openid"),
        ]

    def __str__(self) -> str:
        return f"{self.template_id}: …{self.openid[-4:]}"

    @property
    def always(self) -> bool:
        """Whether it never runs out."""
        return self.long_term and self.standing

    @property
    def left_now(self) -> int:
        """How many messages may still be sent; at least 1 of what never runs out."""
        if self.long_term:
            return max(1, self.left) if self.standing else 0
        return self.left

    @property
    def confidence(self) -> Confidence:
        if self.overdrawn and not self.long_term:
            return self.Confidence.DOUBTFUL
        return self.Confidence.CONFIRMED if self.zeroed else self.Confidence.COUNTED


class AcceptanceEntry(models.Model):
    """One thing that changed an acceptance. Never changed, never deleted.

    `key` names what it comes from, an event or a delivery, and makes it count once.
    """

    class Kind(models.IntegerChoices):
        # In this order where two carry the same time: WeChat's are whole seconds.
        ACCEPTED = 0, _("accepted")
        USED = 1, _("used by a message")
        REJECTED = 2, _("rejected")
        NONE_LEFT = 3, _("WeChat said that none is left")

    acceptance = models.ForeignKey(
        Acceptance, models.CASCADE, related_name="entries", db_index=False
    )
    kind = models.PositiveSmallIntegerField(choices=Kind.choices)
    at = models.DateTimeField()
    key = models.CharField(max_length=24)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["acceptance", "key"], name="acceptance_entry_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.key}: {self.get_kind_display()}"
