"""The doctor: what works between a channel and WeChat, and what to do where not."""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from . import reaching, recognising, tokens
from .findings import Finding, Found, Level, Sentence, refused
from .findings import refusal as refusal  # for those who show a channel
from .models import Channel
from .platform_checking import grant_findings
from .wechat.client import server_time
from .wechat.errors import WeChatError

SEND_PATH = "/cgi-bin/message/template/send"
TEMPLATE_LIMIT = 25
# Pushes are believed for half an hour around our clock; warn long before.
CLOCK_WARN = timedelta(seconds=30)
CLOCK_BAD = timedelta(minutes=5)


def check(channel: Channel) -> list[Finding]:
    """Look at everything of `channel`, keep the findings on its row and return them.

    Asks WeChat up to five times; takes seconds at worst. Never raises WeChatError.
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


def _look(channel: Channel) -> Iterator[Found]:
    if not channel.enabled:
        yield Found(
            "enabled",
            "warn",
            [Sentence(_("The channel is disabled: nothing is sent."))],
            [Sentence(_("Enable it when it shall send again."))],
        )
    if channel.is_authorised:
        yield from grant_findings(channel)
    token = _token(channel)
    yield token
    if token.level != "bad":
        yield _templates(channel)
        yield _quota(channel)
        yield from recognising.finding(channel)
    yield reaching.finding(channel.callback_url)
    yield _callback(channel)
    yield _clock()


def _token(channel: Channel) -> Found:
    """Asked for anew, not taken from the row: a token already held goes on working
    after the secret or the whitelist has changed."""
    try:
        tokens.ask(channel)
    except WeChatError as error:
        return refused("token", "bad", error)
    return Found("token", "ok", [Sentence(_("WeChat gives an access token."))])


def _templates(channel: Channel) -> Found:
    try:
        count = len(channel.client().templates())
    except WeChatError as error:
        return refused("templates", "bad", error)
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
        return refused("quota", "warn", error)
    detail = Sentence(
        _("%(used)d of %(daily_limit)d messages were sent today."),
        {"used": quota.used, "daily_limit": quota.daily_limit},
    )
    if quota.daily_limit and not quota.remain:
        fix = Sentence(_("The quota starts anew at midnight, China time."))
        return Found("quota", "warn", [detail], [fix])
    return Found("quota", "ok", [detail])


def _callback(channel: Channel) -> Found:
    if channel.last_push_at:
        when = timezone.localtime(channel.last_push_at).strftime("%Y-%m-%d %H:%M")
        detail = Sentence(_("WeChat pushed last at %(when)s."), {"when": when})
        return Found("callback", "ok", [detail])
    if channel.callback_verified_at:
        verified = _("WeChat has verified our address; it has pushed nothing yet.")
        return Found("callback", "ok", [Sentence(verified)])
    if channel.is_authorised:
        # Nothing was set up for this account alone, so nothing can be wrong with it.
        quiet = _("WeChat has pushed nothing of this account yet.")
        return Found("callback", "ok", [Sentence(quiet)])
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
        return refused("clock", "warn", error)
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
