"""What became of a send: numbers, speed, reasons in plain language, deliveries."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.core.cache import cache
from django.db.models import Count, Q
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_wechat.wechat import errors

from . import drafting, preflight, problems
from .models import Delivery, Send

Status = Delivery.Status

PAGE: Final = 50
# Speed is what happened in the last so many seconds.
SPEED_WINDOW_S: Final = 30
REASONS_KEPT_S: Final = 3600
# A page that looks at a running send of a million asks every two seconds.
LONG_S, RESTS_FOR = 0.1, 20
FAILED: Final = (
    Status.REFUSED,
    Status.UNDELIVERED,
    Status.UNKNOWN,
    Status.SKIPPED,
)


def mask(openid: str) -> str:
    """Return an openID that people can tell apart, but not copy."""
    return f"{openid[:5]}…{openid[-4:]}" if len(openid) > 12 else openid


# -- how far it is ---------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """How far a send is. `per_second` and `left` are None while nobody can tell."""

    done: int
    total: int
    per_second: float | None
    left: timedelta | None

    @property
    def percent(self) -> int:
        """In whole per cent, 100 only when nothing is left."""
        return 100 * self.done // self.total if self.total else 0

    @property
    def left_shown(self) -> str:
        """As "40 s", "12 min" or "3 h 20 min"."""
        if self.left is None:
            return ""
        seconds = round(self.left.total_seconds())
        if seconds < 90:
            return _("%(n)d s") % {"n": max(1, seconds)}
        minutes = round(seconds / 60)
        if minutes < 90:
            return _("%(n)d min") % {"n": minutes}
        hours, minutes = divmod(minutes, 60)
        return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}

    @property
    def per_second_shown(self) -> str:
        if not self.per_second:
            return ""
        digits = 0 if self.per_second >= 10 else 1
        return f"{self.per_second:,.{digits}f}"


def progress(send: Send) -> Progress:
    """Return how far the send is, its speed measured between calls of this function."""
    done = send.total - send.n_waiting - send.n_sending
    if send.status != Send.Status.RUNNING:
        return Progress(done, send.total, None, None)
    key = f"send-speed:{send.pk}"
    now = time.time()
    samples = [
        sample
        for sample in cache.get(key, [])
        if now - sample[0] <= SPEED_WINDOW_S and sample[1] <= done
    ]
    if not samples or now - samples[-1][0] >= 0.9:
        cache.set(key, [*samples, (now, done)], 2 * SPEED_WINDOW_S)
    if not samples and send.started_at:
        samples = [(send.started_at.timestamp(), send.n_skipped)]
    then, before = samples[0] if samples else (now, done)
    per_second = (done - before) / (now - then) if now - then >= 0.5 else None
    left = None
    if per_second and send.prepared_at:  # before, nobody knows how many there are
        left = timedelta(seconds=round((send.total - done) / per_second))
    return Progress(done, send.total, per_second, left)


# -- why it failed ---------------------------------------------------------------------


@dataclass
class Reason:
    """Deliveries that failed alike, in words for the operator."""

    status: int
    title: str
    advice: str = ""
    errcode: int | None = None
    words: list[str] = field(default_factory=list)  # WeChat's own
    count: int = 0
    passing: bool = False

    @property
    def status_word(self) -> str:
        return Status(self.status).name.lower()

    @property
    def status_label(self) -> str:
        return str(Status(self.status).label)


class _Kind(NamedTuple):
    """What makes two failures the same one, and what may differ between them."""

    status: int
    errcode: int | None
    reason: str
    error: str


UNDELIVERED: Final = {
    "user block": (
        gettext_lazy("The recipient refuses the account's messages."),
        gettext_lazy("Only they can change that, in the account's settings in WeChat."),
    ),
    "system failed": (
        gettext_lazy("WeChat took the message but failed to deliver it."),
        gettext_lazy("Send again to those it failed for."),
    ),
    "freq limit": (
        gettext_lazy("WeChat held the message back: too many for this recipient."),
        gettext_lazy("Send again in some hours."),
    ),
}
SKIPPED: Final = {
    Delivery.Reason.NO_OPENID: (
        gettext_lazy("The person has no openID on this channel."),
        gettext_lazy("Upload the openID, or let them follow the account."),
    ),
    Delivery.Reason.NO_RECIPIENT: (
        gettext_lazy("Nobody is known by this userid."),
        gettext_lazy("Upload the person first, or correct the userid."),
    ),
    Delivery.Reason.DUPLICATE: (
        gettext_lazy("The same openID was in this send already."),
        gettext_lazy("Nothing to do: the person gets the message once."),
    ),
    Delivery.Reason.FOREIGN_OPENID: (
        gettext_lazy("The openID belongs to another channel."),
        gettext_lazy("Use the openIDs of this channel, or userids."),
    ),
    Delivery.Reason.BLACKLISTED: (
        gettext_lazy("The person is on the blacklist that this send names."),
        gettext_lazy("Take them off the list if they shall get messages again."),
    ),
    Delivery.Reason.NOT_LISTED: (
        gettext_lazy("The person is not on the whitelist that this send names."),
        gettext_lazy("Put them on the list, or send without it."),
    ),
    Delivery.Reason.CAPPED: (
        gettext_lazy("The person had as many messages today as one may get."),
        gettext_lazy(
            "Send again tomorrow, or raise the limit of the business channel."
        ),
    ),
    Delivery.Reason.NO_ACCEPTANCE: (
        gettext_lazy("We know of no acceptance that is left for this person."),
        gettext_lazy("Ask them to subscribe again, then send again."),
    ),
}


def reasons(send: Send) -> list[Reason]:
    """Return why deliveries failed, the most frequent reason first.

    One query over the send's rows; kept until more have failed. While a large send runs
    it is not asked again before it has rested for much longer than it took.
    """
    failed = [getattr(send, f"n_{status.name.lower()}") for status in FAILED]
    if not any(failed):
        return []
    rows = send.archived_reasons if send.archived_at else _kept(send, failed)
    return _merged(send, [(_Kind(*row[:4]), row[4]) for row in rows])


def _kept(send: Send, failed: list[int]) -> list[list[Any]]:
    key = f"send-reasons:{send.pk}"
    now = time.time()
    rows: list[list[Any]]
    counted, rows, rests_until = cache.get(key, ([], [], 0.0))
    rests = send.status == Send.Status.RUNNING and now < rests_until
    if counted != failed and not rests:
        rows = kinds(send)
        took_s = time.time() - now
        rest_s = RESTS_FOR * took_s if took_s >= LONG_S else 0.0
        cache.set(key, (failed, rows, time.time() + rest_s), REASONS_KEPT_S)
    return rows


def kinds(send: Send) -> list[list[Any]]:
    """Count failed deliveries by [status, errcode, reason, error], most first."""
    rows = (
        Delivery.objects.filter(send=send, status__in=FAILED)
        .values_list("status", "errcode", "reason", "error")
        .annotate(count=Count("id"))
        .order_by("-count")
    )
    return [list(row) for row in rows]


def _merged(send: Send, found: Iterable[tuple[_Kind, int]]) -> list[Reason]:
    labels = preflight.labels_of(send)
    merged: dict[object, Reason] = {}
    for kind, count in found:
        reason = _explained(kind, labels)
        same = merged.setdefault((kind.status, reason.errcode, reason.title), reason)
        same.count += count
        for words in reason.words:
            if words not in same.words and len(same.words) < 3:
                same.words.append(words)
    return sorted(merged.values(), key=lambda reason: -reason.count)


def explain(delivery: Delivery, labels: dict[str, str]) -> Reason | None:
    """Return why this delivery failed, None if it did not."""
    if delivery.status not in FAILED:
        return None
    return _explained(
        _Kind(delivery.status, delivery.errcode, delivery.reason, delivery.error),
        labels,
    )


def _explained(kind: _Kind, labels: dict[str, str]) -> Reason:
    match kind.status:
        case Status.REFUSED:
            return _refused(kind)
        case Status.UNDELIVERED:
            outcome = " ".join(kind.error.replace("failed:", "").split())
            title, advice = UNDELIVERED.get(
                outcome, (_("WeChat could not deliver the message."), "")
            )
            passing = outcome == "system failed"
            return Reason(
                kind.status, str(title), str(advice), words=[outcome], passing=passing
            )
        case Status.UNKNOWN:
            return Reason(
                kind.status,
                _("WeChat's answer was never seen: the message may have arrived."),
                _("Wait for its receipt, or send again and risk that it comes twice."),
                words=[kind.error] if kind.error else [],
            )
    if kind.reason == Delivery.Reason.BAD_VALUE:
        problem = problems.read(kind.error)
        title = _("A value does not fit: %(problem)s") % {
            "problem": short(problem, labels) if problem else kind.error
        }
        return Reason(kind.status, title, _("Correct the value and send again."))
    title, advice = SKIPPED.get(kind.reason, (kind.reason, ""))  # type: ignore[call-overload]
    return Reason(kind.status, str(title), str(advice))


def _refused(kind: _Kind) -> Reason:
    code = errors.explain(kind.errcode)
    words = [kind.error] if kind.error else []
    if code is None:
        title = _("WeChat refused for a reason we do not know.")
        return Reason(kind.status, title, "", kind.errcode, words)
    advice = _(code.advice) if code.advice else ""
    passing = code.errcode in drafting.passing_errcodes()
    return Reason(kind.status, _(code.meaning), advice, code.errcode, words, 0, passing)


# What is wrong, without the length of the one value at hand.
_SHORT: Final = {
    "empty": gettext_lazy("%(key)s is empty"),
    "too_long": gettext_lazy("%(key)s has more than %(limit)d characters"),
}


def short(problem: Any, labels: dict[str, str]) -> str:
    """Say what is wrong with a field for many values at once."""
    label = labels.get(problem.key) or problem.key
    if problem.code in _SHORT:
        return str(_SHORT[problem.code]) % {"key": label, "limit": problem.limit}
    return preflight.sentence(problem, labels).rstrip(".")


# -- single deliveries -----------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """Some deliveries, and the cursor of the next page (None: there is none)."""

    rows: list[Delivery]
    next: int | None


def deliveries(
    send: Send, status: int | None = None, person: str = "", after: int = 0
) -> Page:
    """Return a page of the send's deliveries in their order, counting nothing."""
    found = Delivery.objects.filter(send=send, pk__gt=after)
    if status is not None:
        found = found.filter(status=status)
    if person:
        found = found.filter(Q(userid=person) | Q(openid=person))
    return _page(list(found.order_by("pk")[: PAGE + 1]))


