"""Sends, deliveries and events as the resource API shows them."""

from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from channels_wechat.models import Channel
from sends import brake
from sends.models import Delivery, InboundEvent, Send
from templates_mgmt.models import Template

# Lower-case words stand for the numbers in the table.
DELIVERY_STATUSES = {s.name.lower(): s for s in Delivery.Status}
EVENT_STATUSES = {s.name.lower(): s for s in InboundEvent.Status}


class ChannelCode(serializers.SlugRelatedField[Channel]):
    """A channel by its code."""

    def __init__(self, **options: Any) -> None:
        if not options.get("read_only"):
            options.setdefault("queryset", Channel.objects.all())
        super().__init__(slug_field="code", **options)


class CountsSerializer(serializers.Serializer[Any]):
    """Deliveries by status. They add up to `total`."""

    waiting = serializers.IntegerField()
    sending = serializers.IntegerField()
    accepted = serializers.IntegerField()
    delivered = serializers.IntegerField()
    undelivered = serializers.IntegerField()
    refused = serializers.IntegerField()
    unknown = serializers.IntegerField()
    skipped = serializers.IntegerField()
    canceled = serializers.IntegerField()


class PauseSerializer(serializers.Serializer[Any]):
    """Why a send stands still."""

    code = serializers.ChoiceField(Send.PauseCode.choices, source="pause_code")
    errcode = serializers.IntegerField(source="pause_errcode", allow_null=True)
    detail = serializers.SerializerMethodField(
        help_text=_("WeChat's own words, or how many were refused.")
    )
    by = serializers.CharField(source="paused_by")
    paused_at = serializers.DateTimeField(allow_null=True)
    resume_at = serializers.DateTimeField(
        allow_null=True, help_text=_("When it goes on by itself, if it does.")
    )

    def get_detail(self, send: Send) -> str:
        return brake.sentence(send.pause_code, send.pause_detail)


class SendSerializer(serializers.ModelSerializer[Send]):
    """One request to send."""

    channel = ChannelCode(read_only=True)
    template = serializers.SlugRelatedField[Template](
        slug_field="template_id", read_only=True, allow_null=True
    )
    counts = CountsSerializer(read_only=True)
    total = serializers.IntegerField(read_only=True)
    pause = serializers.SerializerMethodField(
        help_text=_("null unless the send is paused.")
    )

    class Meta:
        model = Send
        fields: ClassVar = [
            "msgid",
            "title",
            "channel",
            "template",
            "status",
            "source",
            "priority",
            "counts",
            "total",
            "pause",
            "canary",
            "created_at",
            "scheduled_for",
            "late_within_h",
            "submitted_at",
            "prepared_at",
            "started_at",
            "finished_at",
            "archived_at",
        ]
        read_only_fields = fields

    @extend_schema_field(PauseSerializer(allow_null=True))
    def get_pause(self, send: Send) -> Any:
        if send.status != Send.Status.PAUSED:
            return None
        return PauseSerializer(send).data


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One message to one openid."""

    status = serializers.SerializerMethodField()
    wechat_msgid = serializers.CharField(
        read_only=True,
        allow_null=True,
        help_text=_("WeChat's number as text: it may exceed 53 bits."),
    )
    error = serializers.SerializerMethodField(
        help_text=_("WeChat's own words, or why it was skipped. Empty: no error.")
    )
    reason = serializers.CharField(
        read_only=True, help_text=_("Why it was skipped, as a stable word; else empty.")
    )

    class Meta:
        model = Delivery
        fields: ClassVar = [
            "userid",
            "openid",
            "status",
            "wechat_msgid",
            "errcode",
            "error",
            "reason",
            "sent_at",
            "receipt_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(list(DELIVERY_STATUSES)))
    def get_status(self, delivery: Delivery) -> str:
        return Delivery.Status(delivery.status).name.lower()

    def get_error(self, delivery: Delivery) -> str:
        return delivery.error or str(delivery.get_reason_display())


class EventSerializer(serializers.ModelSerializer[InboundEvent]):
    """Something WeChat pushed."""

    channel = ChannelCode(read_only=True)
    type = serializers.CharField(
        source="event",
        read_only=True,
        help_text=_("WeChat's Event in lower case; the MsgType of messages."),
    )
    status = serializers.SerializerMethodField()
    matched = serializers.SerializerMethodField(
        help_text=_("Whether it was applied to something of ours.")
    )
    msgid = serializers.CharField(read_only=True, allow_null=True)

    class Meta:
        model = InboundEvent
        fields: ClassVar = [
            "id",
            "channel",
            "type",
            "openid",
            "msgid",
            "outcome",
            "status",
            "matched",
            "created_at",
            "received_at",
            "applied_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(list(EVENT_STATUSES)))
    def get_status(self, event: InboundEvent) -> str:
        return InboundEvent.Status(event.status).name.lower()

    def get_matched(self, event: InboundEvent) -> bool:
        return event.status == InboundEvent.Status.APPLIED


class SendQuery(serializers.Serializer[Any]):
    """Which sends to list."""

    channel = ChannelCode(required=False, help_text=_("Code of a channel."))
    status = serializers.ChoiceField(Send.Status.choices, required=False)


class DeliveryQuery(serializers.Serializer[Any]):
    """Which deliveries to list."""

    status = serializers.ChoiceField(list(DELIVERY_STATUSES), required=False)


class EventQuery(serializers.Serializer[Any]):
    """Which events to list."""

    channel = ChannelCode(required=False, help_text=_("Code of a channel."))
    status = serializers.ChoiceField(list(EVENT_STATUSES), required=False)
