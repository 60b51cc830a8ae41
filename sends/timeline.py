"""Why did this person not get it? What happened to one person, newest first."""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

from django.utils import timezone

from templates_mgmt.models import Template
from users.models import OpenID, Recipient

from . import preflight, reporting
from .models import AcceptanceEntry, Delivery


@dataclass(frozen=True)
class Item:
    """One thing that happened. `what` is "bound", "followed", "unfollowed", "accepted"
    or "rejected" (a subscribe-notification, `template_id`, its title in `meaning`),
    "delivery" or "receipt"; `meaning` and `advice` are in the reader's language."""

    at: datetime
    what: str
    channel: str
    openid: str
    delivery: Delivery | None = None
    meaning: str = ""
    advice: str = ""
    template_id: str = ""


class Cursor(NamedTuple):
    """Go on with deliveries before this id, and other things before this time."""

    before_id: int
    before: datetime

    def encoded(self) -> str:
        """Return it as a text without meaning, for an address."""
        text = f"{self.before_id} {self.before.isoformat()}"
        return base64.urlsafe_b64encode(text.encode()).decode()

    @classmethod
    def decoded(cls, text: str) -> Self:
        """Return the cursor that `encoded` made. Raises ValueError for any other."""
        number, _space, moment = (
            base64.urlsafe_b64decode(text.encode()).decode().partition(" ")
        )
        cursor = cls(int(number), datetime.fromisoformat(moment))
        if not 0 < cursor.before_id < 2**63 or timezone.is_naive(cursor.before):
            raise ValueError(text)
        return cursor


class Page(NamedTuple):
    items: list[Item]
    next: Cursor | None


def exists(userid: str) -> bool:
    """Whether we know anything of the person: a recipient, or sends to a former one."""
    return (
        Recipient.objects.filter(userid=userid).exists()
        or Delivery.objects.filter(userid=userid).exists()
    )


def read(userid: str, cursor: Cursor | None = None) -> Page:
    """Return a page of what happened to the person; a few queries, all by index."""
    bindings = list(
        OpenID.objects.filter(recipient__userid=userid).select_related("channel")
    )
    openids = [binding.openid for binding in bindings]
    found = reporting.history(userid, openids, cursor.before_id if cursor else None)
    items = [item for row in found.rows for item in _of_delivery(row)]
    following = None
    if found.next:
        oldest = min(item.at for item in items if item.what == "delivery")
        following = Cursor(found.next, oldest)
    since, until = following and following.before, cursor and cursor.before
    items += [
        item
        for item in _of_bindings(bindings)
        if (until is None or item.at < until) and (since is None or item.at >= since)
    ]
    items += _of_choices(openids, since, until)
    items.sort(key=lambda item: item.at, reverse=True)
    return Page(items, following)


def _of_bindings(bindings: Iterable[OpenID]) -> Iterator[Item]:
    for one in bindings:
        yield Item(one.updated_at, "bound", one.channel.code, one.openid)
        if one.followed is not None and one.followed_at is not None:
            what = "followed" if one.followed else "unfollowed"
            yield Item(one.followed_at, what, one.channel.code, one.openid)


def _of_choices(
    openids: list[str], since: datetime | None, until: datetime | None
) -> Iterator[Item]:
    """Yield what the person accepted and rejected at or after `since`, before `until`.
    What messages used are deliveries of their own."""
    kinds = {
        AcceptanceEntry.Kind.ACCEPTED: "accepted",
        AcceptanceEntry.Kind.REJECTED: "rejected",
    }
    found = AcceptanceEntry.objects.filter(
        acceptance__openid__in=openids, kind__in=kinds
    ).select_related("acceptance__channel")
    titles: dict[tuple[int, str], str] = {}
    if since is not None:
        found = found.filter(at__gte=since)
    if until is not None:
        found = found.filter(at__lt=until)
    for entry in found:
        of = entry.acceptance
        template = (of.channel_id, of.template_id)
        if template not in titles:
            same = Template.objects.filter(channel=template[0], template_id=template[1])
            titles[template] = same.values_list("title", flat=True).first() or ""
        what = kinds[AcceptanceEntry.Kind(entry.kind)]
        yield Item(
            entry.at,
            what,
            of.channel.code,
            of.openid,
            meaning=titles[template],
            template_id=of.template_id,
        )


def _of_delivery(row: Delivery) -> Iterator[Item]:
    send = row.send
    at = row.sent_at or send.prepared_at or send.submitted_at or send.created_at
    reason = reporting.explain(row, preflight.labels_of(send))
    told = (reason.title, reason.advice) if reason else ("", "")
    yield Item(at, "delivery", row.channel.code, row.openid, row, *told)
    if row.receipt_at is not None:
        yield Item(row.receipt_at, "receipt", row.channel.code, row.openid, row, *told)
