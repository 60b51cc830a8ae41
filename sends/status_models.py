"""Strategies, and what business systems are told of their sends."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import BusinessChannel


class Strategy(models.Model):
    """An order of channels to try: the API's `rule_id`.

    `steps` is [{"channel": code, "wait_s": 600, "trigger": "refused"}]: a step is taken
    by those whom the step before did not reach, `wait_s` after it ended for them.
    trigger: "refused" (WeChat refused or nothing could be sent) or "not_delivered" (no
    success receipt either).
    """

    name = models.CharField(_("name"), max_length=60)
    business_channel = models.ForeignKey(
        BusinessChannel, models.CASCADE, verbose_name=_("business channel")
    )
    steps: Any = models.JSONField(_("steps"), default=list)
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("strategy")
        verbose_name_plural = _("strategies")
        constraints = [
            models.UniqueConstraint(
                fields=["business_channel", "name"], name="strategy_name_once"
            )
        ]

    def __str__(self) -> str:
        return self.name


class CallbackURL(models.Model):
    """Where a business system hears of its sends. At most five per business channel."""

    business_channel = models.ForeignKey(
        BusinessChannel,
        models.CASCADE,
        related_name="callback_urls",
        verbose_name=_("business channel"),
    )
    # Text: what a URL may be is said by sends.calling.
    url = models.CharField("URL", max_length=500)
    default = models.BooleanField(_("default"), default=False)
    types: Any = models.JSONField(_("types"), default=list)
    verified_at = models.DateTimeField(_("verified"), null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("callback URL")
        verbose_name_plural = _("callback URLs")
        constraints = [
            models.UniqueConstraint(
                fields=["business_channel", "url"], name="callback_url_once"
            ),
            models.UniqueConstraint(
                fields=["business_channel"],
                condition=models.Q(default=True),
                name="one_default_callback_url",
            ),
        ]

    def __str__(self) -> str:
        return self.url


class StatusBatch(models.Model):
    """Up to 100 items that one POST carries, and what became of it.

    A URL's batches stand in line in the order of their ids. held: its tries are used
    up, but it may be the receiver that is down, so it keeps its place for a while (see
    sends.telling). failed: out of the line, until an operator replays it.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        HELD = "held", _("no answer, still tried")
        DELIVERED = "delivered", _("delivered")
        FAILED = "failed", _("failed")

    url = models.ForeignKey(
        CallbackURL, models.CASCADE, db_index=False, related_name="batches"
    )
    state = models.CharField(
        _("state"), max_length=9, choices=State.choices, default=State.WAITING
    )
    size = models.PositiveSmallIntegerField(_("items"))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    # How often it was tried since it was made or replayed.
    tries = models.PositiveSmallIntegerField(default=0)
    try_at = models.DateTimeField(_("next try"))
    # Of whoever is telling it now. Dead, it is told again after that.
    leased_until = models.DateTimeField(null=True)
    # [{"at": …, "status": 200, "kind": "", "error": "", "took_ms": 12}], the newest
    # last; of no answer, kind is a key of calling.NO_ANSWER.
    attempts: Any = models.JSONField(_("attempts"), default=list)
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("status callback")
        verbose_name_plural = _("status callbacks")
        permissions = [("replay_statusbatch", _("Can replay status callbacks"))]
        indexes = [
            models.Index(
                fields=["url", "id"],
                condition=models.Q(state__in=["waiting", "held"]),
                name="status_batch_line",
            ),
            models.Index(fields=["url", "id"], name="status_batch_page"),
            models.Index(
                fields=["url"],
                condition=models.Q(state="failed"),
                name="status_batch_failed",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class StatusCallback(models.Model):
    """One item of the outbox: a status of a delivery, to be told to one URL.

    Removed once it was told; the batch stays, as the log.
    """

    url = models.ForeignKey(CallbackURL, models.CASCADE, db_index=False)
    send = models.ForeignKey("sends.Send", models.CASCADE, db_index=False)
    delivery_id = models.BigIntegerField()
    # JUMS' types 0 to 8, e.g. 2 submitted, 4 delivered.
    type = models.PositiveSmallIntegerField()
    userid = models.CharField(max_length=64, blank=True)
    openid = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField()
    error_code = models.IntegerField(null=True)
    error = models.CharField(max_length=500, blank=True)
    batch = models.ForeignKey(
        StatusBatch, models.CASCADE, null=True, related_name="items"
    )

    class Meta:
        indexes = [
            models.Index(
                fields=["url", "id"],
                condition=models.Q(batch__isnull=True),
                name="status_unbatched",
            ),
        ]

    def __str__(self) -> str:
        return f"type {self.type} of delivery {self.delivery_id}"
