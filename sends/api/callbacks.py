"""Where WeChat pushes to: believed, stored, answered `success`; worked on later.

WeChat waits 5 seconds and pushes three times. Anything but 200 makes it push again, so
our own faults are a 500 and never a `success`; an event we do not know is a `success`.
At volume `sends.api.receiver` takes what is believed and leaves the rest to the views.
"""

from collections.abc import Sequence

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from channels_wechat.models import Channel
from channels_wechat.wechat.callbacks import MAX_BODY_BYTES, PushRefused, verify_url
from sends import believing
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
    channels = _named(code) if code else list(Channel.objects.filter(enabled=True))
    query = request.GET.dict()
    refusal = PushRefused("wrong_receiver", "No channel has this Token.")
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
    now = timezone.now()
    channels = _named(code) if code else _addressed(body)
    try:
        believed = believing.for_account(body, request.GET.dict(), channels, now)
    except PushRefused as refusal:
        return _refused(request, channels, refusal)
    if store(*believed, now):
        ring(believed.channel.pk)
    return HttpResponse("success", content_type="text/plain")


def _named(code: str) -> list[Channel]:
    channels = believing.named(code)
    if not channels:
        raise Http404
    return channels


def _addressed(body: bytes) -> list[Channel]:
    receiver = believing.receiver_of(body)
    return [] if receiver is None else believing.addressed(receiver)


def _refused(
    request: HttpRequest, channels: Sequence[Channel], refusal: PushRefused
) -> HttpResponse:
    if len(channels) == 1:  # else nobody knows whose page to show it on
        address = request.META.get("REMOTE_ADDR", "")
        refuse(channels[0], refusal, address, timezone.now())
    return HttpResponse(refusal.reason, status=403, content_type="text/plain")
