"""Official Accounts and what opens them: channels, access tokens, access keys."""

import hashlib
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from .querysets import ChannelQuerySet
from .secrets import SecretField
from .wechat.crypto import make_encoding_aes_key, make_token

if TYPE_CHECKING:
    from .wechat.client import Client
    from .wechat.errors import ChannelRefused


class Channel(models.Model):
    """One Official Account: connected by AppID and AppSecret, or authorised to our
    third-party platform by a scan."""

    class By(models.TextChoices):
        SECRET = "secret", "AppID + AppSecret"
        PLATFORM = "platform", _("Scan")

    class CallbackMode(models.TextChoices):
        PLAIN = "plain", _("Plain text")
        COMPATIBLE = "compatible", _("Compatible")
        SAFE = "safe", _("Safe")

    name = models.CharField(_("name"), max_length=30, unique=True)
    code = models.CharField(
        _("code"),
        max_length=32,
        unique=True,
        validators=[
            RegexValidator(r"\A[A-Za-z0-9]+\Z", _("Letters and digits only, please."))
        ],
        help_text=_("Letters and digits. The key in uploads; fixed once used."),
    )
    appid = models.CharField(
        "AppID",
        max_length=32,
        unique=True,
        validators=[
            RegexValidator(
                r"\Awx[0-9a-zA-Z]{16}\Z",
                _("An AppID is wx followed by 16 letters and digits."),
            )
        ],
    )
    # Set by authorising and by entering an AppSecret, never by hand.
    authorization = models.CharField(
        _("connected by"),
        max_length=8,
        choices=By.choices,
        default=By.SECRET,
        db_default=By.SECRET,
        editable=False,
    )
    app_secret = SecretField(
        "AppSecret",
        blank=True,
        validators=[
            RegexValidator(
                r"\A[!-~]{1,128}\Z", _("An AppSecret has letters and digits only.")
            )
        ],
    )
    original_id = models.CharField(
        _("original id"),
        max_length=32,
        blank=True,
        help_text=_("gh_…, learned from the first callback when left empty."),
    )
    callback_mode = models.CharField(
        _("callback mode"),
        max_length=10,
        choices=CallbackMode.choices,
        default=CallbackMode.SAFE,
    )
    # Made up when left empty. The rules are those of WeChat's console.
    callback_token = SecretField(
        "Token",
        blank=True,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9]{3,32}\Z", _("A Token is 3 to 32 letters and digits.")
            )
        ],
    )
    encoding_aes_key = SecretField(
        "EncodingAESKey",
        blank=True,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9]{43}\Z",
                _("An EncodingAESKey is 43 letters and digits."),
            )
        ],
    )
    # WeChat may use either for a while after a change.
    previous_aes_key = SecretField(blank=True, editable=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    connections = models.PositiveSmallIntegerField(
        _("connections at once"),
        default=50,
        validators=[MinValueValidator(1), MaxValueValidator(2000)],
        help_text=_("WeChat was seen to push back at about 400."),
    )
    rate_per_s = models.PositiveIntegerField(
        _("messages a second"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Empty: as fast as WeChat answers."),
    )
    api_reserve = models.PositiveIntegerField(
        _("kept for API messages"),
        default=0,
        db_default=0,
        help_text=_(
            "So many of the day's messages are left to business systems: a send of the"
            " console pauses before it takes them, and goes on the next day."
        ),
    )

    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False
    )
    # What we have seen of the account. Written by machines.
    token_ok_at = models.DateTimeField(null=True, editable=False)
    refused_at = models.DateTimeField(null=True, editable=False)
    refused_errcode = models.IntegerField(null=True, editable=False)
    refused_errmsg = models.CharField(max_length=500, blank=True, editable=False)
    callback_verified_at = models.DateTimeField(null=True, editable=False)
    last_push_at = models.DateTimeField(null=True, editable=False)
    templates_refreshed_at = models.DateTimeField(null=True, editable=False)
    checked_at = models.DateTimeField(null=True, editable=False)
    findings = models.JSONField(default=list, editable=False)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ("name",)
        permissions = [
            ("check_channel", _("Can check a channel")),
            ("refresh_templates", _("Can refresh a channel's templates")),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding:
            self.callback_token = self.callback_token or make_token()
            self.encoding_aes_key = self.encoding_aes_key or make_encoding_aes_key()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            Channel.objects.filter(pk=self.pk).lock()
            return super().delete(*args, **kwargs)

    @property
    def status(self) -> str:
        """One of "ready", "unverified", "unauthorized", "disabled".

        unauthorized: WeChat refused the account's own credentials or our address the
        last time we asked, or the account withdrew its authorisation; unverified: we
        never held a token.
        """
        if not self.enabled:
            return "disabled"
        if self.refused_at:
            return "unauthorized"
        return "ready" if self.token_ok_at else "unverified"

    @property
    def credentials(self) -> str:
        """A fingerprint of what tokens are got with, to see whether it changed."""
        by = self.app_secret
        if self.is_authorised:
            by = f"platform {settings.WECHATTPP_COMPONENT_APP_ID}"
        return hashlib.sha256(f"{self.appid} {by}".encode()).hexdigest()

    @property
    def is_authorised(self) -> bool:
        """Whether it is connected through the third-party platform."""
        return self.authorization == self.By.PLATFORM

    @property
    def callback_url(self) -> str:
        """Where WeChat pushes this account's events, or shall push them."""
        if self.is_authorised:
            return f"{settings.PUBLIC_URL}/wechattpp/{self.appid}/message"
        return f"{settings.PUBLIC_URL}/v1/wechatoa/callback/{self.code}"

    @property
    def aes_keys(self) -> list[str]:
        """The keys a push may be encrypted with, the current one first."""
        return [key for key in (self.encoding_aes_key, self.previous_aes_key) if key]

    def client(self) -> "Client":
        """Return the WeChat client that speaks for this account."""
        from . import platforms, tokens  # which import this module
        from .wechat.client import Client

        def heard(refusal: "ChannelRefused") -> None:
            platforms.heard_of(self, refusal)

        return Client(
            settings.WECHAT_API_BASE,
            tokens.source(self),
            on_refusal=heard if self.is_authorised else None,
        )


class QuotaReading(models.Model):
    """What WeChat said last of how many messages of a kind it takes: see `quotas`."""

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="quotas")
    kind = models.CharField(max_length=9)  # of Template.Kind
    daily_limit = models.PositiveIntegerField()
    used = models.PositiveIntegerField()
    remain = models.PositiveIntegerField()
    read_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "kind"], name="one_quota_per_channel_and_kind"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.remain} of {self.daily_limit}"