def _page(rows: list[Delivery]) -> Page:
    more = len(rows) > PAGE
    rows = rows[:PAGE]
    return Page(rows, rows[-1].pk if more else None)


def history(userid: str, openids: Iterable[str], before: int | None = None) -> Page:
    """Return what was ever sent to a person, newest first.

    Both ways of naming a person have an index; each is walked from its newest end.
    """
    ways = [Q(userid=userid)] if userid else []
    ways += [Q(openid=openid) for openid in set(openids) if openid]
    found: dict[int, Delivery] = {}
    for way in ways:
        rows = Delivery.objects.filter(way).select_related(
            "send__template", "send__business_channel", "channel"
        )
        if before is not None:
            rows = rows.filter(pk__lt=before)
        found |= {row.pk: row for row in rows.order_by("-pk")[: PAGE + 1]}
    return _page([found[pk] for pk in sorted(found, reverse=True)])


EXPORT_HEADER: Final = (
    "userid",
    "openid",
    gettext_lazy("status"),
    gettext_lazy("reason"),
    gettext_lazy("WeChat's code"),
    gettext_lazy("WeChat's words"),
    gettext_lazy("what to do"),
    "wechat_msgid",
    gettext_lazy("sent at"),
    gettext_lazy("receipt at"),
)


def export_rows(send: Send, status: int | None = None) -> Iterator[list[object]]:
    """Yield one row per delivery, in the order of EXPORT_HEADER."""
    labels = preflight.labels_of(send)
    known: dict[_Kind, Reason] = {}
    after = 0
    while True:
        rows = Delivery.objects.filter(send=send, pk__gt=after)
        if status is not None:
            rows = rows.filter(status=status)
        block = list(rows.order_by("pk").defer("variables")[:2000])
        for row in block:
            kind = _Kind(row.status, row.errcode, row.reason, row.error)
            if row.status in FAILED and kind not in known:
                known[kind] = _explained(kind, labels)
            reason = known.get(kind)
            yield [
                row.userid,
                row.openid,
                str(Status(row.status).label),
                reason.title if reason else "",
                row.errcode,
                " / ".join(reason.words) if reason else "",
                reason.advice if reason else "",
                row.wechat_msgid,
                _moment(row.sent_at),
                _moment(row.receipt_at),
            ]
        if len(block) < 2000:
            return
        after = block[-1].pk


def _moment(at: datetime | None) -> str:
    return date_format(timezone.localtime(at), "Y-m-d H:i:s") if at else ""
