"""The doctor: what works between a channel and WeChat, and what to do where not.

What a check found is kept untranslated, since whoever reads it later may read another
language than whoever ran it.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

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


class Sentence(NamedTuple):
    """A sentence to be translated, then filled."""

    text: str
    values: dict[str, Any] = {}  # never changed

    def __str__(self) -> str:
        return gettext(self.text) % self.values if self.values else gettext(self.text)


class Found(NamedTuple):
    """A Finding before its translation; this is what the channel's row keeps."""

    check: str
    level: Level
    detail: list[Sentence]
    fix: list[Sentence] = []  # never changed

    def told(self) -> Finding:
        return Finding(self.check, self.level, _say(self.detail), _say(self.fix))


class Refusal(NamedTuple):
    """A WeChat error for people: what happened, what to do (may be empty), and WeChat's
    own words."""

    meaning: str
    fix: str
    words: str

    @property
    def detail(self) -> str:
        """What happened and WeChat's words, in one line."""
        words = Sentence(_("WeChat's words: %(words)s"), {"words": self.words})
        return f"{self.meaning} {words}"


def refusal(error: WeChatError) -> Refusal:
    """Return what `error` means for an operator, with the address to whitelist."""
    meaning, fix = _explained(error)
    return Refusal(str(meaning), _say(fix), str(error))


def check(channel: Channel) -> list[Finding]:
    """Look at everything of `channel`, keep the findings on its row and return them.

    Asks WeChat up to four times; takes seconds at worst. Never raises WeChatError.
    """
    found = list(_look(channel))
    channel.checked_at = timezone.now()
    channel.findings = found  # tuples become lists in JSON
    channel.save(update_fields=["checked_at", "findings"])
    return [each.told() for each in found]


def findings(channel: Channel) -> list[Finding]:
    """Return what the last check found, in the language of whoever reads now."""
    return [
        Found(
            check,
            level,
            [Sentence(*sentence) for sentence in detail],
            [Sentence(*sentence) for sentence in fix],
        ).told()
        for check, level, detail, fix in channel.findings
    ]


def _say(sentences: Iterable[Sentence]) -> str:
    # Chinese puts no space after its full stop.
    return " ".join(map(str, sentences)).replace("。 ", "。")


def _explained(error: WeChatError) -> tuple[Sentence, list[Sentence]]:
    """Return (what happened, what to do)."""
    code = explain(error.errcode)
    fix = []
    if ip := requested_ip(error.errmsg):
        fix.append(Sentence(_("The address is %(ip)s."), {"ip": ip}))
    if code is not None:
        meaning = Sentence(code.meaning)
        if code.advice:
            fix.append(Sentence(code.advice))
    elif isinstance(error, WeChatUnavailable):
        meaning = Sentence(_("WeChat cannot be reached."))
        fix.append(
            Sentence(
                _("Try again later. If it stays so, look at this server's network.")
            )
        )
    else:
        meaning = Sentence(_("WeChat refused for a reason we do not know."))
    return meaning, fix


def _refused(check: str, level: Level, error: WeChatError) -> Found:
    meaning, fix = _explained(error)
    words = Sentence(_("WeChat's words: %(words)s"), {"words": str(error)})
    return Found(check, level, [meaning, words], fix)


def _look(channel: Channel) -> Iterator[Found]:
    if not channel.enabled:
        yield Found(
            "enabled",
            "warn",
            [Sentence(_("The channel is disabled: nothing is sent."))],
            [Sentence(_("Enable it when it shall send again."))],
        )
    token = _token(channel)
    yield token
    if token.level != "bad":
        yield _templates(channel)
        yield _quota(channel)
    yield _address(channel)
    yield _callback(channel)
    yield _clock()


def _token(channel: Channel) -> Found:
    """Asked for anew, not taken from the row: a token already held goes on working
    after the secret or the whitelist has changed."""
    try:
        tokens.ask(channel)
    except WeChatError as error:
        return _refused("token", "bad", error)
    return Found("token", "ok", [Sentence(_("WeChat gives an access token."))])


