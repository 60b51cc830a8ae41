"""Channels as the resource API shows and takes them. Secrets go in, never out."""

from typing import Any, ClassVar

from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from channels_wechat.models import Channel
from channels_wechat.wechat.crypto import make_encoding_aes_key, make_token

AUTHORIZATIONS = ["secret", "platform"]
STATUSES = ["ready", "unverified", "unauthorized", "disabled"]


class ChannelSerializer(serializers.ModelSerializer[Channel]):
    """One Official Account."""

    app_secret = serializers.CharField(
        write_only=True,
        validators=[
            RegexValidator(
                r"\A[!-~]{1,128}\Z", _("An AppSecret has letters and digits only.")
            )
        ],
        help_text=_("From WeChat's console. Never shown again."),
    )
    callback_token = serializers.CharField(
        write_only=True,
        required=False,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9]{3,32}\Z", _("A Token is 3 to 32 letters and digits.")
            )
        ],
        help_text=_("Made up when absent."),
    )
    encoding_aes_key = serializers.CharField(
        write_only=True,
        required=False,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9]{43}\Z",
                _("An EncodingAESKey is 43 letters and digits."),
            )
        ],
        help_text=_("Made up when absent."),
    )
    authorization = serializers.ChoiceField(
        AUTHORIZATIONS,
        read_only=True,
        help_text=_(
            "secret: by AppID and AppSecret; platform: by a scan, through the "
            "third-party platform. An AppSecret makes it secret."
        ),
    )
    status = serializers.ChoiceField(
        STATUSES,
        read_only=True,
        help_text=_(
            "unverified: never held an access token; unauthorized: WeChat refused the "
            "account's credentials or our address, or the account withdrew its "
            "authorisation."
        ),
    )
    callback_url = serializers.CharField(read_only=True)

    class Meta:
        model = Channel
        fields: ClassVar = [
            "code",
            "name",
            "appid",
            "app_secret",
            "original_id",
            "callback_mode",
            "callback_token",
            "encoding_aes_key",
            "callback_url",
            "enabled",
            "authorization",
            "status",
            "callback_verified_at",
            "last_push_at",
            "templates_refreshed_at",
        ]
        read_only_fields: ClassVar = [
            "callback_verified_at",
            "last_push_at",
            "templates_refreshed_at",
        ]

    def create(self, validated_data: dict[str, Any]) -> Channel:
        """Connect the account; a Token and EncodingAESKey are made up if not given."""
        validated_data.setdefault("callback_token", make_token())
        validated_data.setdefault("encoding_aes_key", make_encoding_aes_key())
        return super().create(validated_data)


class NewChannelSerializer(ChannelSerializer):
    """A channel that was just made: this once with what WeChat's console asks for."""

    callback_token = serializers.CharField(read_only=True)
    encoding_aes_key = serializers.CharField(read_only=True)


class FindingSerializer(serializers.Serializer[Any]):
    """What one check of a channel found."""

    check = serializers.CharField()
    level = serializers.ChoiceField(["ok", "warn", "bad"])
    detail = serializers.CharField()
    fix = serializers.CharField(help_text=_("What to do about it; may be empty."))


class FindingsSerializer(serializers.Serializer[Any]):
    findings = FindingSerializer(many=True)
