"""One owner of a token, over all threads, processes and hosts.

The token is a row. Whoever finds it about to end takes the row's lease and asks WeChat;
everyone else goes on with the old one while it lives, or waits for the new one. A token
that WeChat refuses is replaced by force once; a forced one refused as well is an
error for people to see, never a loop.

Account tokens, component tokens and authorizer tokens are all held this way; `tokens`
and `platform_tokens` say where each comes from.
"""

import logging
import time
import uuid
from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone

from .models import LeasedToken
from .wechat.client import Token
from .wechat.errors import ChannelRefused, WeChatError, WeChatUnavailable

log = logging.getLogger(__name__)

# stable_token gives a new token in the last five minutes of the old one.
RENEW_BEFORE: Final = timedelta(minutes=4)
# A token so short-lived that it could never be renewed in time: a tenth of its life.
RENEW_SHARE: Final = 10
# Longer than a call to WeChat may take; a renewer that died is replaced after it.
LEASE: Final = timedelta(seconds=30)
WAIT_S: Final = 25.0
TURN_S: Final = 0.05
# A token got by force and refused this soon: force does not help.
FORCED_AND_REFUSED: Final = timedelta(minutes=2)


class LeasedSource(ABC):
    """What hands out one token. Subclasses say which row it is and how it is got."""

    #: Why WeChat may give the same token although another one was demanded.
    same_again = "WeChat gives the same token again."

    @abstractmethod
    def __str__(self) -> str:
        """Return which token this is, for the log."""

    @abstractmethod
    def rows(self) -> models.QuerySet[Any]:
        """Return the query set of the one row that holds the token."""

    @abstractmethod
    def row(self) -> LeasedToken:
        """Return the row as it is now, made if it does not exist."""

    @abstractmethod
    def credentials(self) -> str:
        """Return a fingerprint of what the token is got with."""

    @abstractmethod
    def fetch(self, force: bool) -> Token:
        """Ask WeChat for a token. Raises WeChatError classes."""

    @abstractmethod
    def got(self, token: Token, at: datetime) -> None:
        """Note what goes with a new token, in the transaction that stores it."""

    @abstractmethod
    def refused(self, error: ChannelRefused) -> None:
        """Note that WeChat refused to give a token."""

    @abstractmethod
    def refusal(self) -> ChannelRefused | None:
        """Return the refusal that was noted last, None if all is well."""

    def get(self) -> str:
        """Return a usable token. Raises ChannelRefused, WeChatUnavailable."""
        row = self.row()
        now = timezone.now()
        if not self._is_due(row, now):
            return row.value
        if renewed := self._renew_row(row, force=False):
            return renewed
        if self._is_ours(row) and row.expires_at and row.expires_at > now:
            return row.value  # somebody is at it; the old one lives on meanwhile
        return self._wait_for_another(row)

    def ask(self) -> None:
        """Ask WeChat even if we hold a token, not by force. Raises as `get` does."""
        row = self.row()
        if not self._renew_row(row, force=False):
            self._wait_for_another(row)

    def renew(self, refused: str) -> str:
        """Return another token than `refused`. Raises as `get` does.

        Called with a token that was replaced meanwhile, it just returns the new one:
        hundreds of calls may have been under way with the old one.
        """
        row = self.row()
        if row.value != refused:
            return self.get()
        if self._is_due(row, timezone.now()):
            # It has ended, so it is refused by right: no suspicion, no force at first.
            if (renewed := self.get()) != refused:
                return renewed
            row = self.row()
        was_forced = row.forced_generation == row.generation
        if (
            was_forced
            and row.obtained_at
            and timezone.now() - row.obtained_at < FORCED_AND_REFUSED
        ):
            error = ChannelRefused(
                "WeChat refuses even the access token it has just given.", 40001
            )
            self.refused(error)
            raise error
        renewed = self._renew_row(row, force=True)
        return renewed or self._wait_for_another(row)

    def _is_ours(self, row: LeasedToken) -> bool:
        """Whether the token was got with the credentials we have now."""
        return bool(row.value) and row.credentials == self.credentials()

    def _is_due(self, row: LeasedToken, now: datetime) -> bool:
        if not self._is_ours(row) or row.expires_at is None or row.obtained_at is None:
            return True
        life = row.expires_at - row.obtained_at
        return row.expires_at - now < min(RENEW_BEFORE, life / RENEW_SHARE)

    def _renew_row(self, seen: LeasedToken, *, force: bool) -> str:
        """Ask WeChat for a token, if nobody else does; "" otherwise."""
        now, renewer = timezone.now(), str(uuid.uuid4())
        free = Q(renewing_until__isnull=True) | Q(renewing_until__lt=now)
        if (
            not self.rows()
            .filter(free, generation=seen.generation)
            .update(renewing_until=now + LEASE, renewer=renewer)
        ):
            return ""
        mine = self.rows().filter(renewer=renewer)
        # Counted from before the call, so that WeChat's end of it is never before ours.
        asked = timezone.now()
        try:
            token = self.fetch(force)
        except WeChatError as error:
            # Not ours any more: the token was replaced under our hands, so that what
            # WeChat says of the old one is old news.
            if mine.update(renewing_until=None) and isinstance(error, ChannelRefused):
                self.refused(error)
            raise
        if force and token.value == seen.value:
            # Counts as this token's forced refresh: the next one in vain is an error.
            mine.update(
                renewing_until=None,
                obtained_at=timezone.now(),
                forced_generation=seen.generation,
            )
            raise WeChatUnavailable(self.same_again)
        with transaction.atomic():
            kept = mine.update(
                value=token.value,
                credentials=self.credentials(),
                obtained_at=asked,
                expires_at=asked + timedelta(seconds=token.expires_in_s),
                generation=F("generation") + 1,
                forced_generation=seen.generation + 1 if force else None,
                renewing_until=None,
            )
            if kept:
                self.got(token, timezone.now())
        log.info("new token %s forced=%s kept=%s", self, force, bool(kept))
        return token.value if kept else ""

    def _wait_for_another(self, seen: LeasedToken) -> str:
        """Wait for whoever renews the token; if it fails for them, it did for us."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            row = self.row()
            if row.generation != seen.generation:
                # Taken away: what it is got with is another now, or withdrawn.
                return row.value or self._get_anew()
            if row.renewing_until is None or row.renewing_until < timezone.now():
                break
            time.sleep(TURN_S)
        if refusal := self.refusal():
            raise refusal
        raise WeChatUnavailable("Another process could not get an access token.")

    def _get_anew(self) -> str:
        """Return a token by what there is now to get it with. Raises as `get` does."""
        if refusal := self.refusal():
            raise refusal
        return self.get()


def lock(rows: models.QuerySet[Any]) -> None:
    """Lock a token's row before what goes with it, in the order renewing does, so that
    neither waits for the other for ever. Inside a transaction only."""
    list(rows.select_for_update().values_list("pk", flat=True))


def hold(rows: models.QuerySet[Any], token: Token, credentials: str) -> None:
    """Store a token that came without being asked for: with an authorisation.

    Whoever is renewing the one before loses the lease, and with it its answer.
    """
    got = timezone.now()
    rows.update(
        value=token.value,
        credentials=credentials,
        obtained_at=got,
        expires_at=got + timedelta(seconds=token.expires_in_s),
        generation=F("generation") + 1,
        forced_generation=None,
        renewing_until=None,
        renewer="",
    )


def drop(rows: models.QuerySet[Any]) -> None:
    """Forget a token; whoever is renewing it loses the lease."""
    rows.update(
        value="",
        expires_at=None,
        generation=F("generation") + 1,
        renewing_until=None,
        renewer="",
    )
