"""People who open a page of ours inside WeChat, whichever way their account is
connected."""

from django.conf import settings
from django.http import HttpRequest

from . import platforms
from .models import Channel
from .platform_tokens import ComponentSource
from .wechat.errors import ChannelRefused, TokenRefused
from .wechat.web_authorisation import (
    Visitor,
    authorise_url,
    fetch_visitor,
    fetch_visitor_of_authorizer,
)


def is_in_wechat(request: HttpRequest) -> bool:
    """Whether the page is open inside WeChat: nowhere else can it ask who is there."""
    return "micromessenger" in request.headers.get("User-Agent", "").lower()


def address_to_ask(channel: Channel, redirect_uri: str, state: str) -> str:
    """Return where to send a visitor so that WeChat sends them back with a code."""
    through = settings.WECHATTPP_COMPONENT_APP_ID if channel.is_authorised else ""
    return authorise_url(
        settings.WECHAT_OPEN_BASE, channel.appid, redirect_uri, state, through
    )


def visitor(channel: Channel, code: str) -> Visitor:
    """Exchange the code a visitor came back with.

    Raises CodeRefused (begin anew), ChannelRefused (the operator's move),
    WeChatUnavailable.
    """
    if not channel.is_authorised:
        return fetch_visitor(
            settings.WECHAT_API_BASE, channel.appid, channel.app_secret, code
        )
    if missing := platforms.missing_settings():
        raise ChannelRefused(f"{', '.join(missing)} not set.")
    through = settings.WECHATTPP_COMPONENT_APP_ID
    tokens = ComponentSource(platforms.current())
    token = tokens.get()
    try:
        return _of_authorizer(channel, through, token, code)
    except TokenRefused:
        token = tokens.renew(token)
    try:
        return _of_authorizer(channel, through, token, code)
    except TokenRefused as refused:
        # A fresh token refused as well: never a loop.
        raise ChannelRefused(refused.errmsg, refused.errcode, refused.rid) from None


def _of_authorizer(channel: Channel, through: str, token: str, code: str) -> Visitor:
    return fetch_visitor_of_authorizer(
        settings.WECHAT_API_BASE, channel.appid, through, token, code
    )
