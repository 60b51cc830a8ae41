"""What a drain does for others before it sends: rows of a dead drain, and of canceled
sends. The caller holds the channel's lease."""

import logging
from collections import Counter

from django.db import transaction
from django.utils import timezone

from . import outbox
from .leases import Lease
from .models import Chunk, Delivery, Send
from .underway import Claim

log = logging.getLogger(__name__)
Status = Delivery.Status


def adopt_orphans(lease: Lease) -> None:
    """Give back what a dead drain of this channel had claimed, in doubt since then; of
    messages that must not be repeated, leave it as unknown."""
    orphans = Chunk.objects.orphaned(lease.fence).filter(send__channel=lease.channel_pk)
    for chunk in orphans.select_related("send__template"):
        now = timezone.now()
        claimed_at = chunk.claimed_at or now
        with transaction.atomic():
            lease.hold()
            if Claim(chunk, chunk.send).repeat_safe:
                rows = Delivery.objects.release(chunk, claimed_at)
                after = Status.WAITING
            else:
                abandoned = Delivery.objects.abandon(chunk, claimed_at, now)
                if chunk.send.business_channel_id and abandoned:
                    outbox.sent([chunk.send_id], abandoned, now)
                rows, after = len(abandoned), Status.UNKNOWN
            chunk.state, chunk.due_at = Chunk.State.WAITING, now
            chunk.save(update_fields=["state", "due_at"])
            Send.objects.move(Counter({(chunk.send_id, Status.SENDING, after): rows}))
        log.warning("adopted channel=%s rows=%s", lease.channel_pk, rows)


def settle_canceled(lease: Lease, limit: int) -> bool:
    """Take out what canceled sends had waiting: canceled, or unknown if in doubt; of
    `limit` chunks at most. Return whether there may be more."""
    more = False
    for send in Send.objects.unsettled().filter(
        channel=lease.channel_pk, prepared_at__isnull=True
    ):
        with transaction.atomic():
            # Canceled while it was prepared: not all of its rows are in chunks yet.
            lease.hold()
            fresh = not Chunk.objects.filter(send=send).exists()
            more = bool(Chunk.objects.cut(send.pk, timezone.now())) or more
            if fresh and send.business_channel_id:
                outbox.prepared(send.pk)
    chunks = Chunk.objects.waiting().filter(
        send__channel=lease.channel_pk, send__status=Send.Status.CANCELED
    )
    settled = 0
    for chunk in chunks.select_related("send")[:limit]:
        with transaction.atomic():
            lease.hold()
            Send.objects.move(Delivery.objects.settle(chunk))
            if chunk.send.business_channel_id:
                outbox.settled(chunk)
            chunk.state = Chunk.State.DONE
            chunk.save(update_fields=["state"])
        settled += 1
    return more or settled == limit
