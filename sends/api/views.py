"""Sends, their deliveries and WeChat's pushes over the resource API."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from channels_wechat.api.auth import caller
from channels_wechat.api.errors import Conflict
from channels_wechat.api.pagination import OldestFirst
from channels_wechat.api.schema import COMMON, INVALID, refused
from sends import control
from sends.models import Delivery, InboundEvent, Send

from .serializers import (
    DELIVERY_STATUSES,
    EVENT_STATUSES,
    DeliveryQuery,
    DeliverySerializer,
    EventQuery,
    EventSerializer,
    SendQuery,
    SendSerializer,
)

SEND = OpenApiExample(
    "send",
    {
        "msgid": "v:1t:1763812800p:12345678n:123456",
        "title": "Meeting on Monday",
        "channel": "hr",
        "template": "Qz8Uc9eYk0m1",
        "status": "finished",
        "source": "console",
        "priority": 2,
        "counts": {
            "waiting": 0,
            "sending": 0,
            "accepted": 3,
            "delivered": 1190,
            "undelivered": 8,
            "refused": 3,
            "unknown": 0,
            "skipped": 20,
            "canceled": 0,
        },
        "total": 1224,
        "pause": None,
        "created_at": "2026-11-22T19:58:00+08:00",
        "scheduled_for": None,
        "late_within_h": None,
        "submitted_at": "2026-11-22T20:00:00+08:00",
        "prepared_at": "2026-11-22T20:00:01+08:00",
        "started_at": "2026-11-22T20:00:01+08:00",
        "finished_at": "2026-11-22T20:00:02+08:00",
    },
    response_only=True,
    status_codes=["200"],
)
NO_SEND = refused("not_found", "No such send.")
WRONG_STATE = refused("wrong_state", "This send is Finished: that is not possible now.")


def _asked(query: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    """Return the checked query parameters. Raises ValidationError."""
    given = query(data=request.query_params)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


class SendList(ListAPIView[Send]):
    """All sends, the newest first."""

    serializer_class = SendSerializer
    queryset = Send.objects.all()

    def get_queryset(self) -> QuerySet[Send]:
        return Send.objects.select_related("channel", "template").filter(
            **_asked(SendQuery, self.request)
        )

    @extend_schema(
        operation_id="sends_list",
        summary="List the sends",
        parameters=[SendQuery],
        responses={200: SendSerializer(many=True), 400: INVALID, **COMMON},
        examples=[SEND],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class SendView(GenericAPIView[Send]):
    """What every address below one send shares."""

    serializer_class = SendSerializer
    queryset = Send.objects.select_related("channel", "template")

    def send(self) -> Send:
        """Return the send of the address. Raises NotFound."""
        found = self.get_queryset().filter(msgid=self.kwargs["msgid"]).first()
        if found is None:
            raise NotFound(_("No such send."))
        return found


class SendDetail(SendView):
    """One send and how far it is."""

    @extend_schema(
        operation_id="sends_read",
        summary="One send",
        responses={200: SendSerializer, 404: NO_SEND, **COMMON},
        examples=[SEND],
    )
    def get(self, request: Request, msgid: str) -> Response:
        return Response(SendSerializer(self.send()).data)


class _Control(SendView):
    """A change of what the engine does with a send."""

    permission_required = "sends.control_send"
    verb: ClassVar[Callable[[Send, str], None]]

    def _post(self, request: Request) -> Response:
        send = self.send()
        try:
            type(self).verb(send, caller(request))
        except control.WrongState as problem:
            raise Conflict(str(problem), "wrong_state") from None
        return Response(SendSerializer(self.send()).data)


CONTROLLED: Any = {200: SendSerializer, 404: NO_SEND, 409: WRONG_STATE, **COMMON}


class SendPause(_Control):
    verb = control.pause

    @extend_schema(
        operation_id="sends_pause",
        summary="Pause a send",
        description="What has left stays sent.",
        request=None,
        responses=CONTROLLED,
        examples=[SEND],
    )
    def post(self, request: Request, msgid: str) -> Response:
        return self._post(request)


class SendResume(_Control):
    verb = control.resume

    @extend_schema(
        operation_id="sends_resume",
        summary="Resume a paused send",
        request=None,
        responses=CONTROLLED,
        examples=[SEND],
    )
    def post(self, request: Request, msgid: str) -> Response:
        return self._post(request)


class SendCancel(_Control):
    verb = control.cancel

    @extend_schema(
        operation_id="sends_cancel",
        summary="Cancel a send",
        description="Nothing more is sent; what has left stays sent.",
        request=None,
        responses=CONTROLLED,
        examples=[SEND],
    )
    def post(self, request: Request, msgid: str) -> Response:
        return self._post(request)


class DeliveryList(ListAPIView[Delivery]):
    """What became of each person of a send."""

    serializer_class = DeliverySerializer
    pagination_class = OldestFirst
    queryset = Delivery.objects.all()

    def get_queryset(self) -> QuerySet[Delivery]:
        asked = _asked(DeliveryQuery, self.request)
        send = Send.objects.filter(msgid=self.kwargs["msgid"]).only("pk").first()
        if send is None:
            raise NotFound(_("No such send."))
        deliveries = Delivery.objects.filter(send=send).defer("variables")
        if status := asked.get("status"):
            deliveries = deliveries.filter(status=DELIVERY_STATUSES[status])
        return deliveries

    @extend_schema(
        operation_id="sends_deliveries",
        summary="List the deliveries of a send",
        parameters=[DeliveryQuery],
        responses={
            200: DeliverySerializer(many=True),
            400: INVALID,
            404: NO_SEND,
            **COMMON,
        },
        examples=[
            OpenApiExample(
                "delivery",
                {
                    "userid": "zhangsan",
                    "openid": "oSB0000000000000000000000001",
                    "status": "undelivered",
                    "wechat_msgid": "3487542469355618313",
                    "errcode": None,
                    "error": "user block",
                    "reason": "",
                    "sent_at": "2026-11-22T20:00:01+08:00",
                    "receipt_at": "2026-11-22T20:00:03+08:00",
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class EventList(ListAPIView[InboundEvent]):
    """What WeChat pushed, the newest first."""

    serializer_class = EventSerializer
    queryset = InboundEvent.objects.all()

    def get_queryset(self) -> QuerySet[InboundEvent]:
        asked = _asked(EventQuery, self.request)
        events = InboundEvent.objects.select_related("channel").defer("payload")
        if channel := asked.get("channel"):
            events = events.filter(channel=channel)
        if status := asked.get("status"):
            events = events.filter(status=EVENT_STATUSES[status])
        return events

    @extend_schema(
        operation_id="events_list",
        summary="List what WeChat pushed",
        parameters=[EventQuery],
        responses={200: EventSerializer(many=True), 400: INVALID, **COMMON},
        examples=[
            OpenApiExample(
                "event",
                {
                    "id": 12,
                    "channel": "hr",
                    "type": "templatesendjobfinish",
                    "openid": "oSB0000000000000000000000001",
                    "msgid": "3487542469355618313",
                    "outcome": "failed:user block",
                    "status": "applied",
                    "matched": True,
                    "created_at": "2026-11-22T20:00:02+08:00",
                    "received_at": "2026-11-22T20:00:03+08:00",
                    "applied_at": "2026-11-22T20:00:04+08:00",
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)
