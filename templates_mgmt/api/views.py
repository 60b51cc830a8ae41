"""Templates over the resource API."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat import checking
from channels_wechat.api.pagination import OldestFirst
from channels_wechat.api.schema import COMMON, INVALID, NOT_FOUND, WECHAT
from channels_wechat.api.views import ChannelView
from templates_mgmt.models import Template
from templates_mgmt.refreshing import refresh

from .library import NewTemplateSerializer
from .serializers import RefreshSerializer, TemplateQuery, TemplateSerializer

SHOWN = {
    "channel": "hr",
    "template_id": "Qz8Uc9eYk0m1",
    "kind": "template",
    "title": "会议预约提醒",
    "content": "会议主题:{{thing1.DATA}}\n会议时间:{{time2.DATA}}",
    "example": "会议主题:周会\n会议时间:2024年5月8日 10:00",
    "removed_at": None,
    "fields": [
        {"key": "thing1", "label": "会议主题", "type": "thing"},
        {"key": "time2", "label": "会议时间", "type": "time"},
    ],
}


class TemplateList(ListAPIView[Template]):
    """The templates of the channels, as of the last refresh."""

    serializer_class = TemplateSerializer
    pagination_class = OldestFirst
    queryset = Template.objects.select_related("channel")

    def get_queryset(self) -> QuerySet[Template]:
        templates = Template.objects.select_related("channel")
        query = TemplateQuery(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        if channel := asked.get("channel"):
            templates = templates.filter(channel=channel)
        if kind := asked.get("kind"):
            templates = templates.filter(kind=kind)
        return templates if asked["removed"] else templates.current()

    @extend_schema(
        operation_id="templates_list",
        summary="List the templates",
        parameters=[TemplateQuery],
        responses={200: TemplateSerializer(many=True), 400: INVALID, **COMMON},
        examples=[
            OpenApiExample(
                "template",
                SHOWN,
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="templates_create",
        summary="Add a template from WeChat's library",
        description="`removed_at` is set while WeChat does not list it yet.",
        request=NewTemplateSerializer,
        responses={201: TemplateSerializer, 400: INVALID, 502: WECHAT, **COMMON},
        examples=[
            OpenApiExample(
                "subscribe-notification",
                {
                    "channel": "hr",
                    "kind": "subscribe",
                    "tid": "5005",
                    "kids": [1, 2, 3],
                    "scene": "会议开始前提醒",
                },
                request_only=True,
            ),
            OpenApiExample(
                "template message",
                {
                    "channel": "hr",
                    "kind": "template",
                    "template_id_short": "47123",
                    "keywords": ["订单编号", "快递公司"],
                },
                request_only=True,
            ),
            OpenApiExample("template", SHOWN, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request) -> Response:
        given = NewTemplateSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        added = TemplateSerializer(given.add()).data
        return Response(added, status=status.HTTP_201_CREATED)


class TemplateRefresh(ChannelView):
    """Fetching the templates of a channel anew."""

    permission_required = "channels_wechat.refresh_templates"

    @extend_schema(
        operation_id="channels_refresh_templates",
        summary="Refresh the templates of a channel",
        request=None,
        responses={200: RefreshSerializer, 404: NOT_FOUND, 502: WECHAT, **COMMON},
        examples=[
            OpenApiExample(
                "refreshed",
                {
                    "template": {
                        "added": 2,
                        "changed": 0,
                        "removed": 1,
                        "unchanged": 11,
                    },
                    "subscribe": {
                        "added": 0,
                        "changed": 1,
                        "removed": 0,
                        "unchanged": 4,
                    },
                },
                response_only=True,
                status_codes=["200"],
            )
        ],
    )
    def post(self, request: Request, code: str) -> Response:
        refreshed = refresh(self.channel())
        told: dict[str, Any] = {
            "template": refreshed.template,
            "subscribe": refreshed.subscribe,
        }
        if refused := refreshed.refused:
            told["subscribe_refused"] = {
                "errcode": refused.errcode,
                "errmsg": refused.errmsg,
                "detail": checking.refusal(refused).meaning,
            }
        return Response(RefreshSerializer(told).data)
