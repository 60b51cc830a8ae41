"""What lets a page of a channel use WeChat's JS-SDK: its ticket, and a signature."""

import hashlib
import secrets
import time
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import Channel, JsapiTicket
from .token_leases import LeasedSource
from .wechat.client import Token
from .wechat.errors import ChannelRefused
from .wechat.jssdk import sign

REAL_OPEN = "https://open.weixin.qq.com"
REAL_SCRIPTS = "https://res.wx.qq.com"
SCRIPT = "/open/js/jweixin-1.6.0.js"


class Signed(NamedTuple):
    """What `wx.config` of one page needs."""

    appid: str
    timestamp: int
    nonce: str
    signature: str


def signed(channel: Channel, url: str) -> Signed:
    """Return the signature of the page at `url`. Raises ChannelRefused, QuotaUsedUp,
    WeChatUnavailable."""
    ticket = _TicketSource(channel).get()
    now, nonce = int(time.time()), secrets.token_hex(8)
    return Signed(channel.appid, now, nonce, sign(ticket, nonce, now, url))


def address_of(request: HttpRequest) -> str:
    """Return the address of a page as its visitor's browser has it: under PUBLIC_URL,
    with the query to the letter (WeChat adds parameters when a page is passed on)."""
    query = request.META.get("QUERY_STRING", "")
    return f"{settings.PUBLIC_URL}{request.path}" + (f"?{query}" if query else "")


def script_url() -> str:
    """Return where WeChat's script is; a stand-in WeChat brings its own."""
    base = settings.WECHAT_OPEN_BASE.rstrip("/")
    return (REAL_SCRIPTS if base == REAL_OPEN else base) + SCRIPT


class _TicketSource(LeasedSource):
    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    def __str__(self) -> str:
        return f"jsapi ticket channel={self.channel.code}"

    def rows(self) -> QuerySet[Any]:
        return JsapiTicket.objects.filter(channel=self.channel)

    def row(self) -> JsapiTicket:
        row, _created = JsapiTicket.objects.get_or_create(channel=self.channel)
        return row

    def credentials(self) -> str:
        # The account's, whichever way we are allowed to ask for it.
        return hashlib.sha256(self.channel.appid.encode()).hexdigest()

    def fetch(self, force: bool) -> Token:
        return self.channel.client().jsapi_ticket()

    def got(self, token: Token, at: datetime) -> None:
        pass

    def refused(self, error: ChannelRefused) -> None:
        # What concerns the account its access token's source has noted already.
        pass

    def refusal(self) -> ChannelRefused | None:
        return None
