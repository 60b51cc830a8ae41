"""Recipients, their openIDs, and the uploads that bring both."""

from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import Channel

from . import validators
from .querysets import RecipientQuerySet, UploadQuerySet
from .reasons import sentence


class Recipient(models.Model):
    """A person, known to the enterprise by `userid`.

    Whoever adds an openID or a tag holds the lock on the recipient's row, and so does
    whoever deletes it, before anything else. That is what keeps openIDs and tags from
    being left without a recipient: to have the database look for each row's recipient
    was a third of what an import costs.
    """

    userid = models.CharField(
        "userid", max_length=64, unique=True, validators=[validators.userid]
    )
    phone = models.CharField(
        _("phone"), max_length=32, blank=True, validators=[validators.phone]
    )
    email = models.CharField(
        _("email"), max_length=254, blank=True, validators=[validators.email]
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = RecipientQuerySet.as_manager()

    class Meta:
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")

    def __str__(self) -> str:
        return self.userid

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            Recipient.objects.filter(pk=self.pk).lock()
            return super().delete(*args, **kwargs)


class RecipientTag(models.Model):
    """One tag of one recipient; `bind` is "all" or a business channel's ChannelKey."""

    recipient = models.ForeignKey(
        Recipient,
        models.CASCADE,
        related_name="tags",
        db_index=False,  # tag_once begins with it
        db_constraint=False,  # see Recipient
    )
    bind = models.CharField(max_length=32, default="all", db_default="all")
    name = models.CharField(_("tag"), max_length=40, validators=[validators.tag])

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["recipient", "bind", "name"], name="tag_once"
            )
        ]
        indexes = [models.Index(fields=["name", "recipient"], name="tag_name")]
        verbose_name = _("tag")
        verbose_name_plural = _("tags")

    def __str__(self) -> str:
        return self.name


class OpenID(models.Model):
    """How a channel knows a recipient. One per channel and recipient.

    Whoever adds one keeps the channel (`ChannelQuerySet.keep`), once for all that are
    added together, and whoever deletes a channel locks it before anything else: to have
    the database look for the channel of each row was a fourth of its work.
    """

    channel = models.ForeignKey(
        Channel,
        models.CASCADE,
        related_name="openids",
        verbose_name=_("channel"),
        db_index=False,  # openid_once_per_channel begins with it
        db_constraint=False,  # see above
    )
    recipient = models.ForeignKey(
        Recipient,
        models.CASCADE,
        related_name="openids",
        db_constraint=False,  # see Recipient
    )
    openid = models.CharField("openID", max_length=64, validators=[validators.openid])
    # None: never heard. False: unfollowed, or WeChat said so when we sent.
    followed = models.BooleanField(_("followed"), null=True)
    followed_at = models.DateTimeField(null=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "openID"
        verbose_name_plural = "openID"
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "recipient"], name="openid_once_per_channel"
            )
        ]
        # Callbacks and searches come with an openid; the channel narrows it.
        indexes = [models.Index(fields=["openid", "channel"], name="openid_lookup")]

    def __str__(self) -> str:
        return f"{self.channel_id}: …{self.openid[-4:]}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            Channel.objects.keep([self.channel_id])
            super().save(*args, **kwargs)


def upload_path(upload: "Upload", filename: str) -> str:
    """Keep the file under a name of our own; the operator's name stays a label."""
    import secrets

    suffix = ".csv" if filename.lower().endswith(".csv") else ".xlsx"
    return f"uploads/{secrets.token_hex(12)}{suffix}"


