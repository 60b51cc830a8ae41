"""Channels over the resource API."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat.changing import change, is_used
from channels_wechat.models import Channel

from .auth import console_user
from .errors import Conflict, unique
from .pagination import OldestFirst
from .schema import COMMON, INVALID, NOT_FOUND, refused
from .serializers import ChannelSerializer, NewChannelSerializer

SHOWN: dict[str, Any] = {
    "code": "hr",
    "name": "HR service",
    "appid": "wx5a0db0c5e7000001",
    "original_id": "gh_5a0db0c50001",
    "callback_mode": "safe",
    "callback_url": "https://jums.example.com/v1/wechatoa/callback/hr",
    "enabled": True,
    "authorization": "secret",
    "status": "ready",
    "callback_verified_at": "2026-11-22T12:00:00+08:00",
    "last_push_at": "2026-11-22T12:03:11+08:00",
    "templates_refreshed_at": "2026-11-22T12:01:00+08:00",
}
GIVEN = {
    "code": "hr",
    "name": "HR service",
    "appid": "wx5a0db0c5e7000001",
    "app_secret": "0123456789abcdef0123456789abcdef",
    "callback_mode": "safe",
}
MADE = {
    **SHOWN,
    "callback_token": "mR7sXq2Lw9Vb4TzK",
    "encoding_aes_key": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "status": "unverified",
}
TAKEN = gettext_lazy("Another call took this code, name or AppID just now.")
IN_USE = refused("in_use", "People or sends belong to this channel: disable it.")


class ChannelView(GenericAPIView[Channel]):
    """What every address below one channel shares."""

    serializer_class = ChannelSerializer
    queryset = Channel.objects.all()

    def channel(self) -> Channel:
        """Return the channel of the address. Raises NotFound."""
        found = self.get_queryset().filter(code=self.kwargs["code"]).first()
        if found is None:
            raise NotFound(_("No such channel."))
        return found


class ChannelList(ListAPIView[Channel]):
    """The connected accounts."""

    serializer_class = ChannelSerializer
    pagination_class = OldestFirst

    def get_queryset(self) -> QuerySet[Channel]:
        return Channel.objects.all()

    @extend_schema(
        operation_id="channels_list",
        summary="List the channels",
        responses={200: ChannelSerializer(many=True), 400: INVALID, **COMMON},
        examples=[OpenApiExample("channel", SHOWN, response_only=True)],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="channels_create",
        summary="Connect an account",
        description="The Token and EncodingAESKey are answered this once.",
        responses={
            201: NewChannelSerializer,
            400: INVALID,
            409: refused("taken", "Another call took this code, name or AppID."),
            **COMMON,
        },
        examples=[
            OpenApiExample("new channel", GIVEN, request_only=True),
            OpenApiExample("made", MADE, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request) -> Response:
        given = ChannelSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        with unique(TAKEN):
            channel = given.save(created_by=console_user(request))
        return Response(
            NewChannelSerializer(channel).data, status=status.HTTP_201_CREATED
        )


class ChannelDetail(ChannelView):
    """One connected account."""

    @extend_schema(
        operation_id="channels_read",
        summary="One channel",
        responses={200: ChannelSerializer, 404: NOT_FOUND, **COMMON},
        examples=[OpenApiExample("channel", SHOWN, response_only=True)],
    )
    def get(self, request: Request, code: str) -> Response:
        return Response(ChannelSerializer(self.channel()).data)

    @extend_schema(
        operation_id="channels_change",
        summary="Change a channel",
        description="Code and AppID are fixed once people or sends belong to it.",
        request=ChannelSerializer(partial=True),
        responses={
            200: ChannelSerializer,
            400: INVALID,
            404: NOT_FOUND,
            409: refused("in_use", "The channel is in use: its code is fixed."),
            **COMMON,
        },
        examples=[
            OpenApiExample("disable", {"enabled": False}, request_only=True),
            OpenApiExample("channel", SHOWN, response_only=True),
        ],
    )
    def patch(self, request: Request, code: str) -> Response:
        channel = self.channel()
        given = ChannelSerializer(channel, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        for name in ("code", "appid"):
            if values.get(name, getattr(channel, name)) != getattr(
                channel, name
            ) and is_used(channel):
                raise Conflict(
                    _("The channel is in use: its %(field)s is fixed.")
                    % {"field": name},
                    "in_use",
                )
        if (
            channel.is_authorised
            and values.get("appid", channel.appid) != channel.appid
            and not values.get("app_secret")
        ):
            raise Conflict(
                _("The channel is connected by a scan: its AppID is the account's."),
                "authorised",
            )
        with unique(TAKEN):
            change(channel, values)
        return Response(ChannelSerializer(channel).data)

    @extend_schema(
        operation_id="channels_delete",
        summary="Remove a channel that was never used",
        responses={204: None, 404: NOT_FOUND, 409: IN_USE, **COMMON},
    )
    def delete(self, request: Request, code: str) -> Response:
        channel = self.channel()
        if is_used(channel):
            raise Conflict(
                _(
                    "People or sends belong to this channel, so it stays. Disable it "
                    "instead."
                ),
                "in_use",
            )
        channel.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)
