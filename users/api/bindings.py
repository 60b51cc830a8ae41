"""Tickets and links that bind openIDs, over the resource API."""

from datetime import timedelta
from typing import Any, cast

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat.api.errors import Unprocessable
from channels_wechat.api.schema import COMMON, INVALID, refused
from channels_wechat.models import Channel
from users import binding, validators
from users.models import Recipient

TICKET = "q0Jb0sZ1y0a7r4Z8hV3cJxGm2nKq5tWvE9uLdPfRsYo"
OPENID = "oRcf0w_yHT-1F_pioV1cHbf7ghFI"


def _userid(**options: Any) -> serializers.CharField:
    return serializers.CharField(
        validators=[validators.userid], max_length=64, **options
    )


class ExchangeSerializer(serializers.Serializer[Any]):
    """A ticket that came to a login page."""

    ticket = serializers.CharField(max_length=200)
    userid = _userid(
        required=False,
        help_text=gettext_lazy("Who it is: the openID is bound to them at once."),
    )


class ExchangedSerializer(serializers.Serializer[Any]):
    """Whose ticket it was."""

    channel = serializers.CharField(help_text=gettext_lazy("Its code."))
    openid = serializers.CharField()
    userid = serializers.CharField(allow_null=True)
    bound = serializers.ChoiceField(
        ["new", "replaced", "unchanged"],
        allow_null=True,
        help_text=gettext_lazy(
            "replaced: the userid had another openID in this channel; the later counts."
        ),
    )
    other_userids = serializers.ListField(
        child=serializers.CharField(),
        help_text=gettext_lazy("Who has the same openID in this channel, at most 10."),
    )


class NewLinksSerializer(serializers.Serializer[Any]):
    """For whom to make links."""

    channel = serializers.SlugRelatedField(
        slug_field="code", queryset=Channel.objects.all()
    )
    userids = serializers.ListField(
        child=_userid(), min_length=1, max_length=binding.LINKS_AT_ONCE
    )
    valid_for_s = serializers.IntegerField(
        min_value=60,
        max_value=int(binding.LINK_LIFE_AT_MOST.total_seconds()),
        default=int(binding.LINK_LIFE.total_seconds()),
    )


class PersonalLinkSerializer(serializers.Serializer[Any]):
    userid = serializers.CharField()
    url = serializers.URLField()


class LinksSerializer(serializers.Serializer[Any]):
    """A link for each userid, good for one visitor."""

    expires_at = serializers.DateTimeField()
    links = PersonalLinkSerializer(many=True)


class BindingExchange(GenericAPIView[Recipient]):
    """A ticket for its openID."""

    serializer_class = ExchangeSerializer
    queryset = Recipient.objects.none()

    @extend_schema(
        operation_id="bindings_exchange",
        summary="Exchange a ticket for the visitor's openID",
        description="The ticket came to your login page in its address. It works once, "
        "for five minutes. With `userid` the openID is bound to that recipient at "
        "once, as an upload with the mode `add` would.",
        responses={
            200: ExchangedSerializer,
            400: INVALID,
            422: refused("bad_ticket", "This ticket is unknown, used or too old."),
            **COMMON,
        },
        examples=[
            OpenApiExample(
                "exchange", {"ticket": TICKET, "userid": "zhangsan"}, request_only=True
            ),
            OpenApiExample(
                "bound",
                {
                    "channel": "hr",
                    "openid": OPENID,
                    "userid": "zhangsan",
                    "bound": "new",
                    "other_userids": [],
                },
                response_only=True,
                status_codes=["200"],
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        given = ExchangeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        userid = given.validated_data.get("userid", "")
        try:
            found = binding.exchange(given.validated_data["ticket"], userid)
        except binding.TicketRefused:
            sentence = _("This ticket is unknown, used or too old.")
            raise Unprocessable(sentence, "bad_ticket") from None
        bound = found.bound
        return Response(
            {
                "channel": found.channel.code,
                "openid": found.openid,
                "userid": userid or None,
                "bound": bound.outcome if bound else None,
                "other_userids": bound.others if bound else [],
            }
        )


class BindingLinks(GenericAPIView[Recipient]):
    """Links that carry a userid."""

    serializer_class = NewLinksSerializer
    queryset = Recipient.objects.none()

    @extend_schema(
        operation_id="bindings_links_create",
        summary="Make links that bind whoever opens them",
        description="Each is good for one visitor; the same visitor may open it again. "
        "Send it to that person alone: whoever opens it first is bound.",
        responses={201: LinksSerializer, 400: INVALID, **COMMON},
        examples=[
            OpenApiExample(
                "links",
                {"channel": "hr", "userids": ["zhangsan"], "valid_for_s": 86400},
                request_only=True,
            ),
            OpenApiExample(
                "made",
                {
                    "expires_at": "2026-11-23T12:00:00+08:00",
                    "links": [
                        {
                            "userid": "zhangsan",
                            "url": "https://jums.example.com/bind/hr?link=eyJjIjoiaHIi",
                        }
                    ],
                },
                response_only=True,
                status_codes=["201"],
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        given = NewLinksSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        asked = given.validated_data
        channel = cast(Channel, asked["channel"])
        life = timedelta(seconds=asked["valid_for_s"])
        made = {
            "expires_at": timezone.now() + life,
            "links": [
                {"userid": userid, "url": binding.link_url(channel, userid, life)}
                for userid in asked["userids"]
            ],
        }
        return Response(LinksSerializer(made).data, status=status.HTTP_201_CREATED)
