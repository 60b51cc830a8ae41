"""Templates as the resource API shows them."""

from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from channels_wechat.models import Channel
from templates_mgmt.models import Template

# The contract's words.
KINDS = ["template", "subscribe"]


class TemplateFieldSerializer(serializers.Serializer[Any]):
    """A place in the card that takes a value."""

    key = serializers.CharField()
    # Named by hand: `label` is taken on a serializer.
    type = serializers.CharField(help_text=_("Empty for historical templates."))
    values = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text=_("Only where WeChat takes nothing but these."),
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        key, *others = super().get_fields().items()
        return dict([key, ("label", serializers.CharField()), *others])


class TemplateSerializer(serializers.ModelSerializer[Template]):
    """A template of a channel, as of the last refresh."""

    channel = serializers.SlugRelatedField[Channel](slug_field="code", read_only=True)
    kind = serializers.ChoiceField(KINDS, read_only=True)

    class Meta:
        model = Template
        fields: ClassVar = [
            "channel",
            "template_id",
            "kind",
            "title",
            "content",
            "example",
            "removed_at",
        ]

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        named = super().get_fields()
        named["fields"] = TemplateFieldSerializer(many=True, read_only=True)
        return named


class TemplateQuery(serializers.Serializer[Any]):
    """Which templates to list."""

    channel = serializers.SlugRelatedField(
        slug_field="code",
        queryset=Channel.objects.all(),
        required=False,
        help_text=_("Code of a channel."),
    )
    kind = serializers.ChoiceField(KINDS, required=False)
    removed = serializers.BooleanField(
        default=False, help_text=_("Also those that WeChat lists no more.")
    )


class RefreshedSerializer(serializers.Serializer[Any]):
    """What a refresh changed."""

    added = serializers.IntegerField()
    changed = serializers.IntegerField()
    removed = serializers.IntegerField()
    unchanged = serializers.IntegerField()


class RefusedSerializer(serializers.Serializer[Any]):
    """Why a list could not be had."""

    errcode = serializers.IntegerField(allow_null=True)
    errmsg = serializers.CharField()
    detail = serializers.CharField(help_text=_("What it means, in a sentence."))


class RefreshSerializer(serializers.Serializer[Any]):
    """What a refresh changed, by kind."""

    template = RefreshedSerializer()
    subscribe = RefreshedSerializer()
    subscribe_refused = RefusedSerializer(
        required=False,
        help_text=_(
            "Only if WeChat did not list the subscribe-notifications, as of sandbox"
            " test accounts; then theirs are unchanged."
        ),
    )
