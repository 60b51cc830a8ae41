"""The canary: a few people first, and everyone else once that went well.

With a canary only the first chunk of a send is due; the others are held. When the first
few are sent and their receipts are in, or have been waited for long enough, the rest is
let go, or the send pauses and says how many failed.
"""

import logging
from collections import Counter
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max
from django.utils import timezone

from . import brake, control
from .models import Chunk, Delivery, Send
from .waking import wake_on_commit

log = logging.getLogger(__name__)
Status = Delivery.Status

AT_LEAST: Final = 50
AT_MOST: Final = 500
# Receipts come within seconds; an account may have switched them off.
WAIT_FOR_RECEIPTS: Final = timedelta(minutes=5)
FAILED: Final = (Status.REFUSED, Status.UNDELIVERED, Status.UNKNOWN)


def size(people: int) -> int:
    """Return how many of `people` go first: one in a hundred, but 50 to 500."""
    return min(AT_MOST, max(AT_LEAST, people // 100))


def choose(send: Send) -> int:
    """Settle who goes first of a send that was just prepared; 0: everyone at once.

    Called in the send's own transaction, before its chunks are cut.
    """
    if send.canary != Send.Canary.WAITING:
        return 0
    waiting = Delivery.objects.filter(send=send, status=Status.WAITING).order_by("pk")
    first = size(waiting.count())
    last_ids = list(waiting.values_list("pk", flat=True)[first - 1 : first + 1])
    if len(last_ids) < 2:
        Send.objects.filter(pk=send.pk).update(canary="")  # there is no rest
        return 0
    Send.objects.filter(pk=send.pk).update(canary_last_id=last_ids[0])
    return first


def judge_due() -> int:
    """Let the rest of every send go whose first few went well, pause the others;
    return how many were judged."""
    return sum(
        _judge(send)
        for send in Send.objects.running()
        .filter(canary=Send.Canary.WAITING, canary_last_id__isnull=False)
        .select_related("channel")
    )


def _judge(send: Send) -> bool:
    first = Delivery.objects.filter(send=send, pk__lte=send.canary_last_id).exclude(
        status=Status.SKIPPED
    )
    by_status = Counter(
        dict(first.order_by().values_list("status").annotate(Count("pk")))
    )
    if by_status[Status.WAITING] or by_status[Status.SENDING]:
        return False
    if by_status[Status.ACCEPTED] and send.channel.callback_verified_at:
        sent_at = first.aggregate(at=Max("sent_at"))["at"]
        if sent_at and timezone.now() - sent_at < WAIT_FOR_RECEIPTS:
            return False
    failed = sum(by_status[status] for status in FAILED)
    total = by_status.total()
    well = failed * 100 <= settings.BRAKE_REFUSED_PERCENT * total
    with transaction.atomic():
        if (
            not Send.objects.running()
            .filter(pk=send.pk, canary=Send.Canary.WAITING)
            .update(canary=Send.Canary.PASSED if well else Send.Canary.FAILED)
        ):
            return False
        if well or send.brake_released:
            let_go(send)
        else:
            control.pause_for(
                send.channel,
                Send.PauseCode.CANARY,
                None,
                brake.shares(failed, total),
                send_pk=send.pk,
            )
    log.info("canary send=%s failed=%s of=%s", send.msgid, failed, total)
    return True


def let_go(send: Send) -> None:
    """Send to the rest, too. In a transaction."""
    if Chunk.objects.release(send.pk, timezone.now()):
        wake_on_commit("drain", send.channel_id)
