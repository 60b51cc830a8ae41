"""What the OpenAPI description says of authentication and of errors."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers


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
