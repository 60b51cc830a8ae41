"""Who may send for a channel: one drain at a time, over all workers and hosts.

That makes a channel's rate and number of connections hold everywhere, and gives each
holder a fence: a number that grows, so that a holder that was thought dead and comes
back cannot write what the next one has already repeated.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from .models import Drain


class LeaseLost(Exception):
    """Another drain has taken over: stop at once, write nothing."""


@dataclass(frozen=True)
class Lease:
    channel_pk: int
    owner: str
    fence: int

    @classmethod
    def take(cls, channel_pk: int) -> Self | None:
        """Return the channel's lease, or None while another drain holds it."""
        Drain.objects.get_or_create(channel_id=channel_pk)
        owner, now = str(uuid.uuid4()), timezone.now()
        free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
        if not Drain.objects.filter(free, channel_id=channel_pk).update(
            owner=owner, fence=F("fence") + 1, lease_until=_end()
        ):
            return None
        drain = Drain.objects.get(channel_id=channel_pk)
        return cls(channel_pk, owner, drain.fence) if drain.owner == owner else None

    def hold(self) -> None:
        """Renew the lease. Raises LeaseLost.

        Called first in each transaction that writes: the row's lock then keeps anyone
        else from taking the lease before the commit.
        """
        if not self._mine().update(lease_until=_end()):
            raise LeaseLost(self.channel_pk)

    def drain(self) -> Drain:
        """Return the row of the lease."""
        return Drain.objects.get(channel_id=self.channel_pk)

    def release(self) -> None:
        """Let the next drain in at once."""
        self._mine().update(lease_until=None)

    def wait_until(self, moment: datetime, reason: str) -> None:
        """Send nothing on this channel before `moment`; `reason` is for operators."""
        self._mine().update(hold_until=moment, hold_reason=reason[:500])

    def is_held_up(self) -> bool:
        """Whether the channel has to wait; forgets a wait that is over."""
        waits = self._mine().filter(hold_until__isnull=False)
        waits.filter(hold_until__lte=timezone.now()).update(
            hold_until=None, hold_reason=""
        )
        return waits.exists()

    def _mine(self) -> QuerySet[Drain]:
        return Drain.objects.filter(
            channel_id=self.channel_pk, owner=self.owner, fence=self.fence
        )


def _end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.CLAIM_SECONDS)
