"""Uploads and recipients as the resource API shows them."""

from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from channels_wechat.models import Channel
from users.models import Recipient, Upload, UploadError


class NewUploadSerializer(serializers.Serializer[Any]):
    """A file of users."""

    file = serializers.FileField(
        allow_empty_file=True,
        help_text=_(
            ".xlsx or .csv with a header row: userid, wechatoa_openid, tag, phone, "
            "email, bind_id."
        ),
    )
    channel = serializers.SlugRelatedField(
        slug_field="code",
        queryset=Channel.objects.all(),
        required=False,
        allow_null=True,
        help_text=_("Code of the channel of openIDs in rows without a bind_id."),
    )
    mode = serializers.ChoiceField(Upload.Mode.choices, default=Upload.Mode.SET)


class UploadSerializer(serializers.ModelSerializer[Upload]):
    """An upload and how far it is."""

    channel = serializers.SlugRelatedField[Channel](slug_field="code", read_only=True)
    status = serializers.ChoiceField(
        ["queued", "running", "finished", "failed"], read_only=True
    )
    detail = serializers.CharField(read_only=True, help_text=_("Why it failed."))
    ignored_columns = serializers.ListField(
        child=serializers.CharField(), read_only=True
    )

    class Meta:
        model = Upload
        fields: ClassVar = [
            "id",
            "status",
            "detail",
            "name",
            "channel",
            "mode",
            "rows_total",
            "rows_ok",
            "rows_failed",
            "rows_warned",
            "ignored_columns",
            "created_at",
            "started_at",
            "finished_at",
        ]


class UploadErrorSerializer(serializers.ModelSerializer[UploadError]):
    """A row that was refused, or imported with a warning."""

    level = serializers.SerializerMethodField()
    reason = serializers.CharField(read_only=True, help_text=_("A sentence."))

    class Meta:
        model = UploadError
        fields: ClassVar = ["row", "userid", "level", "code", "reason"]

    def get_level(self, error: UploadError) -> str:
        """ "error": the row was refused; "warning": it was imported."""
        return "warning" if error.is_warning else "error"


class RecipientSerializer(serializers.ModelSerializer[Recipient]):
    """A person."""

    openids = serializers.SerializerMethodField()
    tags = serializers.SerializerMethodField()

    class Meta:
        model = Recipient
        fields: ClassVar = ["userid", "openids", "tags", "phone", "email"]

    def get_openids(self, recipient: Recipient) -> dict[str, str]:
        return {one.channel.code: one.openid for one in recipient.openids.all()}

    def get_tags(self, recipient: Recipient) -> list[str]:
        return sorted({tag.name for tag in recipient.tags.all()})


class RecipientQuery(serializers.Serializer[Any]):
    """Which recipients to list."""

    tag = serializers.CharField(required=False, help_text=_("Who has this tag."))
    channel = serializers.SlugRelatedField(
        slug_field="code",
        queryset=Channel.objects.all(),
        required=False,
        help_text=_("Who has an openID at the channel with this code."),
    )
    q = serializers.CharField(
        required=False, help_text=_("Beginning of a userid, or a whole openID.")
    )
