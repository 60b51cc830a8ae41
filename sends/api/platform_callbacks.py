"""Where WeChat pushes what concerns the accounts of the third-party platform.

Encrypted with the platform's key, for the platform's AppID. The account is the one of
the path, compared with the push's own receiver.
"""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from channels_wechat import platforms, release_test
from channels_wechat.models import PlatformEvent
from channels_wechat.platform_views import echo, refuse, set_up_platform
from channels_wechat.wechat.callbacks import MAX_BODY_BYTES, PushRefused
from sends import believing, receiving

from .ringing import ring


@csrf_exempt
@require_http_methods(["GET", "POST"])
def message(request: HttpRequest, appid: str) -> HttpResponse:
    """Take in a message or an event of the account `appid`."""
    if request.method == "GET":
        return echo(request, set_up_platform())
    if not platforms.is_set_up():
        raise Http404
    body = request.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        return HttpResponse("too_large", status=413, content_type="text/plain")
    now = timezone.now()
    channel = believing.authorised(appid)
    try:
        push = believing.for_platform(body, request.GET.dict(), appid, channel, now)
    except PushRefused as refusal:
        if channel:
            address = request.META.get("REMOTE_ADDR", "")
            receiving.refuse(channel, refusal, address, now)
        return refuse(request, platforms.current(), refusal, appid)
    if appid in release_test.ACCOUNTS:
        # Never authorised, so it has to come before we look for a channel.
        reply = release_test.answer(platforms.current(), appid, push, now)
        kind = "text/xml" if reply.startswith("<") else "text/plain"
        return HttpResponse(reply, content_type=kind)
    if channel is None:
        unknown = PlatformEvent.Kind.UNKNOWN_ACCOUNT
        platforms.note(platforms.current(), unknown, appid=appid)
    elif receiving.store(channel, push, now):
        ring(channel.pk)
    return HttpResponse("success", content_type="text/plain")
