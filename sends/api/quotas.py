"""What WeChat still lets an account send today, and how a send would be spread."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat import quotas
from channels_wechat.api.schema import COMMON, INVALID, NOT_FOUND, WECHAT
from channels_wechat.api.views import ChannelView
from sends.models import Send
from templates_mgmt.models import Template


class QuotaQuery(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(
        Template.Kind.choices, default=Template.Kind.TEMPLATE.value
    )
    messages = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=100_000_000,
        help_text=_("Of a send to be: `plan` says on which days they would leave."),
    )


class DaySerializer(serializers.Serializer[Any]):
    day = serializers.DateField(help_text=_("In China."))
    messages = serializers.IntegerField()


class QuotaSerializer(serializers.Serializer[Any]):
    """Messages of one kind, from midnight to midnight in China."""

    kind = serializers.ChoiceField(Template.Kind.choices)
    daily_limit = serializers.IntegerField()
    used = serializers.IntegerField()
    remain = serializers.IntegerField()
    reserve = serializers.IntegerField(
        help_text=_("Of each day, so many messages are not for sends of the console.")
    )
    read_at = serializers.DateTimeField(help_text=_("When WeChat said so."))
    ahead = serializers.IntegerField(
        help_text=_("Messages of other sends that have to leave as well.")
    )
    plan = DaySerializer(
        many=True,
        allow_null=True,
        help_text=_("Null unless `messages` was asked for."),
    )


class Quota(ChannelView):
    """The quota of one channel."""

    @extend_schema(
        operation_id="channels_quota",
        summary="What WeChat takes today",
        description="Asked of WeChat, at most every 30 seconds. `plan` spreads an API "
        "send of `messages` over days: what a day does not take leaves on the next.",
        parameters=[QuotaQuery],
        responses={
            200: QuotaSerializer,
            400: INVALID,
            404: NOT_FOUND,
            502: WECHAT,
            **COMMON,
        },
        examples=[
            OpenApiExample(
                "250,000 messages",
                {
                    "kind": "template",
                    "daily_limit": 100000,
                    "used": 83,
                    "remain": 99917,
                    "reserve": 0,
                    "read_at": "2026-11-28T19:58:00+08:00",
                    "ahead": 0,
                    "plan": [
                        {"day": "2026-11-28", "messages": 99917},
                        {"day": "2026-11-29", "messages": 100000},
                        {"day": "2026-11-30", "messages": 50083},
                    ],
                },
                response_only=True,
                status_codes=["200"],
            )
        ],
    )
    def get(self, request: Request, code: str) -> Response:
        given = QuotaQuery(data=request.query_params)
        given.is_valid(raise_exception=True)
        kind, messages = (
            given.validated_data["kind"],
            given.validated_data.get("messages"),
        )
        channel = self.channel()
        reading = quotas.read(channel, kind)
        ahead = Send.objects.ahead(channel.pk, kind)
        plan = messages and quotas.plan(messages, reading, ahead=ahead)
        shown = {
            "kind": kind,
            "daily_limit": reading.daily_limit,
            "used": reading.used,
            "remain": reading.remain,
            "reserve": channel.api_reserve,
            "read_at": reading.read_at,
            "ahead": ahead,
            "plan": plan.days if plan else None,
        }
        return Response(QuotaSerializer(shown).data)
