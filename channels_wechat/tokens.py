"""Where a channel's access token comes from: by AppID and AppSecret, or through the
third-party platform. Whoever needs one asks here and need not know which."""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from .models import AccessToken, Channel
from .platform_tokens import AuthorizerSource
from .token_leases import RENEW_BEFORE, LeasedSource
from .wechat.client import Token, TokenSource, fetch_stable_token
from .wechat.errors import ChannelRefused

log = logging.getLogger(__name__)


def source(channel: Channel) -> TokenSource:
    """Return what hands out the channel's access token."""
    return _source(channel)


def _source(channel: Channel) -> LeasedSource:
    return AuthorizerSource(channel) if channel.is_authorised else _OwnSource(channel)


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
    _source(channel).ask()


def current(channel: Channel) -> tuple[str, int]:
    """Return the channel's access token and the seconds it still lives, for other
    systems of the enterprise. Raises ChannelRefused, WeChatUnavailable."""
    token = _source(channel).get()
    row = AccessToken.objects.get(channel=channel)
    assert row.expires_at is not None
    return token, max(0, int((row.expires_at - timezone.now()).total_seconds()))


class _OwnSource(LeasedSource):
    """By AppID and AppSecret."""

    same_again = (
        "WeChat gives the same access token again; it forces a new one only every 30 "
        "seconds and 20 times a day."
    )

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    def __str__(self) -> str:
        return f"channel={self.channel.code}"

    def rows(self) -> QuerySet[Any]:
        return AccessToken.objects.filter(channel=self.channel)

    def row(self) -> AccessToken:
        row, _created = AccessToken.objects.get_or_create(channel=self.channel)
        return row

    def credentials(self) -> str:
        return self.channel.credentials

    def fetch(self, force: bool) -> Token:
        return fetch_stable_token(
            settings.WECHAT_API_BASE,
            self.channel.appid,
            self.channel.app_secret,
            force_refresh=force,
        )

    def got(self, token: Token, at: datetime) -> None:
        Channel.objects.filter(pk=self.channel.pk).update(
            token_ok_at=at, refused_at=None, refused_errcode=None, refused_errmsg=""
        )

    def refused(self, error: ChannelRefused) -> None:
        Channel.objects.filter(pk=self.channel.pk).update(
            refused_at=timezone.now(),
            refused_errcode=error.errcode,
            refused_errmsg=error.errmsg[:500],
        )

    def refusal(self) -> ChannelRefused | None:
        channel = Channel.objects.get(pk=self.channel.pk)
        if not channel.refused_at:
            return None
        return ChannelRefused(channel.refused_errmsg, channel.refused_errcode)
