"""The doctor: what works between a channel and WeChat, and what to do where not.

Texts are translated when a check runs, into the language of whoever runs it.
"""

import ipaddress
from collections.abc import Iterator
from datetime import timedelta
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import tokens
from .models import Channel
from .wechat.client import server_time
from .wechat.errors import WeChatError, WeChatUnavailable, explain, requested_ip

Level = Literal["ok", "warn", "bad"]

SEND_PATH = "/cgi-bin/message/template/send"
TEMPLATE_LIMIT = 25
# Pushes are believed for half an hour around our clock; warn long before.
CLOCK_WARN = timedelta(seconds=30)
CLOCK_BAD = timedelta(minutes=5)


class Finding(NamedTuple):
    """One thing looked at. `check` is a stable word; `fix` may be empty."""

    check: str
    level: Level
    detail: str
    fix: str


class Refusal(NamedTuple):
    """A WeChat error for people: what happened, what to do (may be empty), and WeChat's
    own words."""

    meaning: str
    fix: str
    words: str

    @property
    def detail(self) -> str:
        """What happened and WeChat's words, in one line."""
        return _("%(meaning)s WeChat's words: %(words)s") % self._asdict()


def refusal(error: WeChatError) -> Refusal:
    """Return what `error` means for an operator, with the address to whitelist."""
    code = explain(error.errcode)
    ip = requested_ip(error.errmsg)
    if code is not None:
        meaning, fix = _(code.meaning), _(code.advice) if code.advice else ""
    elif isinstance(error, WeChatUnavailable):
        meaning = _("WeChat cannot be reached.")
        fix = _("Try again later. If it stays so, look at this server's network.")
    else:
        meaning, fix = _("WeChat refused for a reason we do not know."), ""
    if ip:
        fix = _("The address is %(ip)s.") % {"ip": ip} + (f" {fix}" if fix else "")
    return Refusal(meaning, fix, str(error))


def check(channel: Channel) -> list[Finding]:
    """Look at everything of `channel`, keep the findings on its row and return them.

    Asks WeChat up to four times; takes seconds at worst. Never raises WeChatError.
    """
    findings = list(_findings(channel))
    channel.checked_at = timezone.now()
    channel.findings = [finding._asdict() for finding in findings]
    channel.save(update_fields=["checked_at", "findings"])
    return findings


def _findings(channel: Channel) -> Iterator[Finding]:
    if not channel.enabled:
        yield Finding(
            "enabled",
            "warn",
            _("The channel is disabled: nothing is sent."),
            _("Enable it when it shall send again."),
        )
    token = _token(channel)
    yield token
    if token.level != "bad":
        yield _templates(channel)
        yield _quota(channel)
    yield _address(channel)
    yield _callback(channel)
    yield _clock()


def _token(channel: Channel) -> Finding:
    """Asked for anew, not taken from the row: a token already held goes on working
    after the secret or the whitelist has changed."""
    try:
        tokens.ask(channel)
    except WeChatError as error:
        told = refusal(error)
        return Finding("token", "bad", told.detail, told.fix)
    return Finding("token", "ok", _("WeChat gives an access token."), "")


def _templates(channel: Channel) -> Finding:
    try:
        count = len(channel.client().templates())
    except WeChatError as error:
        told = refusal(error)
        return Finding("templates", "bad", told.detail, told.fix)
    detail = ngettext(
        "%(count)d of %(limit)d templates is in use.",
        "%(count)d of %(limit)d templates are in use.",
        count,
    ) % {"count": count, "limit": TEMPLATE_LIMIT}
    if not count:
        fix = _("Add a template in WeChat's console under Template messages.")
        return Finding("templates", "warn", detail, fix)
    if channel.templates_refreshed_at is None:
        return Finding(
            "templates", "warn", detail, _("Refresh the templates to use them here.")
        )
    return Finding("templates", "ok", detail, "")


def _quota(channel: Channel) -> Finding:
    try:
        quota = channel.client().quota(SEND_PATH)
    except WeChatError as error:
        # Worth knowing, no reason for a channel not to send.
        told = refusal(error)
        return Finding("quota", "warn", told.detail, told.fix)
    detail = _("%(used)d of %(daily_limit)d messages were sent today.") % {
        "used": quota.used,
        "daily_limit": quota.daily_limit,
    }
    if quota.daily_limit and not quota.remain:
        fix = _("The quota starts anew at midnight, China time.")
        return Finding("quota", "warn", detail, fix)
    return Finding("quota", "ok", detail, "")


def _address(channel: Channel) -> Finding:
    """Whether WeChat could reach the address it shall push to."""
    address = urlsplit(channel.callback_url)
    detail = _("WeChat shall push to %(url)s.") % {"url": channel.callback_url}
    if not _is_sandboxed() and _is_private(address.hostname or ""):
        return Finding(
            "address",
            "warn",
            _("WeChat cannot reach %(host)s: it is an address of this network only.")
            % {"host": address.hostname},
            _("Set PUBLIC_URL to the address under which the internet reaches us."),
        )
    usual = {"http": 80, "https": 443}[address.scheme]
    if not _is_sandboxed() and (address.port or usual) != usual:
        return Finding(
            "address",
            "warn",
            _("WeChat pushes to port 80 (http) and 443 (https) only."),
            _("Set PUBLIC_URL to an address on one of these ports."),
        )
    return Finding("address", "ok", detail, "")


def _callback(channel: Channel) -> Finding:
    fix = _(
        "Enter address, Token and EncodingAESKey in WeChat's console as this channel's"
        " page says, and press Submit there."
    )
    if channel.last_push_at:
        when = date_format(
            timezone.localtime(channel.last_push_at), "SHORT_DATETIME_FORMAT"
        )
        return Finding(
            "callback", "ok", _("WeChat pushed last at %(when)s.") % {"when": when}, ""
        )
    if channel.callback_verified_at:
        return Finding(
            "callback",
            "ok",
            _("WeChat has verified our address; it has pushed nothing yet."),
            "",
        )
    return Finding(
        "callback",
        "warn",
        _("WeChat has not verified our address: receipts will not arrive."),
        fix,
    )


def _clock() -> Finding:
    asked = timezone.now()
    try:
        told = server_time(settings.WECHAT_API_BASE)
    except WeChatError as error:
        reason = refusal(error)
        return Finding("clock", "warn", reason.detail, reason.fix)
    if told is None:
        return Finding("clock", "warn", _("WeChat does not tell the time."), "")
    # The header has whole seconds, and the answer took a moment.
    middle = asked + (timezone.now() - asked) / 2
    off = abs(middle - told)
    detail = _("Our clock and WeChat's differ by %(seconds)d seconds.") % {
        "seconds": round(off.total_seconds())
    }
    if off < CLOCK_WARN:
        return Finding("clock", "ok", detail, "")
    level: Level = "bad" if off > CLOCK_BAD else "warn"
    return Finding("clock", level, detail, _("Set this server's clock (NTP)."))


def _is_sandboxed() -> bool:
    """Whether WeChat is a stand-in on this very network."""
    return _is_private(urlsplit(settings.WECHAT_API_BASE).hostname or "")


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        # A name without a dot (localhost, a container) exists on this network only.
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))
