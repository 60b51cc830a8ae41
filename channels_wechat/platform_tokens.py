"""The platform's component token, and the access tokens of accounts that authorised it.

An account's refresh token is stored in the same transaction as the access token it came
with. A lost or replaced one (61023) is fetched from the platform's list of accounts;
what is not found there has to be authorised again.
"""

import logging
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from . import platforms
from .models import AccessToken, Authorization, Channel, Platform, PlatformEvent
from .token_leases import LeasedSource
from .wechat.client import Token
from .wechat.component import (
    AuthorizerToken,
    Component,
    fetch_component_token,
    start_push_ticket,
)
from .wechat.errors import ChannelRefused, TicketMissing, WeChatError

log = logging.getLogger(__name__)

REFRESH_TOKEN_DEAD = 61023
NOT_AUTHORISED = 61003


def component() -> Component:
    """Return the client of the platform's own calls.

    Raises ChannelRefused when no platform is set up, or another one than before.
    """
    if missing := platforms.missing_settings():
        raise ChannelRefused(f"{', '.join(missing)} not set.")
    return Component(
        settings.WECHAT_API_BASE,
        settings.WECHATTPP_COMPONENT_APP_ID,
        ComponentSource(platforms.current()),
        on_refusal=platforms.heard,
    )


def ask_for_tickets(platform: Platform) -> None:
    """Ask WeChat to push tickets again. Raises WeChatError classes."""
    Platform.objects.filter(pk=platform.pk).update(push_asked_at=timezone.now())
    try:
        start_push_ticket(
            settings.WECHAT_API_BASE,
            platform.component_appid,
            settings.WECHATTPP_COMPONENT_APP_SECRET,
        )
    except WeChatError as error:
        platforms.heard(error)
        raise
    platforms.note(platform, PlatformEvent.Kind.PUSH_ASKED)


def ask_when_late() -> bool:
    """Ask WeChat for tickets when the last one is late; return whether we did.

    At most every ten minutes over all processes. Raises WeChatError classes.
    """
    if not platforms.is_set_up():
        return False
    platform, now = platforms.current(), timezone.now()
    received = platform.ticket_received_at
    if received and now - received < platforms.TICKET_LATE:
        return False
    rows = Platform.objects.filter(pk=platform.pk)
    never = rows.filter(push_asked_at=None)
    long_ago = rows.filter(push_asked_at__lt=now - platforms.ASK_EVERY)
    if not (never | long_ago).update(push_asked_at=now):
        return False
    ask_for_tickets(platform)
    return True


class ComponentSource(LeasedSource):
    """The platform's own token, by AppSecret and ticket."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def __str__(self) -> str:
        return f"platform={self.platform.component_appid}"

    def rows(self) -> QuerySet[Any]:
        return Platform.objects.filter(pk=self.platform.pk)

    def row(self) -> Platform:
        return Platform.objects.get(pk=self.platform.pk)

    def credentials(self) -> str:
        return platforms.credentials()

    def fetch(self, force: bool) -> Token:
        row = self.row()
        if not row.ticket:
            # Not WeChat's words, but what it would say.
            raise TicketMissing("No component_verify_ticket was pushed yet.", 61006)
        try:
            return fetch_component_token(
                settings.WECHAT_API_BASE,
                row.component_appid,
                settings.WECHATTPP_COMPONENT_APP_SECRET,
                row.ticket,
            )
        except WeChatError as error:
            platforms.heard(error)
            raise

    def got(self, token: Token, at: datetime) -> None:
        row = self.row()
        if row.refused_at:
            # What the platform was refused for stood in every account's way.
            Channel.objects.filter(
                authorization=Channel.By.PLATFORM, refused_errcode=row.refused_errcode
            ).update(refused_at=None, refused_errcode=None, refused_errmsg="")
        self.rows().update(
            token_ok_at=at, refused_at=None, refused_errcode=None, refused_errmsg=""
        )

    def refused(self, error: ChannelRefused) -> None:
        self.rows().update(
            refused_at=timezone.now(),
            refused_errcode=error.errcode,
            refused_errmsg=error.errmsg[:500],
        )

    def refusal(self) -> ChannelRefused | None:
        row = self.row()
        if not row.refused_at:
            return None
        return ChannelRefused(row.refused_errmsg, row.refused_errcode)


class AuthorizerSource(LeasedSource):
    """An account's token, by its refresh token."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._number = 0  # of the authorisation that the last fetch used

    def __str__(self) -> str:
        return f"channel={self.channel.code} by=platform"

    def rows(self) -> QuerySet[Any]:
        return AccessToken.objects.filter(channel=self.channel)

    def row(self) -> AccessToken:
        row, _created = AccessToken.objects.get_or_create(channel=self.channel)
        return row

    def credentials(self) -> str:
        return self.channel.credentials

    def fetch(self, force: bool) -> AuthorizerToken:
        granted = Authorization.objects.filter(
            channel=self.channel,
            platform__component_appid=settings.WECHATTPP_COMPONENT_APP_ID,
            ended_at=None,
        ).first()
        if granted is None:
            # Known without a call, which would only say the same.
            raise ChannelRefused(
                "The account has not authorised this platform.", NOT_AUTHORISED
            )
        self._number = granted.number
        appid, platform = self.channel.appid, component()
        try:
            return platform.authorizer_token(appid, granted.refresh_token)
        except ChannelRefused as refused:
            if refused.errcode != REFRESH_TOKEN_DEAD:
                raise
            found = listed_refresh_token(platform, appid)
            if found in {"", granted.refresh_token}:
                raise
        log.info("refresh token recovered channel=%s", self.channel.code)
        return platform.authorizer_token(appid, found)

    def got(self, token: Token, at: datetime) -> None:
        assert isinstance(token, AuthorizerToken)
        Authorization.objects.filter(
            channel=self.channel, number=self._number, ended_at=None
        ).update(refresh_token=token.refresh_token)
        Channel.objects.filter(pk=self.channel.pk).update(
            token_ok_at=at, refused_at=None, refused_errcode=None, refused_errmsg=""
        )

    def refused(self, error: ChannelRefused) -> None:
        platforms.refuse(self.channel, error)

    def refusal(self) -> ChannelRefused | None:
        channel = Channel.objects.get(pk=self.channel.pk)
        if not channel.refused_at:
            return None
        return ChannelRefused(channel.refused_errmsg, channel.refused_errcode)


def listed_refresh_token(platform: Component, appid: str) -> str:
    """Return the account's refresh token from WeChat's list, "" when it is not in it.

    Raises WeChatError classes.
    """
    for authorizer in platform.authorizers():
        if authorizer.appid == appid:
            return authorizer.refresh_token
    return ""
