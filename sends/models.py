"""Sends, their deliveries, and what WeChat says of them later."""

from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import BusinessChannel, Channel
from templates_mgmt.models import Template
from users.models import UserList

from .querysets import (
    ChunkQuerySet,
    DeliveryQuerySet,
    InboundEventQuerySet,
    SendQuerySet,
)


class Send(models.Model):
    """One request to send one template of one channel to an audience.

    draft -> scheduled -> preparing -> running <-> paused -> finished | canceled.
    A large one runs, and may pause, before it is `prepared_at` the end.
    The counters equal the rows of Delivery at every commit.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", _("Draft")
        IN_REVIEW = "in_review", _("In review")
        REJECTED = "rejected", _("Rejected")
        SCHEDULED = "scheduled", _("Scheduled")
        PREPARING = "preparing", _("Preparing")
        RUNNING = "running", _("Running")
        PAUSED = "paused", _("Paused")
        FINISHED = "finished", _("Finished")
        CANCELED = "canceled", _("Canceled")

    class Source(models.TextChoices):
        CONSOLE = "console", _("Console")
        API = "api", "API"
        TEST = "test", _("Test send")

    class Audience(models.TextChoices):
        ALL = "all", _("Everyone bound to the channel")
        TAGS = "tags", _("People with one of the tags")
        ROWS = "rows", _("A list or a file")
        IDS = "ids", _("The userids or openIDs of a request")

    class PauseCode(models.TextChoices):
        OPERATOR = "operator", _("Paused by an operator")
        QUOTA = "quota", _("WeChat's daily quota is used up")
        CHANNEL = "channel", _("WeChat refused the channel")
        TEMPLATE = "template", _("WeChat refused the template")
        UNKNOWN_ERRORS = "unknown_errors", _("WeChat kept answering an unknown error")
        REFUSALS = "refusals", _("Too many messages were refused")
        CANARY = "canary", _("The first messages did not go well")
        SILENCE = "silence", _("WeChat's answers stopped coming")
        DISABLED = "disabled", _("The channel is disabled")
        RESERVE = "reserve", _("The rest of today's quota is kept for API messages")
        MISSED = "missed", _("Its time was missed")

    class Priority(models.IntegerChoices):
        URGENT = 1, _("Urgent")
        NORMAL = 2, _("Normal")
        LOW = 3, _("After all others")

    class Canary(models.TextChoices):
        """Whether a few go first, and how that went. Empty: everyone at once."""

        WAITING = "waiting", _("the first few are awaited")
        PASSED = "passed", _("the first few went well")
        FAILED = "failed", _("the first few did not go well")

    msgid = models.CharField("msgid", max_length=64, unique=True)
    title = models.CharField(_("title"), max_length=80, blank=True)
    channel = models.ForeignKey(Channel, models.PROTECT, verbose_name=_("channel"))
    template = models.ForeignKey(
        Template, models.PROTECT, null=True, verbose_name=_("template")
    )
    status = models.CharField(
        _("status"), max_length=9, choices=Status.choices, default=Status.DRAFT
    )
    source = models.CharField(
        _("source"), max_length=7, choices=Source.choices, default=Source.CONSOLE
    )
    priority = models.PositiveSmallIntegerField(
        _("priority"),
        choices=Priority.choices,
        default=Priority.NORMAL,
        validators=[MinValueValidator(1), MaxValueValidator(3)],
    )
    # Part of every client_msg_id: a restored database never repeats old ones.
    dedupe_key = models.CharField(max_length=12, editable=False)

    audience = models.CharField(
        _("audience"), max_length=4, choices=Audience.choices, default=Audience.ALL
    )
    tags: Any = models.JSONField(_("tags"), default=list)
    columns: Any = models.JSONField(default=list)  # of the uploaded rows
    # {"thing1": "Order {{order}}"}; a placeholder names a column or userid, openid,
    # phone, email.
    data: Any = models.JSONField(_("values"), default=dict)
    url = models.CharField(_("link"), max_length=1000, blank=True)
    miniprogram_appid = models.CharField(max_length=32, blank=True)
    miniprogram_path = models.CharField(max_length=1000, blank=True)
    # Subscribe-notifications: leave out whom we know no acceptance of.
    skip_unreachable = models.BooleanField(default=True, db_default=True)

    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True
    )
    # The send whose refused people this one tries again.
    resend_of = models.ForeignKey("self", models.SET_NULL, null=True, blank=True)
    scheduled_for = models.DateTimeField(_("send at"), null=True, blank=True)
    # How many hours late it may start if JUMS was down at its time; later than that it
    # pauses and asks. None: however late.
    late_within_h = models.PositiveSmallIntegerField(null=True, blank=True)
    submitted_at = models.DateTimeField(null=True)
    prepared_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    # How far the pasted list or uploaded file was read (sends.reading), and what the
    # check of everyone's values found (sends.preflight). Of drafts only.
    reading: Any = models.JSONField(null=True, editable=False)
    preflight: Any = models.JSONField(null=True, editable=False)

    # Of sends over the API. A request for several channels or messages is several
    # sends: the first has the caller's msgid, the others are its parts.
    business_channel = models.ForeignKey(
        BusinessChannel,
        models.PROTECT,
        null=True,
        blank=True,
        verbose_name=_("business channel"),
    )
    part_of = models.ForeignKey(
        "self", models.CASCADE, null=True, related_name="parts", editable=False
    )
    broadcast = models.BooleanField(default=False, editable=False)
    sendno = models.CharField(max_length=100, blank=True)
    owner = models.CharField(_("owner"), max_length=150, blank=True)
    callback_url = models.CharField(max_length=500, blank=True)
    callback_params: Any = models.JSONField(null=True)
    blacklist = models.ForeignKey(
        UserList, models.PROTECT, null=True, blank=True, related_name="+"
    )
    whitelist = models.ForeignKey(
        UserList, models.PROTECT, null=True, blank=True, related_name="+"
    )
    strategy = models.ForeignKey(
        "sends.Strategy", models.PROTECT, null=True, blank=True, related_name="+"
    )
    # Which step of the strategy this part is, from 0.
    step = models.PositiveSmallIntegerField(default=0)
    reviewed_by = models.CharField(max_length=150, blank=True)
    reviewed_at = models.DateTimeField(null=True)
    review_note = models.CharField(max_length=300, blank=True)
    retracted_at = models.DateTimeField(null=True, editable=False)

    # Preparing walks the audience in ranges: how far it came, and whose turn it is.
    prepare_cursor = models.BigIntegerField(default=0)
    prepare_lease_until = models.DateTimeField(null=True)

    pause_code = models.CharField(max_length=14, choices=PauseCode.choices, blank=True)
    pause_errcode = models.IntegerField(null=True)
    pause_detail = models.CharField(max_length=500, blank=True)
    paused_at = models.DateTimeField(null=True)
    paused_by = models.CharField(max_length=150, blank=True)
    # When it goes on by itself (a quota that starts anew), or None.
    resume_at = models.DateTimeField(null=True)
    # Somebody resumed it although much was refused: not paused for that again.
    brake_released = models.BooleanField(default=False)
    canary = models.CharField(max_length=7, choices=Canary.choices, blank=True)
    # Its deliveries left the database for a file, if one was wanted. The counters stay,
    # and why some did not get it: [[status, errcode, reason, error, count]].
    archived_at = models.DateTimeField(null=True, editable=False)
    archive_file = models.CharField(max_length=60, blank=True, editable=False)
    archived_reasons: Any = models.JSONField(null=True, editable=False)
    canary_last_id = models.BigIntegerField(null=True)  # of the deliveries sent first

    n_waiting = models.PositiveIntegerField(default=0)
    n_sending = models.PositiveIntegerField(default=0)
    n_accepted = models.PositiveIntegerField(default=0)
    n_delivered = models.PositiveIntegerField(default=0)
    n_undelivered = models.PositiveIntegerField(default=0)
    n_refused = models.PositiveIntegerField(default=0)
    n_unknown = models.PositiveIntegerField(default=0)
    n_skipped = models.PositiveIntegerField(default=0)
    n_canceled = models.PositiveIntegerField(default=0)

    objects: ClassVar[models.Manager["Send"]] = SendQuerySet.as_manager()

    class Meta:
        verbose_name = _("send")
        verbose_name_plural = _("sends")
        permissions = [
            ("submit_send", _("Can submit a send")),
            ("control_send", _("Can pause, resume and cancel a send")),
            ("review_send", _("Can review a send")),
        ]
        indexes = [
            models.Index(
                fields=["channel", "priority", "id"],
                condition=models.Q(
                    status__in=["scheduled", "preparing", "running", "paused"]
                ),
                name="send_open",
            ),
            models.Index(fields=["created_at"], name="send_created"),
            models.Index(
                fields=["id"],
                condition=models.Q(status="in_review"),
                name="send_in_review",
            ),
            models.Index(fields=["archived_at", "finished_at"], name="send_old"),
        ]

    def __str__(self) -> str:
        return self.title or self.msgid

    @property
    def counts(self) -> dict[str, int]:
        """Deliveries per status, all nine, in the order of the contract."""
        return {
            status.name.lower(): getattr(self, f"n_{status.name.lower()}")
            for status in Delivery.Status
        }

    @property
    def total(self) -> int:
        """How many deliveries there are, skipped ones included."""
        return sum(self.counts.values())

    @property
    def is_open(self) -> bool:
        """Whether anything may still happen without a person."""
        return self.status not in {
            Send.Status.DRAFT,
            Send.Status.REJECTED,
            Send.Status.FINISHED,
            Send.Status.CANCELED,
        }


class AudienceRow(models.Model):
    """One line of a pasted list or an uploaded file, before it becomes a delivery."""

    send = models.ForeignKey(
        Send,
        models.CASCADE,
        related_name="rows",
        db_index=False,
        db_constraint=False,  # see Delivery
    )
    row = models.PositiveIntegerField()
    userid = models.CharField(max_length=64, blank=True)
    openid = models.CharField(max_length=64, blank=True)
    variables: Any = models.JSONField(null=True)

    class Meta:
        indexes = [models.Index(fields=["send", "id"], name="audience_row_page")]

    def __str__(self) -> str:
        return f"{self.row}: {self.userid or self.openid}"


class GivenIDs(models.Model):
    """Whom a request named: the lines of an audience in one row, so that the request
    need not wait for a thousand. They stay until each is a delivery, or none will be.
    """

    class Kind(models.TextChoices):
        USERID = "userid", "userid"
        OPENID = "openid", "openid"

    send = models.OneToOneField(
        Send, models.CASCADE, primary_key=True, related_name="given_ids"
    )
    kind = models.CharField(max_length=6, choices=Kind.choices)
    # A list, as text: nobody looks into it before the send is prepared.
    ids = models.TextField()

    def __str__(self) -> str:
        return f"{self.kind}s of send {self.send_id}"


class Chunk(models.Model):
    """A range of a send's deliveries: the unit of claiming and of doubt.

    waiting: some rows wait, not before `due_at`. claimed: the drain that held the
    channel's lease as `fence` may be sending them. done: no row waits.
    """

    class State(models.IntegerChoices):
        WAITING = 0
        CLAIMED = 1
        DONE = 2

    send = models.ForeignKey(
        Send, models.CASCADE, related_name="chunks", db_index=False
    )
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    state = models.PositiveSmallIntegerField(
        choices=State.choices, default=State.WAITING
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True)
    fence = models.PositiveIntegerField(default=0)

    objects: ClassVar[models.Manager["Chunk"]] = ChunkQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["send", "due_at"],
                condition=models.Q(state__in=[0, 1]),
                name="chunk_open",
            ),
            models.Index(fields=["send", "first_id"], name="chunk_range"),
        ]

    def __str__(self) -> str:
        return f"{self.send_id}: {self.first_id}-{self.last_id}"


class Drain(models.Model):
    """The lease of the one drain that sends for a channel, and what holds it up.

    `fence` grows with every new holder; whatever writes results checks that its own
    fence is still the row's, so a worker that lost its lease cannot write.
    """

    channel = models.OneToOneField(Channel, models.CASCADE, related_name="drain")
    owner = models.CharField(max_length=36, blank=True)
    fence = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    # Nothing is sent before: WeChat asked for a pause, or cannot be reached.
    hold_until = models.DateTimeField(null=True)
    hold_reason = models.CharField(max_length=500, blank=True)
    # What share of the channel's own pace is used, since when, and what slowed it.
    pace = models.FloatField(default=1.0)
    paced_at = models.DateTimeField(null=True)
    pace_reason = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"drain of channel {self.channel_id}"


class Delivery(models.Model):
    """One message to one openid.

    No index holds a column that changes and the fill factor leaves half of each page
    free (migration 0002), so that PostgreSQL rewrites a row inside its page. The
    database does not look the send and the channel up for each row: that would be half
    of what making one costs. Rows are committed with their send's counters, and go
    with it.
    """

    class Status(models.IntegerChoices):
        WAITING = 0, _("waiting")
        SENDING = 1, _("sending")
        ACCEPTED = 2, _("accepted")
        DELIVERED = 3, _("delivered")
        UNDELIVERED = 4, _("undelivered")
        REFUSED = 5, _("refused")
        UNKNOWN = 6, _("unknown")
        SKIPPED = 7, _("skipped")
        CANCELED = 8, _("canceled")

    class Reason(models.TextChoices):
        """Why a delivery was skipped."""

        NO_OPENID = "no_openid", _("no openID on this channel")
        NO_RECIPIENT = "no_recipient", _("no such userid")
        DUPLICATE = "duplicate", _("already in this send")
        FOREIGN_OPENID = "foreign_openid", _("an openID of another channel")
        BAD_VALUE = "bad_value", _("a value that WeChat would refuse")
        BLACKLISTED = "blacklisted", _("on the blacklist")
        NOT_LISTED = "not_listed", _("not on the whitelist")
        CAPPED = "capped", _("has had enough messages today")
        NO_ACCEPTANCE = "no_acceptance", _("no acceptance left")

    send = models.ForeignKey(
        Send,
        models.CASCADE,
        related_name="deliveries",
        db_index=False,
        db_constraint=False,
    )
    channel = models.ForeignKey(
        Channel, models.PROTECT, db_index=False, db_constraint=False
    )
    userid = models.CharField(max_length=64, blank=True)
    openid = models.CharField(max_length=64, blank=True)
    variables: Any = models.JSONField(null=True)
    status = models.PositiveSmallIntegerField(
        choices=Status.choices, default=Status.WAITING
    )
    reason = models.CharField(max_length=14, choices=Reason.choices, blank=True)
    wechat_msgid = models.BigIntegerField(null=True)
    errcode = models.IntegerField(null=True)
    error = models.CharField(max_length=500, blank=True)
    # The first call whose outcome we never learned; a repeat is safe for ten minutes.
    doubt_since = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    receipt_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager["Delivery"]] = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [
            models.Index(fields=["send", "id"], name="delivery_page"),
            models.Index(
                fields=["openid", "id"],
                condition=~models.Q(openid=""),
                name="delivery_openid",
            ),
            models.Index(
                fields=["userid", "id"],
                condition=~models.Q(userid=""),
                name="delivery_userid",
            ),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk}"


class Click(models.Model):
    """The first click on a message's link, of sends that track clicks."""

    delivery = models.OneToOneField(
        Delivery, models.CASCADE, primary_key=True, related_name="click"
    )
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"click on delivery {self.delivery_id}"


