"""The URLs of status callbacks over the resource API."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat.api.errors import Conflict, Unprocessable
from channels_wechat.api.pagination import OldestFirst
from channels_wechat.api.schema import COMMON, INVALID, refused
from channels_wechat.models import BusinessChannel
from sends import callback_urls, calling
from sends.models import CallbackURL

SHOWN: dict[str, Any] = {
    "id": 1,
    "business_channel": "7d91a9b6a9bb4db5b1f3f9b6",
    "url": "https://crm.example.com/jums/status",
    "default": True,
    "types": [0, 1, 2, 3, 4, 5, 6, 7, 8],
    "verified_at": "2026-11-22T20:00:00+08:00",
    "created_at": "2026-11-22T20:00:00+08:00",
}
GIVEN = {name: SHOWN[name] for name in ("business_channel", "url", "types")}
NO_URL = refused("not_found", "No such callback URL.")
UNVERIFIED = refused(
    "callback_unverified", "The URL did not answer with exactly the echostr."
)


class CallbackURLSerializer(serializers.ModelSerializer[CallbackURL]):
    """Where a business channel hears what became of its messages."""

    business_channel = serializers.SlugRelatedField(
        slug_field="key",
        queryset=BusinessChannel.objects.all(),
        help_text=gettext_lazy("Its ChannelKey."),
    )
    url = serializers.CharField(max_length=calling.URL_LIMIT)
    default = serializers.BooleanField(
        required=False,
        help_text=gettext_lazy(
            "Hears of sends that name no URL. The first one is the default."
        ),
    )
    types = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=8),
        required=False,
        max_length=20,
        help_text=gettext_lazy("JUMS' types 0 to 8; all if absent."),
    )

    class Meta:
        model = CallbackURL
        fields: ClassVar = [
            "id",
            "business_channel",
            "url",
            "default",
            "types",
            "verified_at",
            "created_at",
        ]
        read_only_fields: ClassVar = ["verified_at", "created_at"]
        validators: ClassVar[list[Any]] = []  # a taken URL is a conflict


class ChangedCallbackURLSerializer(CallbackURLSerializer):
    """What may change: not whose URL it is."""

    business_channel = serializers.SlugRelatedField(slug_field="key", read_only=True)


class CallbackURLQuery(serializers.Serializer[Any]):
    business_channel = serializers.CharField(
        required=False, max_length=24, help_text=gettext_lazy("A ChannelKey.")
    )


@contextmanager
def _answered() -> Iterator[None]:
    """Answer what the verbs refuse in the API's own words."""
    try:
        yield
    except calling.URLRefused as problem:
        raise ValidationError({"url": [str(problem)]}) from None
    except callback_urls.Unverified as problem:
        raise Unprocessable(str(problem), "callback_unverified") from None
    except callback_urls.NotPossible as problem:
        raise Conflict(str(problem), problem.code) from None


class CallbackURLList(ListAPIView[CallbackURL]):
    """The callback URLs of all business channels."""

    serializer_class = CallbackURLSerializer
    pagination_class = OldestFirst
    queryset = CallbackURL.objects.all()

    def get_queryset(self) -> QuerySet[CallbackURL]:
        asked = CallbackURLQuery(data=self.request.query_params)
        asked.is_valid(raise_exception=True)
        urls = CallbackURL.objects.select_related("business_channel")
        key = asked.validated_data.get("business_channel")
        return urls.filter(business_channel__key=key) if key else urls

    @extend_schema(
        operation_id="callback_urls_list",
        summary="List the callback URLs",
        parameters=[CallbackURLQuery],
        responses={200: CallbackURLSerializer(many=True), 400: INVALID, **COMMON},
        examples=[OpenApiExample("callback URL", SHOWN, response_only=True)],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="callback_urls_create",
        summary="Add a callback URL",
        description="Verified at once: GET url?echostr=… has to answer the echostr.",
        responses={
            201: CallbackURLSerializer,
            400: INVALID,
            409: refused("too_many", "A business channel has at most five URLs."),
            422: UNVERIFIED,
            **COMMON,
        },
        examples=[
            OpenApiExample("new URL", GIVEN, request_only=True),
            OpenApiExample("added", SHOWN, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request) -> Response:
        given = CallbackURLSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        with _answered():
            row = callback_urls.add(
                values["business_channel"],
                values["url"],
                types=values.get("types", tuple(callback_urls.TYPES)),
                default=values.get("default", False),
            )
        return Response(CallbackURLSerializer(row).data, status=status.HTTP_201_CREATED)


class CallbackURLDetail(GenericAPIView[CallbackURL]):
    """One callback URL."""

    serializer_class = CallbackURLSerializer
    queryset = CallbackURL.objects.select_related("business_channel")

    def row(self) -> CallbackURL:
        """Return the URL of the address. Raises NotFound."""
        found = self.get_queryset().filter(pk=self.kwargs["id"]).first()
        if found is None:
            raise NotFound(_("No such callback URL."))
        return found

    @extend_schema(
        operation_id="callback_urls_read",
        summary="One callback URL",
        responses={200: CallbackURLSerializer, 404: NO_URL, **COMMON},
        examples=[OpenApiExample("callback URL", SHOWN, response_only=True)],
    )
    def get(self, request: Request, id: str) -> Response:
        return Response(CallbackURLSerializer(self.row()).data)

    @extend_schema(
        operation_id="callback_urls_change",
        summary="Change a callback URL",
        description="A new `url` is verified first.",
        request=ChangedCallbackURLSerializer(partial=True),
        responses={
            200: CallbackURLSerializer,
            400: INVALID,
            404: NO_URL,
            409: refused("is_default", "Make another URL the default one instead."),
            422: UNVERIFIED,
            **COMMON,
        },
        examples=[
            OpenApiExample("only failures", {"types": [1, 3, 5]}, request_only=True),
            OpenApiExample("callback URL", SHOWN, response_only=True),
        ],
    )
    def patch(self, request: Request, id: str) -> Response:
        row = self.row()
        given = ChangedCallbackURLSerializer(row, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        with _answered():
            callback_urls.change(row, **given.validated_data)
        return Response(CallbackURLSerializer(self.row()).data)

    @extend_schema(
        operation_id="callback_urls_delete",
        summary="Remove a callback URL",
        description="Not the default one. What it was still to be told goes with it.",
        responses={
            204: None,
            404: NO_URL,
            409: refused("is_default", "The default URL cannot be removed."),
            **COMMON,
        },
    )
    def delete(self, request: Request, id: str) -> Response:
        with _answered():
            callback_urls.remove(self.row())
        return Response(status=status.HTTP_204_NO_CONTENT)
