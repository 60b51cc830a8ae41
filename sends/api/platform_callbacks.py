"""Where WeChat pushes what concerns the accounts of the third-party platform.

Encrypted with the platform's key, for the platform's AppID. The account is the one of
the path, compared with the push's own receiver.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from channels_wechat import platforms, release_test
from channels_wechat.models import Channel, PlatformEvent
from channels_wechat.platform_views import echo, refuse, set_up_platform
from channels_wechat.wechat.callbacks import MAX_BODY_BYTES, PushRefused, open_push
from sends import receiving

from .ringing import ring


@csrf_exempt
@require_http_methods(["GET", "POST"])
def message(request: HttpRequest, appid: str) -> HttpResponse:
    """Take in a message or an event of the account `appid`."""
    platform = set_up_platform()
    if request.method == "GET":
        return echo(request, platform)
    body = request.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        return HttpResponse("too_large", status=413, content_type="text/plain")
    now = timezone.now()
    channels = Channel.objects.filter(appid=appid, authorization=Channel.By.PLATFORM)
    channel = channels.first()
    expected = release_test.ACCOUNTS.get(appid) or (channel and channel.original_id)
    try:
        push = open_push(
            body,
            request.GET.dict(),
            mode="safe",
            token=settings.WECHATTPP_ENCODING_TOKEN,
            aes_keys=settings.WECHATTPP_ENCODING_AES_KEYS,
            receive_id=platform.component_appid,
            now=now,
        )
        if expected and push.to_user != expected:
            raise PushRefused(
                "wrong_receiver", "The push is for another account than its address."
            )
    except PushRefused as refusal:
        if channel:
            address = request.META.get("REMOTE_ADDR", "")
            receiving.refuse(channel, refusal, address, now)
        return refuse(request, platform, refusal, appid)
    if appid in release_test.ACCOUNTS:
        # Never authorised, so it has to come before we look for a channel.
        reply = release_test.answer(platform, appid, push, now)
        kind = "text/xml" if reply.startswith("<") else "text/plain"
        return HttpResponse(reply, content_type=kind)
    if channel is None:
        platforms.note(platform, PlatformEvent.Kind.UNKNOWN_ACCOUNT, appid=appid)
    elif receiving.store(channel, push, now):
        ring(channel.pk)
    return HttpResponse("success", content_type="text/plain")
