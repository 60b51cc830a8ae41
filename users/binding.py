"""Which openID is whose, learned from the person: tickets, links, and binding itself.

The rules are those of an upload with the mode "add": a userid has one openID in a
channel, the later one counts; one openID may belong to several userids.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from channels_wechat.models import Channel

from . import merging, validators
from .models import BindingTicket, OpenID, Spent
from .rows import People, Person

TICKET_LIFE: Final = timedelta(minutes=5)
LINK_LIFE: Final = timedelta(days=7)
LINK_LIFE_AT_MOST: Final = timedelta(days=90)
LINKS_AT_ONCE: Final = 1000
_LINK: Final = "jums binding link"


class TicketRefused(ValueError):
    """Nobody was given this ticket, or it is used or too old: never told which."""


class LinkRefused(ValueError):
    """A link that cannot be used; `reason` is "forged", "expired" or "used"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Bound(NamedTuple):
    """What binding did. `others` have the same openID in this channel: one person with
    several userids, or several people at one phone."""

    outcome: Literal["new", "replaced", "unchanged"]
    others: list[str]


@dataclass(frozen=True)
class Exchanged:
    """What a ticket stood for; `bound` when a userid came with it."""

    channel: Channel
    openid: str
    bound: Bound | None


class Link(NamedTuple):
    """A link that carries a userid, opened and believed."""

    userid: str
    digest: str
    expires_at: datetime


def bind(channel: Channel, userid: str, openid: str) -> Bound:
    """Note that `openid` is how `channel` knows `userid`. Raises ValidationError."""
    validators.userid(userid)
    validators.openid(openid)
    with transaction.atomic():
        of_userid = OpenID.objects.filter(channel=channel, recipient__userid=userid)
        before = of_userid.values_list("openid", flat=True).first()
        person = Person(1, userid, channel.pk, openid, (), "", "")
        merging.merge(merging.gather(People.of([person]), "add"))
        same = OpenID.objects.filter(channel=channel, openid=openid)
        others = same.exclude(recipient__userid=userid).order_by("pk")
        userids = list(others.values_list("recipient__userid", flat=True)[:10])
    if before is None:
        return Bound("new", userids)
    return Bound("unchanged" if before == openid else "replaced", userids)


# -- tickets ---------------------------------------------------------------------------


def issue_ticket(channel: Channel, openid: str) -> str:
    """Return a ticket that the enterprise's server exchanges once, within minutes."""
    ticket = secrets.token_urlsafe(32)
    BindingTicket.objects.create(
        digest=_digest(ticket),
        channel=channel,
        openid=openid,
        expires_at=timezone.now() + TICKET_LIFE,
    )
    return ticket


def exchange(ticket: str, userid: str = "") -> Exchanged:
    """Return what the ticket stands for, and bind it to `userid` if there is one.

    Works once. Raises TicketRefused, or ValidationError for a bad userid, which leaves
    the ticket as it is.
    """
    if userid:
        validators.userid(userid)
    with transaction.atomic():
        valid = BindingTicket.objects.filter(
            digest=_digest(ticket), expires_at__gt=timezone.now()
        )
        row = valid.select_related("channel").first()
        # Whoever deletes the row has it: of two calls at once, one.
        if row is None or not BindingTicket.objects.filter(pk=row.pk).delete()[0]:
            raise TicketRefused
        bound = bind(row.channel, userid, row.openid) if userid else None
    return Exchanged(row.channel, row.openid, bound)


# -- links -----------------------------------------------------------------------------


def make_link(channel: Channel, userid: str, life: timedelta = LINK_LIFE) -> str:
    """Return the token of a link that binds whoever opens it to `userid`, once.

    Nothing is stored: a hundred thousand links are no burden. Raises ValidationError.
    """
    validators.userid(userid)
    content = {
        "c": channel.code,
        "u": userid,
        "x": int((timezone.now() + life).timestamp()),
        "i": secrets.token_urlsafe(6),
    }
    return signing.dumps(content, salt=_LINK)


def link_url(channel: Channel, userid: str, life: timedelta) -> str:
    """Return the address of such a link."""
    link = make_link(channel, userid, life)
    address = reverse("bind", args=[channel.code])
    return f"{settings.PUBLIC_URL}{address}?{urlencode({'link': link})}"


def read_link(channel: Channel, token: str) -> Link:
    """Return what a link says. Raises LinkRefused; that it was used tells `follow`."""
    try:
        content = signing.loads(token, salt=_LINK)
    except signing.BadSignature:
        raise LinkRefused("forged") from None
    if content["c"] != channel.code:
        raise LinkRefused("forged")
    expires_at = datetime.fromtimestamp(content["x"], UTC)
    if expires_at <= timezone.now():
        raise LinkRefused("expired")
    return Link(content["u"], _digest(token), expires_at)


def follow(channel: Channel, link: Link, openid: str) -> Bound:
    """Bind the visitor to the link's userid. The same visitor may come again; nobody
    else may. Raises LinkRefused("used")."""
    with transaction.atomic():
        if not spend(link.digest, link.expires_at):
            mine = OpenID.objects.filter(
                channel=channel, recipient__userid=link.userid, openid=openid
            )
            if not mine.exists():
                raise LinkRefused("used")
            return Bound("unchanged", [])
        return bind(channel, link.userid, openid)


# -- once ------------------------------------------------------------------------------


def spend(digest: str, expires_at: datetime) -> bool:
    """Whether this is the first use; of several at once, it is for one."""
    _row, is_first = Spent.objects.get_or_create(
        digest=digest, defaults={"expires_at": expires_at}
    )
    return is_first


def tidy() -> None:
    """Forget tickets and marks that have expired."""
    now = timezone.now()
    BindingTicket.objects.filter(expires_at__lt=now).delete()
    Spent.objects.filter(expires_at__lt=now).delete()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
