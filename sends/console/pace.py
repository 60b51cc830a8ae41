"""What a channel is doing right now, on its page: its pace, its sends, its quota."""

from datetime import timedelta
from typing import Any, Final

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone

from channels_wechat import quotas
from channels_wechat.models import Channel
from channels_wechat.wechat.errors import WeChatError
from sends import reporting
from sends.models import Drain, Send
from sends.pacing import Pace
from templates_mgmt.models import Template

from .pages import fragment, needs

SENDS_SHOWN: Final = 5
# So old may WeChat's word be on a page that looks again and again.
READ_EVERY: Final = timedelta(minutes=5)


@needs("channels_wechat.view_channel")
def channel(request: HttpRequest, channel_pk: int) -> HttpResponse:
    """The live part."""
    found = get_object_or_404(Channel, pk=channel_pk)
    running = (
        Send.objects.running()
        .filter(channel=found)
        .select_related("channel")
        .order_by("priority", "pk")
    )
    sends = list(running[: SENDS_SHOWN + 1])
    return fragment(
        request,
        "sends/_channel_now.html",
        channel=found,
        sends=[(send, reporting.progress(send)) for send in sends[:SENDS_SHOWN]],
        more=len(sends) > SENDS_SHOWN,
        quotas=[_quota(found, kind, label) for kind, label in _kinds(found)],
        **pace_of(found),
    )


def pace_of(channel: Channel) -> dict[str, Any]:
    """Return what the channel's drain is given now, and what holds it up."""
    now = timezone.now()
    drain = Drain.objects.filter(channel=channel).first() or Drain(channel=channel)
    pace = Pace.of(drain, now)
    connections, rate = pace.limits(channel)
    return {
        "percent": round(100 * pace.share),
        "connections": connections,
        "rate": rate,
        "reason": pace.reason,
        "hold": drain if drain.hold_until and drain.hold_until > now else None,
    }


def _kinds(channel: Channel) -> list[tuple[str, Any]]:
    kinds = list(Template.Kind.choices)
    used = Template.objects.filter(channel=channel, removed_at__isnull=True)
    if not used.filter(kind=Template.Kind.SUBSCRIBE).exists():
        kinds = [kind for kind in kinds if kind[0] != Template.Kind.SUBSCRIBE]
    return kinds


def _quota(channel: Channel, kind: str, label: object) -> dict[str, Any]:
    """Return what WeChat says is left today. What it refuses to say is not asked for
    again and again."""
    key = f"quota-refused:{channel.pk}:{kind}"
    refused = cache.get(key)
    reading = quotas.known(channel, kind) if refused else None
    if not refused:
        try:
            reading = quotas.read(channel, kind, READ_EVERY)
        except WeChatError as error:
            refused = str(error)
            cache.set(key, refused, READ_EVERY.total_seconds())
    return {"label": label, "reading": reading, "refused": refused}