def _templates(channel: Channel) -> Found:
    try:
        count = len(channel.client().templates())
    except WeChatError as error:
        return _refused("templates", "bad", error)
    detail = Sentence(
        _("%(count)d of %(limit)d templates are in use."),
        {"count": count, "limit": TEMPLATE_LIMIT},
    )
    if not count:
        fix = _("Add a template in WeChat's console under Template messages.")
    elif channel.templates_refreshed_at is None:
        fix = _("Refresh the templates to use them here.")
    else:
        return Found("templates", "ok", [detail])
    return Found("templates", "warn", [detail], [Sentence(fix)])


def _quota(channel: Channel) -> Found:
    try:
        quota = channel.client().quota(SEND_PATH)
    except WeChatError as error:
        # Worth knowing, no reason for a channel not to send.
        return _refused("quota", "warn", error)
    detail = Sentence(
        _("%(used)d of %(daily_limit)d messages were sent today."),
        {"used": quota.used, "daily_limit": quota.daily_limit},
    )
    if quota.daily_limit and not quota.remain:
        fix = Sentence(_("The quota starts anew at midnight, China time."))
        return Found("quota", "warn", [detail], [fix])
    return Found("quota", "ok", [detail])


def _address(channel: Channel) -> Found:
    """Whether WeChat could reach the address it shall push to."""
    address = urlsplit(channel.callback_url)
    usual = {"http": 80, "https": 443}[address.scheme]
    if not _is_sandboxed() and _is_private(address.hostname or ""):
        detail = Sentence(
            _("WeChat cannot reach %(host)s: it is an address of this network only."),
            {"host": address.hostname},
        )
        fix = _("Set PUBLIC_URL to the address under which the internet reaches us.")
    elif not _is_sandboxed() and (address.port or usual) != usual:
        detail = Sentence(_("WeChat pushes to port 80 (http) and 443 (https) only."))
        fix = _("Set PUBLIC_URL to an address on one of these ports.")
    else:
        detail = Sentence(
            _("WeChat shall push to %(url)s."), {"url": channel.callback_url}
        )
        return Found("address", "ok", [detail])
    return Found("address", "warn", [detail], [Sentence(fix)])


def _callback(channel: Channel) -> Found:
    if channel.last_push_at:
        when = timezone.localtime(channel.last_push_at).strftime("%Y-%m-%d %H:%M")
        detail = Sentence(_("WeChat pushed last at %(when)s."), {"when": when})
        return Found("callback", "ok", [detail])
    if channel.callback_verified_at:
        verified = _("WeChat has verified our address; it has pushed nothing yet.")
        return Found("callback", "ok", [Sentence(verified)])
    unverified = _("WeChat has not verified our address: receipts will not arrive.")
    fix = _(
        "Enter address, Token and EncodingAESKey in WeChat's console as this channel's"
        " page says, and press Submit there."
    )
    return Found("callback", "warn", [Sentence(unverified)], [Sentence(fix)])


def _clock() -> Found:
    asked = timezone.now()
    try:
        told = server_time(settings.WECHAT_API_BASE)
    except WeChatError as error:
        return _refused("clock", "warn", error)
    if told is None:
        return Found("clock", "warn", [Sentence(_("WeChat does not tell the time."))])
    # The header has whole seconds, and the answer took a moment.
    middle = asked + (timezone.now() - asked) / 2
    off = abs(middle - told)
    detail = Sentence(
        _("Our clock and WeChat's differ by %(seconds)d seconds."),
        {"seconds": round(off.total_seconds())},
    )
    if off < CLOCK_WARN:
        return Found("clock", "ok", [detail])
    level: Level = "bad" if off > CLOCK_BAD else "warn"
    fix = Sentence(_("Set this server's clock (NTP)."))
    return Found("clock", level, [detail], [fix])


def _is_sandboxed() -> bool:
    """Whether WeChat is a stand-in on this very network."""
    return _is_private(urlsplit(settings.WECHAT_API_BASE).hostname or "")


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        # A name without a dot (localhost, a container) exists on this network only.
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))
