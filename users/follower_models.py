"""Who follows an account, whether we know whose openID it is or not."""

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import Channel

from .follower_querysets import FollowerQuerySet

# A synchronisation that said nothing for so long has lost its worker.
SILENCE = timedelta(seconds=90)


class Follower(models.Model):
    """An openID that follows, or has just left, as of `at`.

    `at` is the moment a list was begun or an event happened: the newer word counts, so
    that a list read for minutes cannot bring back who left meanwhile.
    """

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="followers")
    openid = models.CharField("openID", max_length=64)
    followed = models.BooleanField(default=True)
    at = models.DateTimeField()
    # Of the last follow event; None when only a list told us.
    event_at = models.DateTimeField(null=True)

    objects = FollowerQuerySet.as_manager()

    class Meta:
        verbose_name = _("follower")
        verbose_name_plural = _("followers")
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "openid"], name="follower_once_per_channel"
            )
        ]
        indexes = [
            models.Index(fields=["channel", "id"], name="follower_page"),
            models.Index(
                fields=["channel", "event_at"],
                condition=Q(event_at__isnull=False),
                name="follower_event",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel_id}: …{self.openid[-4:]}"


class FollowerSync(models.Model):
    """Reading an account's list of followers: how far it is, and how the last one went.

    10,000 a call, 500 calls a day. It goes on after the last page that is stored.
    """

    class Status(models.TextChoices):
        NEVER = "never", _("Never")
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        WAITING = "waiting", _("Waiting")
        FINISHED = "finished", _("Finished")
        FAILED = "failed", _("Failed")

    channel = models.OneToOneField(
        Channel, models.CASCADE, related_name="follower_sync"
    )
    status = models.CharField(
        max_length=8, choices=Status.choices, default=Status.NEVER
    )
    next_openid = models.CharField(max_length=64, blank=True)
    read = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0)
    # What WeChat left of today's calls at the start; None: it did not say.
    calls_left = models.IntegerField(null=True)
    daily_limit = models.IntegerField(null=True)
    # WeChat's refusal that it waits or ended for.
    errcode = models.IntegerField(null=True)
    errmsg = models.CharField(max_length=500, blank=True)
    try_at = models.DateTimeField(null=True)
    attempt = models.PositiveIntegerField(default=0)
    failures = models.PositiveSmallIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # Since when an operator watches for new followers, and the last one there was then;
    # None: no list was complete yet, so that only events can tell who is new.
    watched_at = models.DateTimeField(null=True)
    watched_from = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return f"followers of channel {self.channel_id}: {self.status}"

    @property
    def is_open(self) -> bool:
        """Whether something is still going to happen to it by itself."""
        return self.status in (
            self.Status.QUEUED,
            self.Status.RUNNING,
            self.Status.WAITING,
        )

    @staticmethod
    def due(at: datetime | None = None) -> Any:
        """Return a condition: nobody works on it, and it is time to."""
        now = at or timezone.now()
        silent = now - SILENCE
        return (
            Q(status="queued")
            | Q(status="waiting", try_at__lte=now)
            | Q(status="running", heartbeat_at__lt=silent)
        )
