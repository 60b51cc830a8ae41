"""The doctor on the third-party platform, and on what an account has granted it."""

from collections.abc import Iterator

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from . import platforms, reaching
from .findings import Finding, Found, Level, Sentence, refused
from .granting import PROBLEMS, kind_problem
from .models import Authorization, Channel, Platform
from .platform_tokens import ComponentSource
from .wechat.errors import WeChatError, error_for

EVENT_PATH = "/wechattpp/event"
MESSAGE_PATH = "/wechattpp/$APPID$/message"

# What each permission set is for, and what does not work without it.
SETS = {
    7: (
        _("Mass sending and notifications"),
        _("Without set 7 no template message can be sent and no list refreshed."),
    ),
    89: (
        _("Subscribe-notifications of service accounts"),
        _("Without set 89 no subscribe-notification can be sent."),
    ),
    8: (_("Coupons"), _("Set 8 is recommended by the product guide.")),
    11: (
        _("Materials"),
        _("Without set 11 drafts and material cannot be managed."),
    ),
    1: (_("Messages"), _("Set 1 is needed for the release test only.")),
    2: (_("Users"), _("Without set 2 the list of followers cannot be read.")),
    4: (
        _("Web services"),
        _("Without set 4 openIDs cannot be collected on pages of the platform."),
    ),
}
LEAVE_TICKED = _(
    "Press Authorise again on the channel's page, and let the administrator leave this"
    " set ticked. If it is not offered, choose it for the platform on"
    " open.weixin.qq.com."
)
STATUSES = {
    14: _("WeChat has closed the account."),
    16: _("WeChat has banned the account."),
    18: _("WeChat has warned the account."),
    19: _("WeChat has frozen the account."),
}


def event_url() -> str:
    """Return what to enter as the authorisation event URL."""
    return f"{settings.PUBLIC_URL}{EVENT_PATH}"


def message_url() -> str:
    """Return what to enter as the message and event URL; $APPID$ is WeChat's."""
    return f"{settings.PUBLIC_URL}{MESSAGE_PATH}"


def check_platform() -> list[Finding]:
    """Ask WeChat for a component token, then look at everything of the platform.

    Takes seconds at worst. Never raises WeChatError.
    """
    if platforms.is_set_up():
        try:
            ComponentSource(platforms.current()).ask()
        except WeChatError as error:
            return [found.told() for found in _look(error)]
    return platform_findings()


def platform_findings() -> list[Finding]:
    """Return how the platform stands, without asking WeChat."""
    return [found.told() for found in _look(None)]


def _look(error: WeChatError | None) -> Iterator[Found]:
    missing = platforms.missing_settings()
    if missing:
        yield _missing(missing)
        return
    yield Found("settings", "ok", [Sentence(_("The four settings are there."))])
    platform = platforms.current()
    yield _ticket(platform)
    yield _token(platform, error)
    yield reaching.finding(event_url())


def _missing(missing: list[str]) -> Found:
    if len(missing) == 4:
        said = Sentence(_("No third-party platform is set up."))
    else:
        names = ", ".join(missing)
        said = Sentence(_("%(names)s: not set."), {"names": names})
    fix = _("Set all four WECHATTPP_… variables on every host, then start again.")
    return Found("settings", "bad", [said], [Sentence(fix)])


def _ticket(platform: Platform) -> Found:
    received = platform.ticket_received_at
    fix = [
        Sentence(
            _(
                "WeChat pushes one every ten minutes. Press Start pushing tickets, and"
                " look whether authorisation event URL, Token and key on"
                " open.weixin.qq.com are the ones of this page."
            )
        )
    ]
    if received is None:
        said = Sentence(_("No ticket has come yet: nothing of the platform works."))
        return Found("ticket", "bad", [said], fix)
    age = timezone.now() - received
    minutes = {"minutes": int(age.total_seconds()) // 60}
    said = Sentence(_("The last ticket came %(minutes)d minutes ago."), minutes)
    if age < platforms.TICKET_LATE:
        return Found("ticket", "ok", [said])
    level: Level = "bad" if age > platforms.TICKET_DEAD else "warn"
    return Found("ticket", level, [said], fix)


def _token(platform: Platform, error: WeChatError | None) -> Found:
    if error is None and platform.refused_at:
        error = error_for(platform.refused_errcode, platform.refused_errmsg)
    if error is not None:
        return refused("token", "bad", error)
    if platform.token_ok_at:
        said = _("WeChat gives a component token.")
    else:
        said = _("No component token was needed yet.")
    return Found("token", "ok", [Sentence(said)])


def grant_findings(channel: Channel) -> Iterator[Found]:
    """Yield what an authorised account allows us, and what it lacks."""
    granted = Authorization.objects.filter(channel=channel).first()
    if granted is None or granted.ended_at:
        said = _("The account has not authorised the platform, or withdrew it.")
        fix = _("Press Authorise again on the channel's page.")
        yield Found("authorization", "bad", [Sentence(said)], [Sentence(fix)])
        return
    if granted.platform.component_appid != settings.WECHATTPP_COMPONENT_APP_ID:
        said = _("The account authorised another platform than the one set up now.")
        fix = _("Press Authorise again on the channel's page.")
        yield Found("authorization", "bad", [Sentence(said)], [Sentence(fix)])
        return
    yield _kind(granted)
    yield from _sets(granted)


def _kind(granted: Authorization) -> Found:
    word = kind_problem(granted.service_type, granted.verify_type)
    if word:
        return Found("kind", "bad", [Sentence(PROBLEMS[word])])
    if granted.account_status in STATUSES:
        said = Sentence(STATUSES[granted.account_status])
        fix = _("Read the notice in WeChat's console.")
        return Found("kind", "warn", [said], [Sentence(fix)])
    said = Sentence(_("A verified service account."))
    return Found("kind", "ok", [said])


def _sets(granted: Authorization) -> Iterator[Found]:
    have = granted.permission_sets
    missing = platforms.missing_sets(have, platforms.REQUIRED)
    for one in missing:
        yield Found("sets", "bad", [Sentence(SETS[one][1])], [Sentence(LEAVE_TICKED)])
    for one in platforms.missing_sets(have, platforms.RECOMMENDED):
        yield Found("sets", "warn", [Sentence(SETS[one][1])])
    if not missing:
        said = _("Everything that is needed to send was granted.")
        yield Found("sets", "ok", [Sentence(said)])