class Upload(models.Model):
    """One Excel or CSV import, with a report per row."""

    class Mode(models.TextChoices):
        SET = "set", _("Set")
        ADD = "add", _("Add")
        DEL = "del", _("Delete")

    class Status(models.TextChoices):
        PREVIEW = "preview", _("Preview")
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        FINISHED = "finished", _("Finished")
        FAILED = "failed", _("Failed")

    file = models.FileField(_("file"), upload_to=upload_path)
    name = models.CharField(_("file name"), max_length=200)
    channel = models.ForeignKey(
        Channel, models.CASCADE, null=True, blank=True, verbose_name=_("channel")
    )
    mode = models.CharField(
        _("mode"), max_length=3, choices=Mode.choices, default=Mode.SET
    )
    status = models.CharField(
        _("status"), max_length=8, choices=Status.choices, default=Status.QUEUED
    )
    # Why it failed: a key of `users.reasons.REASONS`, and what fills the sentence.
    failure = models.CharField(max_length=40, blank=True)
    failure_params: Any = models.JSONField(default=dict)
    # What the file calls its columns, and what each is to us ("" for ignored ones).
    columns: Any = models.JSONField(default=list)
    bytes_done = models.BigIntegerField(default=0)
    bytes_total = models.BigIntegerField(default=0)
    rows_total = models.PositiveIntegerField(_("rows"), default=0)
    rows_ok = models.PositiveIntegerField(_("rows imported"), default=0)
    rows_failed = models.PositiveIntegerField(_("rows refused"), default=0)
    rows_warned = models.PositiveIntegerField(_("rows with a warning"), default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True
    )
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # Whoever works on it says so with each block of rows. A silent one is replaced:
    # the next attempt goes on after the last row that is committed.
    heartbeat_at = models.DateTimeField(null=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    last_row = models.PositiveIntegerField(default=0)

    objects = UploadQuerySet.as_manager()

    class Meta:
        verbose_name = _("upload")
        verbose_name_plural = _("uploads")
        indexes = [
            models.Index(
                fields=["id"],
                condition=models.Q(status__in=["queued", "running"]),
                name="upload_open",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_open(self) -> bool:
        """Whether something is still going to happen to it by itself."""
        return self.status in (self.Status.QUEUED, self.Status.RUNNING)

    @property
    def detail(self) -> str:
        """Why it failed, in the language that is active now; "" when it did not."""
        return sentence(self.failure, self.failure_params) if self.failure else ""

    @property
    def ignored_columns(self) -> list[str]:
        """Columns of the file that nothing was taken from."""
        return [name for name, meaning in self.columns if name and not meaning]

    @property
    def deletes_people(self) -> bool:
        """Whether it removes whole recipients: it deletes and names nothing else."""
        return self.mode == self.Mode.DEL and {
            meaning for _name, meaning in self.columns if meaning
        } == {"userid"}


class UploadError(models.Model):
    """What became of one row that was not simply imported."""

    upload = models.ForeignKey(Upload, models.CASCADE, related_name="errors")
    row = models.PositiveIntegerField(_("row"))
    userid = models.CharField("userid", max_length=64, blank=True)
    code = models.CharField(max_length=40)
    params: Any = models.JSONField(default=dict)
    is_warning = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["upload", "id"], name="upload_error_page")]

    def __str__(self) -> str:
        return f"{self.row}: {self.code}"

    @property
    def reason(self) -> str:
        """The sentence, in the language that is active now."""
        return sentence(self.code, self.params)


class RecipientContact(models.Model):
    """Phone and email of a recipient as one business channel knows them.

    `bind` is its ChannelKey; what is valid for all stands on the recipient itself.
    """

    recipient = models.ForeignKey(Recipient, models.CASCADE, related_name="contacts")
    bind = models.CharField(max_length=32)
    phone = models.CharField(max_length=32, blank=True, validators=[validators.phone])
    email = models.CharField(max_length=254, blank=True, validators=[validators.email])

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["recipient", "bind"], name="contact_once")
        ]

    def __str__(self) -> str:
        return f"{self.recipient_id}: {self.bind}"


class UserList(models.Model):
    """A black or white list of userids; its number is the API's black_id, white_id."""

    class Kind(models.TextChoices):
        BLACK = "black", _("Blacklist")
        WHITE = "white", _("Whitelist")

    kind = models.CharField(_("kind"), max_length=5, choices=Kind.choices)
    name = models.CharField(_("name"), max_length=60, unique=True)
    # How many entries there are: counted as they come and go, not for every page.
    size = models.PositiveIntegerField(
        _("people"), default=0, db_default=0, editable=False
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("black or white list")
        verbose_name_plural = _("black and white lists")

    def __str__(self) -> str:
        return self.name


class UserListEntry(models.Model):
    """One userid (or openid, for sends to openIDs) on a list; it need not exist."""

    list = models.ForeignKey(UserList, models.CASCADE, related_name="entries")
    userid = models.CharField("userid", max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["list", "userid"], name="entry_once")
        ]

    def __str__(self) -> str:
        return self.userid


class Segment(models.Model):
    """An audience kept under a name: by tags, or a fixed list of userids."""

    name = models.CharField(_("name"), max_length=60, unique=True)
    any_tags: Any = models.JSONField(_("any of these tags"), default=list, blank=True)
    all_tags: Any = models.JSONField(_("all of these tags"), default=list, blank=True)
    none_tags: Any = models.JSONField(_("none of these tags"), default=list, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("segment")
        verbose_name_plural = _("segments")

    def __str__(self) -> str:
        return self.name


class SegmentUser(models.Model):
    """One userid of a segment that is a fixed list."""

    segment = models.ForeignKey(Segment, models.CASCADE, related_name="users")
    userid = models.CharField("userid", max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["segment", "userid"], name="segment_user_once"
            )
        ]

    def __str__(self) -> str:
        return self.userid


# Models of collecting openIDs; kept apart for length.
from .binding_models import (  # noqa: E402
    BindingTicket as BindingTicket,
)
from .binding_models import (  # noqa: E402
    LoginPage as LoginPage,
)
from .binding_models import (  # noqa: E402
    Spent as Spent,
)
from .binding_models import (  # noqa: E402
    VerificationFile as VerificationFile,
)

# Models of followers.
from .follower_models import (  # noqa: E402
    Follower as Follower,
)
from .follower_models import (  # noqa: E402
    FollowerSync as FollowerSync,
)
