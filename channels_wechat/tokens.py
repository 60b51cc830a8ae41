"""One owner of each channel's access token, over all threads, processes and hosts.

The token is a row. Whoever finds it about to end takes the row's lease and asks WeChat;
everyone else goes on with the old one while it lives, or waits for the new one. A token
that WeChat refuses is replaced by force once; a forced one refused as well is an
error for people to see, never a loop.
"""

import logging
import time
import uuid
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from .models import AccessToken, Channel
from .wechat.client import Token, TokenSource, fetch_stable_token
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


def source(channel: Channel) -> TokenSource:
    """Return what hands out the channel's access token."""
    return _Source(channel)


def ending(at: datetime | None = None) -> list[Channel]:
    """Return enabled channels that hold a token which ends soon: beat renews them, so
    that no message has to wait for it."""
    soon = (at or timezone.now()) + RENEW_BEFORE + timedelta(minutes=5)
    return list(
        Channel.objects.filter(
            enabled=True, refused_at__isnull=True, access_token__expires_at__lt=soon
        )
    )


def ask(channel: Channel) -> None:
    """Ask WeChat for the channel's token even if we hold one, not by force: this is
    what tells whether AppSecret and IP whitelist are right, which a held token does
    not. Raises ChannelRefused, WeChatUnavailable."""
    _Source(channel).ask()


def current(channel: Channel) -> tuple[str, int]:
    """Return the channel's access token and the seconds it still lives, for other
    systems of the enterprise. Raises ChannelRefused, WeChatUnavailable."""
    token = _Source(channel).get()
    row = AccessToken.objects.get(channel=channel)
    assert row.expires_at is not None
    return token, max(0, int((row.expires_at - timezone.now()).total_seconds()))


class _Source:
    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    def get(self) -> str:
        """Return a usable token. Raises ChannelRefused, WeChatUnavailable."""
        row = self._row()
        now = timezone.now()
        if not self._is_due(row, now):
            return row.value
        if renewed := self._renew_row(row, force=False):
            return renewed
        if self._is_ours(row) and row.expires_at and row.expires_at > now:
            return row.value  # somebody is at it; the old one lives on meanwhile
        return self._wait_for_another(row)

    def ask(self) -> None:
        row = self._row()
        if not self._renew_row(row, force=False):
            self._wait_for_another(row)

    def renew(self, refused: str) -> str:
        """Return another token than `refused`. Raises as `get` does.

        Called with a token that was replaced meanwhile, it just returns the new one:
        hundreds of calls may have been under way with the old one.
        """
        row = self._row()
        if row.value != refused:
            return self.get()
        was_forced = row.forced_generation == row.generation
        if (
            was_forced
            and row.obtained_at
            and timezone.now() - row.obtained_at < FORCED_AND_REFUSED
        ):
            error = ChannelRefused(
                "WeChat refuses even the access token it has just given.", 40001
            )
            _note_refusal(self.channel, error)
            raise error
        renewed = self._renew_row(row, force=True)
        return renewed or self._wait_for_another(row)

    def _row(self) -> AccessToken:
        row, _created = AccessToken.objects.get_or_create(channel=self.channel)
        return row

    def _is_ours(self, row: AccessToken) -> bool:
        """Whether the token was got with the AppID and AppSecret we have now."""
        return bool(row.value) and row.credentials == self.channel.credentials

    def _is_due(self, row: AccessToken, now: datetime) -> bool:
        if not self._is_ours(row) or row.expires_at is None or row.obtained_at is None:
            return True
        life = row.expires_at - row.obtained_at
        return row.expires_at - now < min(RENEW_BEFORE, life / RENEW_SHARE)

    def _renew_row(self, seen: AccessToken, *, force: bool) -> str:
        """Ask WeChat for a token, if nobody else does; "" otherwise."""
        now, renewer = timezone.now(), str(uuid.uuid4())
        free = Q(renewing_until__isnull=True) | Q(renewing_until__lt=now)
        row = AccessToken.objects.filter(channel=self.channel)
        if not row.filter(free, generation=seen.generation).update(
            renewing_until=now + LEASE, renewer=renewer
        ):
            return ""
        mine = row.filter(renewer=renewer)
        try:
            token = self._fetch(force)
        except WeChatError as error:
            mine.update(renewing_until=None)
            if isinstance(error, ChannelRefused):
                _note_refusal(self.channel, error)
            raise
        if force and token.value == seen.value:
            # Counts as this token's forced refresh: the next one in vain is an error.
            mine.update(
                renewing_until=None,
                obtained_at=timezone.now(),
                forced_generation=seen.generation,
            )
            raise WeChatUnavailable(
                "WeChat gives the same access token again; it forces a new one only "
                "every 30 seconds and 20 times a day."
            )
        got = timezone.now()
        mine.update(
            value=token.value,
            credentials=self.channel.credentials,
            obtained_at=got,
            expires_at=got + timedelta(seconds=token.expires_in_s),
            generation=F("generation") + 1,
            forced_generation=seen.generation + 1 if force else None,
            renewing_until=None,
        )
        Channel.objects.filter(pk=self.channel.pk).update(
            token_ok_at=got, refused_at=None, refused_errcode=None, refused_errmsg=""
        )
        log.info("new access token channel=%s forced=%s", self.channel.code, force)
        return token.value

    def _fetch(self, force: bool) -> Token:
        return fetch_stable_token(
            settings.WECHAT_API_BASE,
            self.channel.appid,
            self.channel.app_secret,
            force_refresh=force,
        )

    def _wait_for_another(self, seen: AccessToken) -> str:
        """Wait for whoever renews the token; if it fails for them, it did for us."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            row = self._row()
            if row.generation != seen.generation:
                return row.value
            if row.renewing_until is None or row.renewing_until < timezone.now():
                break
            time.sleep(TURN_S)
        channel = Channel.objects.get(pk=self.channel.pk)
        if channel.refused_at:
            raise ChannelRefused(channel.refused_errmsg, channel.refused_errcode)
        raise WeChatUnavailable("Another process could not get an access token.")


def _note_refusal(channel: Channel, error: ChannelRefused) -> None:
    Channel.objects.filter(pk=channel.pk).update(
        refused_at=timezone.now(),
        refused_errcode=error.errcode,
        refused_errmsg=error.errmsg[:500],
    )
