"""The check of a channel over the resource API."""

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat.checking import check

from .schema import COMMON, NOT_FOUND
from .serializers import FindingsSerializer
from .views import ChannelView


class ChannelCheck(ChannelView):
    """The doctor's visit."""

    permission_required = "channels_wechat.check_channel"

    @extend_schema(
        operation_id="channels_check",
        summary="Check a channel",
        description="Asks WeChat for a token and the templates, and looks at the "
        "callback. A finding that is bad is still a 200.",
        request=None,
        responses={
            200: OpenApiResponse(
                FindingsSerializer,
                examples=[
                    OpenApiExample(
                        "findings",
                        {
                            "findings": [
                                {
                                    "check": "token",
                                    "level": "bad",
                                    "detail": "WeChat refused: invalid ip 203.0.113.7",
                                    "fix": "Add 203.0.113.7 to the IP whitelist.",
                                }
                            ]
                        },
                    )
                ],
            ),
            404: NOT_FOUND,
            **COMMON,
        },
    )
    def post(self, request: Request, code: str) -> Response:
        findings = {"findings": check(self.channel())}
        return Response(FindingsSerializer(findings).data)