class InboundEvent(models.Model):
    """What WeChat pushed, stored once, applied later."""

    class Status(models.IntegerChoices):
        WAITING = 0, _("waiting")
        APPLIED = 1, _("applied")
        UNMATCHED = 2, _("no delivery found")
        IGNORED = 3, _("nothing to do")

    channel = models.ForeignKey(Channel, models.CASCADE, db_index=False)
    # What makes a push the same push; a repeat has the same key.
    key = models.CharField(max_length=200)
    event = models.CharField(_("event"), max_length=64)
    openid = models.CharField(max_length=64, blank=True)
    # Of subscribe-notifications: a push that names several is a row for each.
    template_id = models.CharField(max_length=64, blank=True, db_default="")
    msgid = models.BigIntegerField(null=True)
    outcome = models.CharField(max_length=100, blank=True)
    payload = models.TextField(blank=True)
    created_at = models.DateTimeField()  # by WeChat's clock, whole seconds
    received_at = models.DateTimeField(_("received"))
    status = models.PositiveSmallIntegerField(
        _("status"), choices=Status.choices, default=Status.WAITING
    )
    try_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager["InboundEvent"]] = (
        InboundEventQuerySet.as_manager()
    )

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints = [
            models.UniqueConstraint(fields=["channel", "key"], name="event_once")
        ]
        indexes = [
            models.Index(
                fields=["channel", "try_at"],
                condition=models.Q(status=0),
                name="event_waiting",
            ),
            models.Index(fields=["channel", "id"], name="event_page"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.received_at:%H:%M:%S}"


class CallbackRefusal(models.Model):
    """Pushes refused on a channel, one row per reason: a flood cannot fill a table."""

    channel = models.ForeignKey(Channel, models.CASCADE, db_index=False)
    reason = models.CharField(max_length=30)
    detail = models.CharField(max_length=300, blank=True)
    address = models.GenericIPAddressField(null=True)
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        verbose_name = _("refused push")
        verbose_name_plural = _("refused pushes")
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "reason"], name="refusal_once_per_reason"
            )
        ]

    def __str__(self) -> str:
        return f"{self.reason} x {self.count}"


# Models of acceptances, and of what business systems are told; the latter name the ones
# above by string.
from .acceptance_models import (  # noqa: E402
    Acceptance as Acceptance,
)
from .acceptance_models import (  # noqa: E402
    AcceptanceEntry as AcceptanceEntry,
)
from .status_models import (  # noqa: E402
    CallbackURL as CallbackURL,
)
from .status_models import (  # noqa: E402
    StatusBatch as StatusBatch,
)
from .status_models import (  # noqa: E402
    StatusCallback as StatusCallback,
)
from .status_models import (  # noqa: E402
    Strategy as Strategy,
)
