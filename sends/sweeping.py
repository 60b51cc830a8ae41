"""What should be under way and is not: the answer of rows to dead workers, lost wake-up
calls, times that have come."""

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from channels_wechat.models import Channel

from . import canary, control, stepping
from .models import Chunk, Drain, Send


def sends_to_prepare() -> list[int]:
    """Start scheduled sends, let those go on whose quota pause is over or whose first
    few went well; return sends to prepare."""
    for send in Send.objects.resumable():
        try:
            control.resume(send, by="")
        except control.WrongState:
            continue  # an operator was quicker
    canary.judge_due()
    control.start_due()
    stepping.start_due()
    return list(Send.objects.unprepared().values_list("pk", flat=True))


def channels_to_drain() -> list[int]:
    """Return channels with something to send or to settle and nobody at it."""
    now = timezone.now()
    open_chunks = Chunk.objects.filter(
        state__in=[Chunk.State.WAITING, Chunk.State.CLAIMED],
        send__channel=OuterRef("pk"),
    )
    to_send = open_chunks.filter(send__status=Send.Status.RUNNING, due_at__lte=now)
    to_settle = Send.objects.unsettled().filter(channel=OuterRef("pk"))
    # Claimed, and nobody busy: their drain is dead, whatever the send is now.
    orphans = open_chunks.filter(state=Chunk.State.CLAIMED)
    busy = Drain.objects.filter(
        Q(lease_until__gte=now) | Q(hold_until__gt=now), channel=OuterRef("pk")
    )
    return list(
        Channel.objects.filter(
            Exists(to_send) | Exists(to_settle) | Exists(orphans), ~Exists(busy)
        )
        .order_by("pk")
        .values_list("pk", flat=True)
    )
