"""What happened to one person, over the resource API."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from channels_wechat.api.auth import console_user
from channels_wechat.api.schema import COMMON, INVALID, refused
from sends import timeline
from sends.models import Delivery

from .serializers import DELIVERY_STATUSES

SHOWN = {
    "at": "2026-11-22T20:00:01+08:00",
    "what": "delivery",
    "channel": "hr",
    "openid": "oSB0000000000000000000000001",
    "template_id": "",
    "msgid": "v:1t:1763812800p:12345678n:123456",
    "title": "Meeting on Monday",
    "status": "refused",
    "errcode": 43004,
    "error": "require subscribe",
    "meaning": "This person does not follow the account.",
    "advice": "Ask them to follow it again.",
}


class TimelineItemSerializer(serializers.Serializer[timeline.Item]):
    """One thing that happened."""

    at = serializers.DateTimeField()
    what = serializers.ChoiceField(
        [
            "bound",
            "followed",
            "unfollowed",
            "accepted",
            "rejected",
            "delivery",
            "receipt",
        ],
        help_text=gettext_lazy("bound: the openID was uploaded, entered or changed."),
    )
    channel = serializers.CharField()
    openid = serializers.CharField()
    template_id = serializers.CharField(
        help_text=gettext_lazy("Of what was accepted or rejected, else empty.")
    )
    msgid = serializers.CharField(
        source="delivery.send.msgid", default=None, allow_null=True
    )
    title = serializers.CharField(
        source="delivery.send.title", default=None, allow_null=True
    )
    status = serializers.SerializerMethodField()
    errcode = serializers.IntegerField(
        source="delivery.errcode", default=None, allow_null=True
    )
    error = serializers.CharField(
        source="delivery.error", default="", help_text=gettext_lazy("WeChat's words.")
    )
    meaning = serializers.CharField(help_text=gettext_lazy("Why, in plain words."))
    advice = serializers.CharField(help_text=gettext_lazy("What to do about it."))

    def get_status(self, item: timeline.Item) -> str | None:
        """The delivery's status as it is now; null for what is no delivery."""
        if item.delivery is None:
            return None
        return Delivery.Status(item.delivery.status).name.lower()


class TimelineSerializer(serializers.Serializer[Any]):
    """A page of it, newest first."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = TimelineItemSerializer(many=True)


class Timeline(GenericAPIView[Any]):
    """Why didn't zhangsan get it?"""

    permission_required = "sends.view_send"
    serializer_class = TimelineSerializer
    pagination_class = None

    @extend_schema(
        operation_id="recipients_timeline",
        summary="What happened to a person",
        description=f"OpenIDs, follows, acceptances, deliveries and receipts, newest "
        f"first; of deliveries also why they failed. `status` is one of "
        f"{', '.join(DELIVERY_STATUSES)}. Whoever asks from the console needs to see "
        f"both sends and recipients.",
        parameters=[
            OpenApiParameter("cursor", OpenApiTypes.STR, description="From `next`.")
        ],
        responses={
            200: OpenApiResponse(
                TimelineSerializer,
                examples=[
                    OpenApiExample(
                        "page", {"next": None, "previous": None, "results": [SHOWN]}
                    )
                ],
            ),
            400: INVALID,
            404: refused("not_found", "No such recipient."),
            **COMMON,
        },
    )
    def get(self, request: Request, userid: str) -> Response:
        person = console_user(request)
        if person is not None and not person.has_perm("users.view_recipient"):
            raise PermissionDenied
        if not timeline.exists(userid):
            raise NotFound(_("No such recipient."))
        found = timeline.read(userid, _decoded(request.query_params.get("cursor")))
        link = None
        if found.next is not None:
            address = request.build_absolute_uri()
            link = replace_query_param(address, "cursor", found.next.encoded())
        page = {"next": link, "previous": None, "results": found.items}
        return Response(TimelineSerializer(page).data)


def _decoded(text: str | None) -> timeline.Cursor | None:
    """Return what `next` led to. Raises ValidationError for what is none of ours."""
    if not text:
        return None
    try:
        return timeline.Cursor.decoded(text)
    except ValueError:  # binascii.Error and UnicodeDecodeError are ValueErrors
        wrong = _("That cursor is none of ours.")
        raise ValidationError({"cursor": wrong}) from None
