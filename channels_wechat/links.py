"""Links: pages on which an account's administrator authorises it for one channel.

The page is ours, because WeChat's works only when a page of the platform's login domain
leads there; whoever has its signed address may open it, so that it can be sent to the
administrator. Each visit is given a pre-auth code that lives long enough.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.core import signing
from django.utils import timezone
from django.utils.translation import gettext as _

from . import platforms
from .models import AuthorizationCode, Channel, PlatformLink, PreAuthCode
from .platform_tokens import component
from .wechat.component import mobile_url, pc_url

if TYPE_CHECKING:
    from django.contrib.auth.models import User

LINK_LIFE: Final = timedelta(days=1)
# A visit wants this much time to find the phone and scan.
VISIT: Final = timedelta(minutes=4)

# The dot needs no escaping anywhere; WeChat's phone page was seen to damage queries,
# so the state goes into the path.
_signer = signing.Signer(salt="wechattpp link", sep=".")


@dataclass(frozen=True)
class Addresses:
    """Where to go from a link's page, and until when; `code` is the row of the visit's
    pre-auth code."""

    pc_url: str
    mobile_url: str
    expires_at: datetime
    code: int


def name_problem(name: str, channel: Channel | None) -> str:
    """Say why a channel to be cannot have this name, "" if it can; `channel` is the one
    that a link is to authorise again."""
    if name and channel is None and Channel.objects.filter(name=name).exists():
        return _("Another channel has this name.")
    return ""


def make_link(
    code: str, name: str, channel: Channel | None = None, by: "User | None" = None
) -> PlatformLink:
    """Return a new link for the channel to be, or for `channel` to authorise again."""
    return PlatformLink.objects.create(
        platform=platforms.current(),
        token=secrets.token_hex(16),
        code=code,
        name=name,
        channel=channel,
        created_by=by,
        expires_at=timezone.now() + LINK_LIFE,
    )


def state_of(link: PlatformLink) -> str:
    """Return the signed word that stands for the link in addresses."""
    return _signer.sign(link.token)


def page_url(link: PlatformLink) -> str:
    """Return the address of the link's page; it opens without a login."""
    return f"{settings.PUBLIC_URL}/wechattpp/link/{state_of(link)}"


def find(state: str) -> PlatformLink | None:
    """Return the link that a signed word stands for, None for any other word."""
    try:
        token = _signer.unsign(state)
    except signing.BadSignature:
        return None
    links = PlatformLink.objects.select_related("channel", "platform")
    return links.filter(token=token).first()


def is_open(link: PlatformLink) -> bool:
    """Whether the link can still be used."""
    return link.state != PlatformLink.State.DONE and link.expires_at > timezone.now()


def addresses(link: PlatformLink) -> Addresses:
    """Return WeChat's pages for this visit, with a code that lives long enough.

    Raises ChannelRefused, TicketMissing, WeChatUnavailable.
    """
    now = timezone.now()
    code = link.codes.filter(expires_at__gt=now + VISIT).order_by("-pk").first()
    if code is None:
        value, expires_in_s = component().pre_auth_code()
        code = PreAuthCode.objects.create(
            link=link,
            value=value,
            fingerprint=fingerprint(value),
            expires_at=now + timedelta(seconds=expires_in_s),
        )
    back = f"{settings.PUBLIC_URL}/wechattpp/authorized/{state_of(link)}"
    appid = link.channel.appid if link.channel else ""
    about = (link.platform.component_appid, code.value, back, appid)
    return Addresses(
        pc_url(settings.WECHAT_MP_BASE, *about),
        mobile_url(settings.WECHAT_OPEN_BASE, *about),
        code.expires_at,
        code.pk,
    )


def spend(link: PlatformLink) -> None:
    """Note that an authorisation came of the link: each pre-auth code works once, so
    another attempt needs another one."""
    now = timezone.now()
    link.codes.filter(expires_at__gt=now).update(expires_at=now)


def is_stale(link: PlatformLink, code: str) -> bool:
    """Whether an open page that shows the pre-auth code `code` (its row) leads nowhere
    any more, and would lead somewhere if it were opened anew."""
    if not code.isdecimal() or len(code) > 18 or not is_open(link):
        return False
    lives = link.codes.filter(pk=int(code), expires_at__gt=timezone.now())
    under_way = AuthorizationCode.objects.filter(
        link=link, state=AuthorizationCode.State.WAITING
    )
    return not lives.exists() and not under_way.exists()


def of_pre_auth_code(value: str) -> PlatformLink | None:
    """Return the link that a pre-auth code was made for."""
    code = PreAuthCode.objects.filter(fingerprint=fingerprint(value)).first()
    return code.link if code else None


def fingerprint(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
