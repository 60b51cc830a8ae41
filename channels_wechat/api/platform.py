"""The third-party platform over the resource API: how it stands, links to authorise."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat import links, platforms
from channels_wechat.models import Channel, Platform, PlatformLink
from channels_wechat.platform_checking import platform_findings

from .auth import console_user
from .errors import Conflict
from .schema import COMMON, INVALID, WECHAT, refused
from .serializers import FindingSerializer

NO_PLATFORM = refused("no_platform", "No third-party platform is set up.")


class PlatformSerializer(serializers.Serializer[Any]):
    """The platform. Without one, `component_appid` is empty and a finding says so."""

    component_appid = serializers.CharField(allow_blank=True)
    ticket_received_at = serializers.DateTimeField(allow_null=True)
    ticket_age_s = serializers.IntegerField(allow_null=True)
    findings = FindingSerializer(many=True)


class NewLinkSerializer(serializers.Serializer[Any]):
    """The channel to be; the code of one that exists authorises it again."""

    code = serializers.CharField(
        max_length=32, validators=Channel._meta.get_field("code").validators[:1]
    )
    name = serializers.CharField(
        max_length=30,
        required=False,
        allow_blank=True,
        default="",
        help_text="Empty: the account's own name.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        channel = Channel.objects.filter(code=attrs["code"]).first()
        if problem := links.name_problem(attrs["name"], channel):
            raise serializers.ValidationError({"name": problem})
        return {**attrs, "channel": channel}


class LinkSerializer(serializers.Serializer[Any]):
    """WeChat's pages live until `expires_at`; `page_url` makes new ones for a day."""

    state = serializers.CharField()
    pc_url = serializers.CharField(help_text="Works from a page of ours only.")
    mobile_url = serializers.CharField(help_text="The same, inside WeChat.")
    page_url = serializers.CharField(help_text="Our page; opens without a login.")
    expires_at = serializers.DateTimeField()


class PlatformView(GenericAPIView[Platform]):
    """The third-party platform of this installation."""

    serializer_class = PlatformSerializer

    def get_queryset(self) -> QuerySet[Platform]:
        return Platform.objects.all()

    @extend_schema(
        operation_id="platform_read",
        summary="How the third-party platform stands",
        responses={200: PlatformSerializer, **COMMON},
        examples=[
            OpenApiExample(
                "platform",
                {
                    "component_appid": "wx5a0db0c5e70000c0",
                    "ticket_received_at": "2026-11-22T12:00:00+08:00",
                    "ticket_age_s": 212,
                    "findings": [
                        {
                            "check": "ticket",
                            "level": "ok",
                            "detail": "The last ticket came 3 minutes ago.",
                            "fix": "",
                        }
                    ],
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request) -> Response:
        told: dict[str, Any] = {
            "component_appid": "",
            "ticket_received_at": None,
            "ticket_age_s": None,
            "findings": platform_findings(),
        }
        if platforms.is_set_up():
            platform = platforms.current()
            told["component_appid"] = platform.component_appid
            if received := platform.ticket_received_at:
                told["ticket_received_at"] = received
                age = timezone.now() - received
                told["ticket_age_s"] = int(age.total_seconds())
        return Response(PlatformSerializer(told).data)


class PlatformLinks(GenericAPIView[PlatformLink]):
    """Pages on which an account's administrator connects it."""

    serializer_class = NewLinkSerializer
    permission_required = "channels_wechat.add_channel"

    def get_queryset(self) -> QuerySet[PlatformLink]:
        return PlatformLink.objects.all()

    @extend_schema(
        operation_id="platform_links_create",
        summary="Make a link to authorise an account",
        description="Send `page_url` to the account's administrator. The channel "
        "appears once they have scanned.",
        request=NewLinkSerializer,
        responses={
            201: LinkSerializer,
            400: INVALID,
            409: NO_PLATFORM,
            502: WECHAT,
            **COMMON,
        },
        examples=[
            OpenApiExample(
                "channel to be", {"code": "hr", "name": "HR service"}, request_only=True
            ),
            OpenApiExample(
                "link",
                {
                    "state": "4f0c3a1b.Zk3v",
                    "pc_url": "https://mp.weixin.qq.com/cgi-bin/componentloginpage?…",
                    "mobile_url": "https://open.weixin.qq.com/wxaopen/safe/"
                    "bindcomponent?…",
                    "page_url": "https://jums.example.com/wechattpp/link/4f0c3a1b.Zk3v",
                    "expires_at": "2026-11-22T12:10:00+08:00",
                },
                response_only=True,
                status_codes=["201"],
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        given = NewLinkSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        if not platforms.is_set_up():
            raise Conflict(_("No third-party platform is set up."), "no_platform")
        link = links.make_link(**given.validated_data, by=console_user(request))
        addresses = links.addresses(link)
        answer = LinkSerializer(
            {
                "state": links.state_of(link),
                "pc_url": addresses.pc_url,
                "mobile_url": addresses.mobile_url,
                "page_url": links.page_url(link),
                "expires_at": addresses.expires_at,
            }
        )
        return Response(answer.data, status=status.HTTP_201_CREATED)
