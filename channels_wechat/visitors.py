"""People who open a page of ours inside WeChat, whichever way their account is
connected."""

from django.conf import settings
from django.http import HttpRequest

from .models import Channel
from .wechat.errors import ChannelRefused
from .wechat.web_authorisation import Visitor, authorise_url, fetch_visitor


def is_in_wechat(request: HttpRequest) -> bool:
    """Whether the page is open inside WeChat: nowhere else can it ask who is there."""
    return "micromessenger" in request.headers.get("User-Agent", "").lower()


def address_to_ask(channel: Channel, redirect_uri: str, state: str) -> str:
    """Return where to send a visitor so that WeChat sends them back with a code."""
    return authorise_url(settings.WECHAT_OPEN_BASE, channel.appid, redirect_uri, state)


def visitor(channel: Channel, code: str) -> Visitor:
    """Exchange the code a visitor came back with.

    Raises CodeRefused (begin anew), ChannelRefused (the operator's move),
    WeChatUnavailable.
    """
    if not channel.app_secret:
        raise ChannelRefused("There is no AppSecret.")
    return fetch_visitor(
        settings.WECHAT_API_BASE, channel.appid, channel.app_secret, code
    )
