"""What all calls of the JUMS-compatible API share: keys, envelope, codes, limits.

The envelope is flat: `{"code": 0, "message": "success", …}`; a failure has another
code, a sentence in `message`, and never the HTTP status 200. Any content type is read
as JSON.
"""

import base64
import binascii
import logging
from typing import Any, ClassVar

from django.conf import settings
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.authentication import get_authorization_header
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, set_rollback

from channels_wechat import access_keys, business_channels, protection, tokens
from channels_wechat.business_channels import usable_channels
from channels_wechat.models import AccessKey, BusinessChannel
from channels_wechat.refusals import (
    CHANNEL_UNUSABLE,
    DISABLED,
    ILLEGAL,
    NOT_AUTHENTICATED,
    SERVER_ERROR,
    TOO_OFTEN,
    Refused,
)
from channels_wechat.wechat.errors import WeChatError

from .envelope import flat
from .parsing import JSONParser
from .schema import v1_call

log = logging.getLogger(__name__)


class RefusedWith(Refused):
    """A refusal whose HTTP status is not the usual 400."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(code, message)
        self.status = status


class AnyJSONParser(JSONParser):
    """JSON, whatever the Content-Type says: real clients send none, or text/html."""

    media_type = "*/*"


class Renderer(JSONRenderer):
    charset = "utf-8"


class JumsView(APIView):
    """A call of /v1. `self.sender` is the business channel, `self.access_key` the
    access key that called: exactly one of them is set."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    parser_classes: Any = (AnyJSONParser,)
    renderer_classes = (Renderer,)
    metadata_class = None  # OPTIONS is a wrong method like any other
    # Which pairs the call takes: a ChannelKey, an AccessKey, or both.
    takes: ClassVar[set[str]] = {"business"}

    sender: BusinessChannel | None = None
    access_key: AccessKey | None = None
    rate: protection.Rate | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self._authenticate(request)
        self.rate = (
            protection.count_call(self.sender) if self.sender else protection.NO_LIMIT
        )
        if not self.rate.allowed:
            raise Refused(TOO_OFTEN, _("Too many calls in one minute."))
        self._check_scope()
        if self.sender is not None and not self.sender.enabled:
            raise Refused(DISABLED, _("This business channel is switched off."))

    def _authenticate(self, request: Request) -> None:
        scheme, _space, encoded = get_authorization_header(request).partition(b" ")
        key = secret = ""
        if scheme.lower() == b"basic":
            try:
                pair = base64.b64decode(encoded.strip(), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                pair = ""
            key, _colon, secret = pair.partition(":")
        self.sender = business_channels.holder(key, secret)
        if self.sender is None:
            self.access_key = access_keys.holder(key, secret)
        if self.sender is None and self.access_key is None:
            raise RefusedWith(
                401,
                NOT_AUTHENTICATED,
                _("Authentication failed: check the key and its secret."),
            )

    def _check_scope(self) -> None:
        if ("business" if self.sender else "access") not in self.takes:
            raise RefusedWith(
                403,
                NOT_AUTHENTICATED,
                _("This call takes a ChannelKey and its MasterSecret.")
                if self.access_key
                else _("This call takes an AccessKey and its secret."),
            )

    @property
    def business_channel(self) -> BusinessChannel:
        """The caller of a call that takes ChannelKeys only."""
        assert self.sender is not None
        return self.sender

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[Any, str]:
        """Answer in JSON, whatever `Accept` or `format` ask for."""
        return Renderer(), Renderer.media_type

    @staticmethod
    def body(request: Request) -> Any:
        """Return the parsed body; None if there is none at all, of which DRF makes an
        empty form."""
        empty = request.META.get("CONTENT_LENGTH") in ("", "0", None)
        return None if empty else request.data

    def handle_exception(self, exc: Exception) -> Response:
        refused = _refusal(exc)
        if refused is None:
            raise exc
        set_rollback()
        usual = settings.RATE_LIMIT_STATUS if refused.code == TOO_OFTEN else 400
        status = getattr(refused, "status", usual)
        response = Response(
            {"code": refused.code, "message": refused.message}, status=status
        )
        if status == 401:
            response["WWW-Authenticate"] = 'Basic realm="JUMS", charset="UTF-8"'
        response.exception = True
        return response

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if self.rate is not None:
            response["X-Rate-Limit-Limit"] = str(self.rate.limit)
            response["X-Rate-Limit-Remaining"] = str(self.rate.remaining)
            response["X-Rate-Limit-Reset"] = str(self.rate.reset_s)
        return response


def _refusal(problem: Exception) -> Refused | None:
    if isinstance(problem, Refused):
        return problem
    if isinstance(problem, exceptions.ValidationError):
        fields = flat(problem.detail)
        sentence = "; ".join(f"{name}: {texts[0]}" for name, texts in fields.items())
        return Refused(ILLEGAL, sentence)
    if isinstance(problem, exceptions.APIException):
        return RefusedWith(problem.status_code, ILLEGAL, str(problem.detail))
    if isinstance(problem, WeChatError):
        return RefusedWith(500, SERVER_ERROR, str(problem))
    return None


def done(**more: Any) -> Response:
    """Return the answer to a call that worked."""
    return Response({"code": 0, "message": "success", **more})


class TokenView(JumsView):
    @v1_call(
        "Current access token of a channel",
        "So that your own systems and JUMS share one token instead of replacing each "
        "other's. `expires_in` is what remains, in seconds, as text.",
        {"token": "92_NU3wC4Vv…", "expires_in": "7000"},
        parameters=[
            OpenApiParameter("type", str, required=True, enum=["wechatoa"]),
            OpenApiParameter("code", str, description="which channel, if several"),
        ],
        statuses=[500],
    )
    def get(self, request: Request) -> Response:
        kind = request.query_params.get("type", "")
        if kind != "wechatoa":
            raise Refused(ILLEGAL, _("type: only wechatoa is there."))
        channels = usable_channels(self.business_channel)
        code = request.query_params.get("code", "")
        if code:
            channels = [channel for channel in channels if channel.code == code]
        if not channels:
            raise Refused(
                CHANNEL_UNUSABLE,
                _("code: no such channel is authorised for this business channel."),
            )
        if channels[0].is_authorised:
            # Nothing to share: your systems have tokens of their own beside ours.
            raise Refused(
                ILLEGAL,
                _("code: a channel connected by a scan shares no token."),
            )
        token, expires_in_s = tokens.current(channels[0])
        return done(token=token, expires_in=str(expires_in_s))


class NoSuchCall(JumsView):
    """Whatever else is below /v1/."""

    @extend_schema(exclude=True)
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise RefusedWith(404, ILLEGAL, _("No such call."))
