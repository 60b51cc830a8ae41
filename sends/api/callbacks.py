"""Where WeChat pushes to: believed, stored, answered `success`; worked on later.

WeChat waits 5 seconds and pushes three times. Anything but 200 makes it push again, so
our own faults are a 500 and never a `success`; an event we do not know is a `success`.
"""

from collections.abc import Sequence
from typing import cast

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from channels_wechat.models import Channel
from channels_wechat.wechat.callbacks import (
    MAX_BODY_BYTES,
    Mode,
    Push,
    PushRefused,
    open_push,
    parse_body,
    verify_url,
)
from sends.receiving import refuse, store, verified

from .ringing import ring


@csrf_exempt
@require_http_methods(["GET", "POST"])
def callback(request: HttpRequest, code: str = "") -> HttpResponse:
    """Answer WeChat for the channel `code`, or for whichever the push names."""
    if request.method == "GET":
        return _verify(request, code)
    return _receive(request, code)


def _verify(request: HttpRequest, code: str) -> HttpResponse:
    """The administrator saves our address in WeChat's console."""
    channels = [_channel(code)] if code else list(Channel.objects.filter(enabled=True))
    query = request.GET.dict()
    refusal = _UNKNOWN
    for channel in channels:
        try:
            echostr = verify_url(query, channel.callback_token)
        except PushRefused as problem:
            refusal = problem
        else:
            verified(channel, timezone.now())
            return HttpResponse(echostr, content_type="text/plain")
    return _refused(request, channels, refusal)


def _receive(request: HttpRequest, code: str) -> HttpResponse:
    body = request.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        return HttpResponse("too_large", status=413, content_type="text/plain")
    query, now = request.GET.dict(), timezone.now()
    channels = [_channel(code)] if code else _addressed(body)
    believed: list[tuple[Channel, Push]] = []
    refusal = _UNKNOWN
    for channel in channels:
        try:
            push = open_push(
                body,
                query,
                mode=cast(Mode, channel.callback_mode),
                token=channel.callback_token,
                aes_keys=channel.aes_keys,
                receive_id=channel.appid,
                now=now,
            )
        except PushRefused as problem:
            refusal = problem
        else:
            believed.append((channel, push))
    # Two channels that share a token: nothing says whose push it is.
    if len(believed) != 1:
        return _refused(request, channels, refusal)
    channel, push = believed[0]
    if store(channel, push, now):
        ring(channel.pk)
    return HttpResponse("success", content_type="text/plain")


_UNKNOWN = PushRefused("wrong_receiver", "No channel has this original id.")


def _channel(code: str) -> Channel:
    try:
        return Channel.objects.get(code=code)
    except Channel.DoesNotExist:
        raise Http404 from None


def _addressed(body: bytes) -> list[Channel]:
    """Return the channels that a push may be for by its (unproven) receiver: those of
    that original id, else those whose original id is not known yet."""
    try:
        receiver = parse_body(body.decode()).get("ToUserName")
    except (UnicodeDecodeError, PushRefused):
        return []
    if not isinstance(receiver, str) or not receiver.isprintable():
        return []
    named = list(Channel.objects.filter(original_id=receiver)) if receiver else []
    return named or list(Channel.objects.filter(original_id=""))


def _refused(
    request: HttpRequest, channels: Sequence[Channel], refusal: PushRefused
) -> HttpResponse:
    if len(channels) == 1:  # else nobody knows whose page to show it on
        address = request.META.get("REMOTE_ADDR", "")
        refuse(channels[0], refusal, address, timezone.now())
    return HttpResponse(refusal.reason, status=403, content_type="text/plain")
