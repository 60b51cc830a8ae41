"""Claiming: which chunk of a channel is next, and its rows as calls to make."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from channels_wechat.wechat.bulk import SUBSCRIBE_SEND, TEMPLATE_SEND, Call
from channels_wechat.wechat.messages import CompiledMessage

from . import clicks
from .leases import Lease
from .models import Chunk, Delivery, Send
from .preparing import compile_message
from .querysets import ROWS_A_CHUNK, Row
from .underway import Claim

Status = Delivery.Status

# WeChat remembers a client_msg_id for ten minutes; a call may take most of one itself.
REPEAT_WITHIN: Final = timedelta(minutes=9)


def client_msg_id(dedupe_key: str, delivery_pk: int) -> str:
    """Return the id that makes a repeat of this delivery invisible. 32 characters at
    most, the same at every try, never the same for another delivery."""
    return f"{dedupe_key}-{delivery_pk:x}"


@dataclass
class Claimed:
    """A claimed chunk: rows to send with their calls, and rows that no repeat may
    follow any more."""

    claim: Claim
    calls: list[tuple[Row, Call]]
    too_late: list[Row]


@dataclass
class Claimer:
    """Claims for the holder of a channel's lease; compiles each send's message once.

    `careful`: what was claimed last must not be repeated, so that few rows should be
    under way: a death leaves each of them unknown.
    """

    lease: Lease
    # How many rows of a send may be claimed now, None: any number.
    allowed: Callable[[Send], int | None] = lambda _send: None
    careful: bool = False
    _sends: dict[int, tuple[Send, CompiledMessage]] = field(default_factory=dict)

    def claim(
        self, size: int, careful_size: int, before: int | None = None
    ) -> Claimed | None:
        """Claim the next due chunk, at most about `size` rows of it, or `careful_size`
        if they must not be repeated; None: none is due. Raises LeaseLost.

        With `before`, only of sends that are more urgent than that priority.
        """
        now = timezone.now()
        with transaction.atomic():
            self.lease.hold()
            chunk = self._next_chunk(now, before)
            if chunk is None:
                return None
            send, message = self._message(chunk.send_id)
            claim = Claim(chunk, send)
            self.careful = not claim.repeat_safe
            allowed = self.allowed(send)
            sizes = [size, careful_size if self.careful else size]
            _cut(chunk, min(sizes if allowed is None else [*sizes, allowed]))
            chunk.state = Chunk.State.CLAIMED
            chunk.claimed_at, chunk.fence = now, self.lease.fence
            chunk.save(update_fields=["state", "claimed_at", "fence", "last_id"])
            rows = Delivery.objects.claim(chunk)
            Send.objects.move(
                Counter({(send.pk, Status.WAITING, Status.SENDING): len(rows)})
            )
        claim.out = len(rows)
        in_time, too_late = [], []
        for row in rows:
            if row.doubt_since is not None and (
                not claim.repeat_safe or now - row.doubt_since > REPEAT_WITHIN
            ):
                too_late.append(row)
            else:
                in_time.append(row)
        return Claimed(claim, list(_calls(claim, message, in_time)), too_late)

    def _next_chunk(self, now: datetime, before: int | None) -> Chunk | None:
        sends = Send.objects.running().filter(channel=self.lease.channel_pk)
        if before is not None:
            sends = sends.filter(priority__lt=before)
        for pk in sends.order_by("priority", "pk").values_list("pk", flat=True):
            chunk = Chunk.objects.due(now).filter(send=pk).first()
            if chunk is not None and self.allowed(self._message(pk)[0]) != 0:
                return chunk
        return None

    def _message(self, send_pk: int) -> tuple[Send, CompiledMessage]:
        if send_pk not in self._sends:
            send = Send.objects.select_related("template", "business_channel").get(
                pk=send_pk
            )
            message = compile_message(send)
            if clicks.is_tracked(send):
                address = f"{settings.PUBLIC_URL}/r/{{{{{clicks.PLACEHOLDER}}}}}"
                message = compile_message(send, url=address)
            self._sends[send_pk] = send, message
        return self._sends[send_pk]


def _cut(chunk: Chunk, size: int) -> None:
    """Split off what a slow channel could not send soon: claimed rows are in doubt
    after a death, and nobody can cancel them."""
    if size >= ROWS_A_CHUNK:
        return
    rows = Delivery.objects.of_chunk(chunk).filter(status=Status.WAITING)
    cut = rows.order_by("pk").values_list("pk", flat=True)[size : size + 1]
    for first_id in cut:
        Chunk.objects.create(
            send_id=chunk.send_id,
            first_id=first_id,
            last_id=chunk.last_id,
            due_at=chunk.due_at,
            attempts=chunk.attempts,
        )
        chunk.last_id = first_id - 1


def _calls(
    claim: Claim, message: CompiledMessage, rows: Iterable[Row]
) -> Iterator[tuple[Row, Call]]:
    # Some microseconds for each of a million rows: nothing is looked up twice.
    named, clicked = bool(message.names), clicks.PLACEHOLDER in message.names
    endpoint = TEMPLATE_SEND if claim.repeat_safe else SUBSCRIBE_SEND
    dedupe_key = claim.send.dedupe_key if claim.repeat_safe else ""
    names: dict[str, str] = {}
    for row in rows:
        if named:
            names = row.names()
            if clicked:
                names[clicks.PLACEHOLDER] = clicks.token(row.id)
        key = client_msg_id(dedupe_key, row.id) if dedupe_key else ""
        yield row, Call(row.id, message.render(row.openid, key, names), endpoint)
