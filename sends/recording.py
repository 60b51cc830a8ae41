"""Recording what became of claimed rows: gathered, then written in one transaction."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from users.models import OpenID

from . import ledger, outbox
from .leases import Lease
from .models import Chunk, Delivery, Send
from .querysets import Result, Row
from .underway import Claim, Out

Status = Delivery.Status

# A row in doubt is tried again after so many seconds, by how often its chunk was sent.
BACKOFF_S: Final = (2, 5, 10, 20, 30, 60)
# A call that timed out left at most this long before we gave it up.
CALL_TIME: Final = timedelta(seconds=20)


@dataclass
class Book:
    """The results of a drain that are not written yet, and its open claims."""

    lease: Lease
    results: list[Result] = field(default_factory=list)
    _claims: list[Claim] = field(default_factory=list)
    _unfollowed: list[str] = field(default_factory=list)
    # Results that say something of an acceptance.
    _to_note: set[int] = field(default_factory=set)

    def open(self, claim: Claim) -> None:
        """Keep an eye on a claim: its chunk is closed with its last result."""
        self._claims.append(claim)

    def is_urgent(self) -> bool:
        """Whether a claim is answered whole that is more urgent than another one: its
        people are served, only nobody can see it yet."""
        answered = [claim.send.priority for claim in self._claims if not claim.out]
        if not answered:
            return False
        return min(answered) < max(claim.send.priority for claim in self._claims)

    def unfollowed(self, openid: str) -> None:
        """Note that WeChat says this person does not follow the account."""
        self._unfollowed.append(openid)

    def back(
        self, out: Out, *, in_doubt: bool = False, error: str = "", wait: bool = False
    ) -> None:
        """Let a row wait again, in doubt if its message may have left."""
        claim, row = out.claim, out.row
        now = timezone.now()
        claim.back += 1
        if wait:
            backoff = BACKOFF_S[min(claim.chunk.attempts, len(BACKOFF_S) - 1)]
            claim.back_at = now + timedelta(seconds=backoff)
        doubt = row.doubt_since or (now - CALL_TIME if in_doubt else None)
        self._add(claim, Result(row.id, Status.WAITING, None, None, error[:500], doubt))

    def final(
        self,
        claim: Claim,
        row: Row,
        status: Delivery.Status,
        *,
        msgid: int | None = None,
        errcode: int | None = None,
        error: str = "",
    ) -> None:
        """Note what became of a row for good, as far as the call goes."""
        if not claim.repeat_safe and (
            status == Status.ACCEPTED or errcode == ledger.ERRCODE_NONE_LEFT
        ):
            self._to_note.add(row.id)
        # The doubt is kept: a receipt without a msgid finds its delivery by the first
        # call.
        self._add(
            claim, Result(row.id, status, msgid, errcode, error[:500], row.doubt_since)
        )

    def _add(self, claim: Claim, result: Result) -> None:
        claim.out -= 1
        self.results.append(result)

    def flush(self) -> None:
        """Write the results, close chunks that have no row out, in one transaction.

        Raises LeaseLost.
        """
        results, self.results = self.results, []
        business = {c.send.pk for c in self._claims if c.send.business_channel_id}
        ended = [claim for claim in self._claims if not claim.out]
        self._claims = [claim for claim in self._claims if claim.out]
        unfollowed, self._unfollowed = self._unfollowed, []
        noted = [result.id for result in results if result.id in self._to_note]
        self._to_note.difference_update(noted)
        now = timezone.now()
        with transaction.atomic():
            self.lease.hold()
            moves = Delivery.objects.record(results, now)
            ledger.note(deliveries=noted)
            if business and results:
                outbox.sent(business, [result.id for result in results], now)
            for claim in ended:
                _close(claim, now)
            if unfollowed:
                OpenID.objects.filter(
                    channel=self.lease.channel_pk, openid__in=unfollowed
                ).update(followed=False, followed_at=now)
            Send.objects.move(moves)
            Send.objects.finish({claim.send.pk for claim in ended})


def _close(claim: Claim, now: datetime) -> None:
    chunk = claim.chunk
    chunk.state = Chunk.State.WAITING if claim.back else Chunk.State.DONE
    chunk.due_at = claim.back_at or now
    chunk.attempts += 1 if claim.back_at else 0
    chunk.save(update_fields=["state", "due_at", "attempts"])
