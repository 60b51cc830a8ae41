"""Who still accepts subscribe-notifications, over the resource API."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat.api.pagination import OldestFirst
from channels_wechat.api.schema import COMMON, INVALID
from sends.models import Acceptance

from .serializers import ChannelCode

SHOWN = {
    "channel": "hr",
    "openid": "oSB0000000000000000000000001",
    "template_id": "9Aw5ZV1j9xdWTFEkqCpZ7mIBbSC34khK55OtzUPl0rU",
    "left": 1,
    "always": False,
    "rejected": False,
    "accepted": 3,
    "used": 2,
    "last_event_at": "2026-11-22T20:00:01+08:00",
    "confidence": "counted",
}


class AcceptanceSerializer(serializers.ModelSerializer[Acceptance]):
    """What an openid still accepts of one template."""

    channel = ChannelCode(read_only=True)
    left = serializers.IntegerField(
        source="left_now",
        read_only=True,
        help_text=_("Messages that may still be sent; at least 1 of what is always."),
    )
    always = serializers.BooleanField(
        read_only=True, help_text=_("Of a long-term template: it never runs out.")
    )
    rejected = serializers.BooleanField(
        read_only=True, help_text=_("The person said no and has not accepted since.")
    )
    confidence = serializers.ChoiceField(
        Acceptance.Confidence.choices,
        read_only=True,
        help_text=_(
            "confirmed: WeChat said once that none was left, and it was counted from"
            " there; counted: from the events that came; doubtful: more was used than"
            " we saw accepted."
        ),
    )

    class Meta:
        model = Acceptance
        fields: ClassVar = list(SHOWN)
        read_only_fields = fields


class AcceptanceQuery(serializers.Serializer[Any]):
    """Which acceptances to list."""

    channel = ChannelCode(required=False, help_text=_("Code of a channel."))
    template_id = serializers.CharField(
        max_length=64, required=False, help_text=_("WeChat's.")
    )
    openid = serializers.CharField(max_length=64, required=False)


class AcceptanceList(ListAPIView[Acceptance]):
    """The ledger of acceptances, as far as WeChat lets us know it."""

    serializer_class = AcceptanceSerializer
    pagination_class = OldestFirst
    queryset = Acceptance.objects.all()

    def get_queryset(self) -> QuerySet[Acceptance]:
        query = AcceptanceQuery(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        found = Acceptance.objects.filter(**query.validated_data)
        return found.select_related("channel").with_terms()

    @extend_schema(
        operation_id="acceptances_list",
        summary="List who accepts subscribe-notifications",
        parameters=[AcceptanceQuery],
        responses={200: AcceptanceSerializer(many=True), 400: INVALID, **COMMON},
        examples=[OpenApiExample("acceptance", SHOWN, response_only=True)],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)