class LeasedToken(models.Model):
    """A token and the lease of whoever renews it: see `token_leases`."""

    value = SecretField(blank=True)
    expires_at = models.DateTimeField(null=True)
    obtained_at = models.DateTimeField(null=True)
    generation = models.PositiveIntegerField(default=0)
    # Of what it was got with: with other credentials it must not be used.
    credentials = models.CharField(max_length=64, blank=True)
    # The generation that was got by force, if the current one was.
    forced_generation = models.PositiveIntegerField(null=True)
    renewing_until = models.DateTimeField(null=True)
    renewer = models.CharField(max_length=36, blank=True)

    class Meta:
        abstract = True


class AccessToken(LeasedToken):
    """The one access token of a channel."""

    channel = models.OneToOneField(Channel, models.CASCADE, related_name="access_token")

    def __str__(self) -> str:
        return f"access token of channel {self.channel_id}"


class AccessKey(models.Model):
    """A key pair for the resource API. The secret has 192 random bits: its SHA-256 is
    as safe as a slow hash, and is checked on every call."""

    name = models.CharField(_("name"), max_length=60, unique=True)
    key = models.CharField("AccessKey", max_length=24, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    # After a rotation the old one works until then.
    previous_hash = models.CharField(max_length=64, blank=True, editable=False)
    previous_valid_until = models.DateTimeField(null=True, editable=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False
    )
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    class Meta:
        verbose_name = _("access key")
        verbose_name_plural = _("access keys")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class BusinessChannel(models.Model):
    """A business line that sends: its key, its secret, its channels, its limits.

    The MasterSecret is encrypted and not hashed: status callbacks authenticate with it.
    Every protection is off while its field is empty.
    """

    name = models.CharField(_("name"), max_length=60, unique=True)
    key = models.CharField("ChannelKey", max_length=24, unique=True, editable=False)
    master_secret = SecretField("MasterSecret", editable=False)
    # After a rotation the old one works until then.
    previous_secret = SecretField(blank=True, editable=False)
    previous_valid_until = models.DateTimeField(null=True, editable=False)
    channels = models.ManyToManyField(
        Channel,
        related_name="business_channels",
        blank=True,
        verbose_name=_("channels"),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    review = models.BooleanField(
        _("review API sends"),
        default=False,
        help_text=_("A console user who is not their owner has to approve them."),
    )
    calls_per_minute = models.PositiveIntegerField(
        _("calls a minute"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    broadcasts_per_day = models.PositiveIntegerField(
        _("broadcasts a day"), null=True, blank=True
    )
    per_person_per_day = models.PositiveIntegerField(
        _("messages a person and day"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
    )
    quiet_hours = models.CharField(
        _("quiet hours"),
        max_length=11,
        blank=True,
        validators=[
            RegexValidator(
                r"\A([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d\Z",
                _("Quiet hours look like 22:00-08:00."),
            )
        ],
        help_text=_("Like 22:00-08:00, China time. API sends are refused then."),
    )
    sensitive_words: Any = models.JSONField(
        _("sensitive words"), default=list, blank=True
    )
    track_clicks = models.BooleanField(_("track clicks"), default=False)
    callbacks_enabled = models.BooleanField(_("status callbacks"), default=True)
    sign_callbacks = models.BooleanField(_("sign status callbacks"), default=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        verbose_name=_("created by"),
    )
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    class Meta:
        verbose_name = _("business channel")
        verbose_name_plural = _("business channels")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Usage(models.Model):
    """What a business channel has used of its limits. One row each, locked to count."""

    business_channel = models.OneToOneField(
        BusinessChannel, models.CASCADE, related_name="usage"
    )
    # A token bucket: so many calls are left, as of then.
    calls_left = models.FloatField(default=0)
    counted_at = models.DateTimeField(null=True)
    day = models.DateField(null=True)  # in China
    broadcasts = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"usage of business channel {self.business_channel_id}"


class IdempotencyKey(models.Model):
    """A call that must not be done twice: who, under which key, with which body, and
    the answer it got. Kept for a day."""

    business_channel = models.ForeignKey(
        BusinessChannel, models.CASCADE, db_index=False
    )
    key = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    answer: Any = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["business_channel", "key"], name="idempotency_key_once"
            )
        ]

    def __str__(self) -> str:
        return f"call {self.pk} of business channel {self.business_channel_id}"


def material_path(material: "Material", filename: str) -> str:
    """Keep the file under its random token; the sender's name stays a label."""
    return f"material/{material.token}"


class Material(models.Model):
    """A file that a business system keeps here for a while, for message bodies."""

    business_channel = models.ForeignKey(BusinessChannel, models.CASCADE)
    token = models.CharField(max_length=32, unique=True)
    file = models.FileField(upload_to=material_path)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.name


# Models of the third-party platform; they name the ones above by string.
from .jsapi_models import (  # noqa: E402
    JsapiTicket as JsapiTicket,
)
from .platform_models import (  # noqa: E402
    Authorization as Authorization,
)
from .platform_models import (  # noqa: E402
    AuthorizationCode as AuthorizationCode,
)
from .platform_models import (  # noqa: E402
    Avatar as Avatar,
)
from .platform_models import (  # noqa: E402
    Platform as Platform,
)
from .platform_models import (  # noqa: E402
    PlatformEvent as PlatformEvent,
)
from .platform_models import (  # noqa: E402
    PlatformLink as PlatformLink,
)
from .platform_models import (  # noqa: E402
    PreAuthCode as PreAuthCode,
)
