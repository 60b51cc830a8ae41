"""What the OpenAPI description says of authentication and of errors."""

from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)
from rest_framework import serializers

Function = TypeVar("Function", bound=Callable[..., Any])


class AccessKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """HTTP Basic, as Swagger UI's "Authorize" box understands it."""

    target_class = "channels_wechat.api.auth.AccessKeyAuthentication"
    name = "accessKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "basic",
            "description": "AccessKey as the user name, its secret as the password.",
        }


class ErrorSerializer(serializers.Serializer[Any]):
    """Every error."""

    code = serializers.CharField(help_text="A stable word to branch on.")
    detail = serializers.CharField(help_text="A sentence for people.")

    # Named by hand: `fields` is taken on a serializer.
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        named = super().get_fields()
        named["fields"] = serializers.DictField(
            child=serializers.ListField(child=serializers.CharField()),
            help_text="What is wrong with which field. May be empty.",
        )
        return named


class WeChatErrorSerializer(ErrorSerializer):
    """WeChat refused, or could not be asked."""

    errcode = serializers.IntegerField(allow_null=True, help_text="WeChat's code.")
    errmsg = serializers.CharField(help_text="WeChat's own words.")


def refused(
    code: str, detail: str, fields: dict[str, list[str]] | None = None
) -> OpenApiResponse:
    """Return the description of an error answer, with an example."""
    return OpenApiResponse(
        ErrorSerializer,
        detail,
        [
            OpenApiExample(
                code, {"code": code, "detail": detail, "fields": fields or {}}
            )
        ],
    )


INVALID = refused(
    "invalid", "Please correct: code.", {"code": ["Letters and digits only, please."]}
)
NOT_AUTHENTICATED = refused(
    "not_authenticated", "Authentication credentials were not provided."
)
FORBIDDEN = refused(
    "permission_denied", "You do not have permission to perform this action."
)
NOT_FOUND = refused("not_found", "No such channel.")
WECHAT = OpenApiResponse(
    WeChatErrorSerializer,
    "WeChat refused (`wechat_refused`), or could not be asked (`wechat_unavailable`).",
    [
        OpenApiExample(
            "wechat_refused",
            {
                "code": "wechat_refused",
                "detail": "This server's address is not in the IP whitelist.",
                "fields": {},
                "errcode": 40164,
                "errmsg": "invalid ip 203.0.113.7, not in whitelist",
            },
        )
    ],
)
COMMON = {401: NOT_AUTHENTICATED, 403: FORBIDDEN}


# -- /v1 -------------------------------------------------------------------------------
CHANNEL_KEY, ACCESS_KEY = "channelKey", "accessKey"


class RefusalSerializer(serializers.Serializer[Any]):
    """Every failure of /v1."""

    code = serializers.IntegerField(help_text="JUMS' code, never 0.")
    message = serializers.CharField(help_text="A sentence for people.")


REFUSALS: Final = {
    400: (4004, "aud_userid[1]: is not a valid id."),
    401: (4005, "Authentication failed: check the key and its secret."),
    403: (4005, "This call takes a ChannelKey and its MasterSecret."),
    409: (4004, "Idempotency-Key: was used with another request."),
    413: (4004, "The body may be at most 16777216 bytes."),
    415: (4004, 'Unsupported media type "application/json" in request.'),
    429: (1015030, "Too many calls in one minute."),
    500: (5000, "40125: invalid appsecret"),
}
WHY: Final = {429: "Instead of 400, where it is configured (RATE_LIMIT_STATUS)."}


def v1_call(
    summary: str,
    description: str,
    answer: dict[str, Any],
    *,
    body: Any = None,
    examples: dict[str, Any] | None = None,
    keys: Sequence[str] = (CHANNEL_KEY,),
    statuses: Collection[int] = (),
    parameters: Sequence[OpenApiParameter] = (),
) -> Callable[[Function], Function]:
    """Describe a call of /v1: `answer` is an example of what it answers beside `code`
    and `message`, `examples` are bodies, `statuses` are beyond those of every call."""
    whole = {"code": 0, "message": "success", **answer}
    properties = {name: _shape(value) for name, value in whole.items()}
    success = OpenApiResponse(
        {"type": "object", "properties": properties, "required": ["code", "message"]},
        "Done, or taken.",
        [OpenApiExample("success", whole)],
    )
    failures = {
        status: OpenApiResponse(
            RefusalSerializer,
            WHY.get(status, HTTPStatus(status).phrase),
            [OpenApiExample(str(status), {"code": code, "message": sentence})],
        )
        for status, (code, sentence) in REFUSALS.items()
        if status in {400, 401, 403, 429, *statuses} or (status == 413 and body)
    }
    return extend_schema(
        summary=summary,
        description=description,
        auth=[{key: []} for key in keys],  # type: ignore[misc]
        request=body,
        parameters=list(parameters),
        responses={200: success, **failures},
        examples=[
            OpenApiExample(name, value, request_only=True)
            for name, value in (examples or {}).items()
        ],
    )


def _shape(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {name: _shape(inner) for name, inner in value.items()},
        }
    if isinstance(value, list):
        return {"type": "array", "items": _shape(value[0])}
    return {"type": "integer" if isinstance(value, int) else "string"}
