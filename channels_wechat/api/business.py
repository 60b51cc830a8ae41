"""Business channels over the resource API. The MasterSecret is answered when it is made
and when it is rotated, and never again."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat.business_channels import create_business_channel, rotate_secret
from channels_wechat.models import BusinessChannel, Channel

from .auth import console_user
from .errors import unique
from .pagination import OldestFirst
from .schema import COMMON, INVALID, refused

KEPT_AT_MOST = timedelta(days=30)
SHOWN: dict[str, Any] = {
    "channel_key": "5f0c2b7d9a1e4c6f8b3d7a20",
    "name": "Orders",
    "channels": ["hr"],
    "enabled": True,
    "review": False,
    "calls_per_minute": 600,
    "broadcasts_per_day": 5,
    "per_person_per_day": None,
    "quiet_hours": "22:00-08:00",
    "sensitive_words": ["免费"],
    "callbacks_enabled": True,
    "sign_callbacks": False,
    "track_clicks": False,
    "created_at": "2026-11-22T12:00:00+08:00",
    "last_used_at": None,
}
MADE = {**SHOWN, "master_secret": "9b1e6a40d2c85f7713a9e0b4"}
GIVEN = {
    "name": "Orders",
    "channels": ["hr"],
    "calls_per_minute": 600,
    "quiet_hours": "22:00-08:00",
}
NO_SUCH = refused("not_found", "No such business channel.")
TAKEN = refused("taken", "Another call took this name just now.")


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class ChannelCodes(serializers.ListField):
    """Channels by their codes: one query for all of them."""

    child = serializers.CharField(max_length=32)

    def to_internal_value(self, data: Any) -> list[Any]:
        codes = super().to_internal_value(data)
        known = {row.code: row for row in Channel.objects.filter(code__in=codes)}
        unknown: Any = {
            index: [_("No channel has the code “%(code)s”.") % {"code": code}]
            for index, code in enumerate(codes)
            if code not in known
        }
        if unknown:
            raise serializers.ValidationError(unknown)
        return [known[code] for code in dict.fromkeys(codes)]

    def to_representation(self, data: Any) -> list[Any]:
        return sorted(channel.code for channel in data.all())


class BusinessChannelSerializer(serializers.ModelSerializer[BusinessChannel]):
    """A sender: what it may use, and its limits. An empty limit is off."""

    channel_key = serializers.CharField(source="key", read_only=True)
    channels = ChannelCodes(max_length=500, help_text=gettext_lazy("Codes."))
    sensitive_words = serializers.ListField(
        child=serializers.CharField(max_length=100),
        required=False,
        max_length=1000,
        help_text=gettext_lazy("API sends with one of them are refused."),
    )

    class Meta:
        model = BusinessChannel
        fields: ClassVar = [
            "channel_key",
            "name",
            "channels",
            "enabled",
            "review",
            "calls_per_minute",
            "broadcasts_per_day",
            "per_person_per_day",
            "quiet_hours",
            "sensitive_words",
            "callbacks_enabled",
            "sign_callbacks",
            "track_clicks",
            "created_at",
            "last_used_at",
        ]

    def validate_sensitive_words(self, words: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(words))


class NewBusinessChannelSerializer(BusinessChannelSerializer):
    """A business channel that was just made: this once with its MasterSecret."""

    master_secret = serializers.CharField(read_only=True)

    class Meta(BusinessChannelSerializer.Meta):
        fields: ClassVar = [*BusinessChannelSerializer.Meta.fields, "master_secret"]


class RotationSerializer(serializers.Serializer[Any]):
    """How long the old secret goes on working."""

    keep_old_for_s = serializers.IntegerField(
        default=0,
        min_value=0,
        max_value=int(KEPT_AT_MOST.total_seconds()),
        help_text=gettext_lazy("Seconds, at most 30 days. 0: it ends at once."),
    )


class RotatedSerializer(serializers.Serializer[Any]):
    """The new secret, this once."""

    channel_key = serializers.CharField()
    master_secret = serializers.CharField()
    old_valid_until = serializers.DateTimeField()


class BusinessChannelList(ListAPIView[BusinessChannel]):
    """The senders."""

    serializer_class = BusinessChannelSerializer
    pagination_class = OldestFirst
    queryset = BusinessChannel.objects.prefetch_related("channels")

    @extend_schema(
        operation_id="business_channels_list",
        summary="List the business channels",
        responses={200: BusinessChannelSerializer(many=True), 400: INVALID, **COMMON},
        examples=[OpenApiExample("business channel", SHOWN, response_only=True)],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="business_channels_create",
        summary="Make a business channel",
        description="The MasterSecret is answered this once.",
        responses={
            201: NewBusinessChannelSerializer,
            400: INVALID,
            409: TAKEN,
            **COMMON,
        },
        examples=[
            OpenApiExample("new business channel", GIVEN, request_only=True),
            OpenApiExample("made", MADE, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request) -> Response:
        given = BusinessChannelSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        with unique():
            row, _secret = create_business_channel(
                by=console_user(request), **given.validated_data
            )
        return Response(
            NewBusinessChannelSerializer(row).data, status=status.HTTP_201_CREATED
        )


class BusinessChannelView(GenericAPIView[BusinessChannel]):
    """What every address below one business channel shares."""

    serializer_class: type[serializers.BaseSerializer[Any]] = BusinessChannelSerializer
    queryset: QuerySet[BusinessChannel] = BusinessChannel.objects.all()

    def business_channel(self) -> BusinessChannel:
        """Return the business channel of the address. Raises NotFound."""
        row = BusinessChannel.objects.filter(key=self.kwargs["channel_key"]).first()
        if row is None:
            raise NotFound(_("No such business channel."))
        return row


class BusinessChannelDetail(BusinessChannelView):
    """One sender."""

    @extend_schema(
        operation_id="business_channels_read",
        summary="One business channel",
        responses={200: BusinessChannelSerializer, 404: NO_SUCH, **COMMON},
        examples=[OpenApiExample("business channel", SHOWN, response_only=True)],
    )
    def get(self, request: Request, channel_key: str) -> Response:
        return Response(BusinessChannelSerializer(self.business_channel()).data)

    @extend_schema(
        operation_id="business_channels_change",
        summary="Change a business channel",
        request=BusinessChannelSerializer(partial=True),
        responses={
            200: BusinessChannelSerializer,
            400: INVALID,
            404: NO_SUCH,
            409: TAKEN,
            **COMMON,
        },
        examples=[
            OpenApiExample("review", {"review": True}, request_only=True),
            OpenApiExample("business channel", SHOWN, response_only=True),
        ],
    )
    def patch(self, request: Request, channel_key: str) -> Response:
        row = self.business_channel()
        given = BusinessChannelSerializer(row, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        with unique():
            given.save()
        return Response(BusinessChannelSerializer(row).data)


class BusinessChannelRotation(BusinessChannelView):
    """A new MasterSecret."""

    permission_required = "channels_wechat.change_businesschannel"
    serializer_class = RotationSerializer

    @extend_schema(
        operation_id="business_channels_rotate_secret",
        summary="Rotate a MasterSecret",
        description="The new one is answered this once and works at once; status "
        "callbacks use it from now on.",
        request=RotationSerializer,
        responses={
            200: RotatedSerializer,
            400: INVALID,
            404: NO_SUCH,
            **COMMON,
        },
        examples=[
            OpenApiExample("a day", {"keep_old_for_s": 86400}, request_only=True),
            OpenApiExample(
                "rotated",
                {
                    "channel_key": SHOWN["channel_key"],
                    "master_secret": MADE["master_secret"],
                    "old_valid_until": "2026-11-23T12:00:00+08:00",
                },
                response_only=True,
                status_codes=["200"],
            ),
        ],
    )
    def post(self, request: Request, channel_key: str) -> Response:
        row = self.business_channel()
        given = RotationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        kept = timedelta(seconds=given.validated_data["keep_old_for_s"])
        until = rotate_secret(row, kept)
        answer = RotatedSerializer(
            {
                "channel_key": row.key,
                "master_secret": row.master_secret,
                "old_valid_until": until,
            }
        ).data
        return Response(answer, headers={"Cache-Control": "no-store"})
