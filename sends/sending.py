"""Sending what is due on a channel: claim a chunk, send its rows, write back, repeat.

A drain holds the channel's lease. It claims chunk by chunk, keeps the line to WeChat
full while it reads and writes the database, and writes results about twice a second.
Between claims it looks whether anybody paused, canceled or disabled something.

What a death in the middle leaves is rows in `sending`. The next drain gives them back
*in doubt* since their claim, and repeats them with the same client_msg_id: WeChat shows
a message with the same id once within ten minutes. A row whose doubt is older than that
is not repeated; it becomes `unknown`.

Subscribe-notifications have no such id. Theirs become `unknown` at the first answer
that is not seen, and are never repeated; so few of them are under way at a time.
"""

import logging
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from channels_wechat import platforms, quotas
from channels_wechat.models import Channel
from channels_wechat.wechat import errors
from channels_wechat.wechat.bulk import ANSWERED, Answer, Outcome
from channels_wechat.wechat.client import TokenSource

from . import brake, control, lines, repairing
from .allowance import Allowance
from .brake import OF_ONE_KIND, SAME_UNKNOWN_ERRORS, SILENCE, Share, Streak
from .claiming import Claimer
from .leases import Lease, LeaseLost
from .ledger import ERRCODE_NONE_LEFT as NONE_LEFT
from .models import Chunk, Delivery, Drain, Send
from .pacing import Pace, is_trouble
from .recording import Book
from .turns import turns
from .underway import Out
from .waking import wake

log = logging.getLogger(__name__)
Status = Delivery.Status

# A short-lived token may end more than once while a row waits for its turn.
TOKENS_A_ROW: Final = 5
# Set when the worker shuts down: drains give back what has not left, and end.
stopping = threading.Event()

FLUSH_S: Final = 0.5
# The same while something urgent waits for it.
URGENT_FLUSH_S: Final = 0.1
CONTROL_S: Final = 0.3
# What canceled sends left is settled beside a running one, a little at a time.
SETTLE_S: Final = 1.0
CHUNKS_A_SETTLING: Final = 10
# The line has so many rows and for so long at least: while results are written it
# goes on.
ROWS_AHEAD: Final = 1000
AHEAD_S: Final = 0.25
# A drain waits this long itself for rows that are tried again soon.
STAY: Final = timedelta(seconds=3)
SILENCE_HOLD_S: Final = 20
# Where nothing may be repeated each unseen answer costs a person: rest longer.
SILENCE_PAUSE: Final = timedelta(minutes=10)


def drain_send(send_pk: int) -> None:
    """Drain the channel of a send."""
    drain(Send.objects.values_list("channel_id", flat=True).get(pk=send_pk))


def drain(channel_pk: int) -> None:
    """Send what is due on a channel until nothing is left.

    Safe to call at any time and from anywhere: while another drain holds the channel's
    lease it returns at once; killed, it leaves nothing that the next one cannot repair.
    If too many channels want to send in this process it returns, too, and is called
    again when it is its turn.
    """
    if not turns.take(channel_pk):
        return
    again = False
    try:
        again = _drain(channel_pk)
    finally:
        for called in turns.end(channel_pk, again=again):
            wake("drain", called)


def _drain(channel_pk: int) -> bool:
    """Send until nothing is left; return whether something is, for another turn."""
    since = timezone.now()
    while not stopping.is_set():
        lease = Lease.take(channel_pk)
        if lease is None:
            return False
        try:
            _Drain(lease, since).run()
        except LeaseLost:
            log.warning("lost the lease of channel=%s", channel_pk)
            return False
        finally:
            lease.release()
        # Work that came while we were ending was turned away by our lease, and rows
        # that wait a moment for their next try need not wait for the sweep.
        if turns.is_over(since):
            return True
        due_at = _next_due(channel_pk)
        if due_at is None or due_at - timezone.now() > STAY:
            return False
        stopping.wait(max(0.0, (due_at - timezone.now()).total_seconds()))

    return False


def _next_due(channel_pk: int) -> datetime | None:
    """Return when the channel has something to send again, None if nothing waits."""
    if Drain.objects.filter(channel=channel_pk, hold_until__gt=timezone.now()).exists():
        return None  # the sweep calls when the wait is over
    return (
        Chunk.objects.waiting()
        .filter(send__channel=channel_pk, send__status=Send.Status.RUNNING)
        .order_by("due_at")
        .values_list("due_at", flat=True)
        .first()
    )


@dataclass
class _Drain:
    """One run of a drain. Not for reuse."""

    lease: Lease
    since: datetime  # since when this process sends for the channel
    channel: Channel = field(init=False)
    tokens: TokenSource = field(init=False)
    line: lines.Line = field(init=False)
    claimer: Claimer = field(init=False)
    book: Book = field(init=False)
    token: str = ""
    running: set[int] = field(default_factory=set)
    most_urgent: int = 0  # priority of the sends that run
    out: dict[int, Out] = field(default_factory=dict)
    closing: bool = False  # claim no more
    streak: Streak = field(default_factory=Streak)
    unseen: Streak = field(default_factory=Streak)  # of what must not be repeated
    logged: set[int | None] = field(default_factory=set)
    shares: defaultdict[int, Share] = field(default_factory=lambda: defaultdict(Share))
    released: set[int] = field(default_factory=set)  # go on although much is refused
    allowance: Allowance = field(default_factory=Allowance)
    pace: Pace = field(init=False)
    paced: tuple[int, float | None] = (0, None)
    answered: int = 0  # since the last look at what changed
    answers_a_second: float = 0.0

    def run(self) -> None:
        self.channel = Channel.objects.get(pk=self.lease.channel_pk)
        self.book = Book(self.lease)
        self.claimer = Claimer(self.lease, self._allowed)
        repairing.adopt_orphans(self.lease)
        if not self.lease.is_held_up() and self._control() and self._has_token():
            self._send()
        self._settle()

    def _send(self) -> None:
        base_url = settings.WECHAT_API_BASE
        self.line = lines.take(base_url)
        clean = False
        try:
            self._pump()
            clean = not self.out
        finally:
            if clean:
                lines.keep(self.line, base_url)
            else:
                self.line.close()

    def _settle(self) -> None:
        """Take out what canceled sends had waiting, until something is to be sent: of
        a million that takes long, and an urgent message shall not wait for it."""
        while repairing.settle_canceled(self.lease, CHUNKS_A_SETTLING):
            due_at = _next_due(self.channel.pk)
            if (
                stopping.is_set()
                or turns.is_over(self.since)
                or (due_at and due_at <= timezone.now())
            ):
                return

    # -- the loop ----------------------------------------------------------------------

    def _pump(self) -> None:
        self.pace = Pace.of(self.lease.drain(), timezone.now())
        self._keep_pace()
        controlled = flushed = looked = settled = timezone.now()
        more = True
        while True:
            now = timezone.now()
            passed_s = (now - controlled).total_seconds()
            if passed_s >= CONTROL_S:
                controlled = now
                self.answers_a_second = self.answered / passed_s
                self.answered = 0
                self.lease.hold()
                self._control()
                self._adapt(now)
                self._overtake()
                over = stopping.is_set() or turns.is_over(self.since)
                if over and not self.closing:
                    self._close()
            if more or (now - looked).total_seconds() >= CONTROL_S:
                looked, more = now, True
                while more and not self.closing and len(self.out) < self._backlog():
                    more = self._claim()
            if (now - settled).total_seconds() >= SETTLE_S:
                settled = now
                repairing.settle_canceled(self.lease, CHUNKS_A_SETTLING)
            if self.out:
                self._take_answers(self.line.answers(timeout_s=0.05))
            if self.line.halted:
                self._withdraw()
            now = timezone.now()
            waited = (now - flushed).total_seconds()
            results = len(self.book.results)
            many = self._backlog() if self.claimer.careful else 4000
            every = URGENT_FLUSH_S if self.book.is_urgent() else FLUSH_S
            if results and (not self.out or waited >= every or results >= many):
                self.book.flush()
                flushed, results = now, 0
            if not self.out and not results and (self.closing or not more):
                return

    def _backlog(self) -> int:
        """How many rows to have under way: enough to keep the line full, and no more,
        so that a pause or an urgent message need not wait long."""
        if self.claimer.careful:
            return self._careful_backlog()
        if self.channel.rate_per_s:
            return max(1, min(self.channel.rate_per_s, ROWS_AHEAD))
        enough = max(ROWS_AHEAD, 2 * self.channel.connections)
        return max(enough, round(self.answers_a_second * AHEAD_S))

    def _careful_backlog(self) -> int:
        """The same of messages that must not be repeated: each row that is under way
        when we die becomes unknown."""
        return min(self.channel.rate_per_s or 1000, 2 * self.channel.connections)

    def _control(self) -> bool:
        """See what changed: paused, canceled, disabled, re-paced. Return whether any
        send is running."""
        channel = Channel.objects.get(pk=self.channel.pk)
        if not channel.enabled:
            control.pause_for(channel, Send.PauseCode.DISABLED, None, "")
        self.channel = channel
        found = list(
            Send.objects.running()
            .filter(channel=channel)
            .only("brake_released", "priority", "source", "template", "template__kind")
            .select_related("template")
        )
        if channel.api_reserve:
            found = self._keep_reserve(found)
        self.running = {send.pk for send in found}
        self.released = {send.pk for send in found if send.brake_released}
        self.most_urgent = min((send.priority for send in found), default=0)
        if any(out.claim.send.pk not in self.running for out in self.out.values()):
            self._withdraw()
        return bool(self.running)

    def _keep_reserve(self, sends: list[Send]) -> list[Send]:
        """Pause sends of the console while only the reserve is left of today's quota;
        return those that go on."""
        for kind in {kind for send in sends if (kind := _console_kind(send))}:
            out = sum(_kind(out.claim.send) == kind for out in self.out.values())
            if self.allowance.ask(self.channel, kind, out):
                control.pause_for(
                    self.channel,
                    Send.PauseCode.RESERVE,
                    None,
                    "",
                    kind=kind,
                    resume_at=quotas.next_midnight(),
                    spare_api=True,
                )
                sends = [send for send in sends if _console_kind(send) != kind]
        return sends

    def _allowed(self, send: Send) -> int | None:
        if not self.channel.api_reserve or not (kind := _console_kind(send)):
            return None
        return self.allowance.left(kind)

    def _adapt(self, now: datetime) -> None:
        """Go faster again while all is well, slower when answers take longer."""
        self.pace.faster(now)
        self.pace.watch(self.line.latency_s, now)
        self._keep_pace()

    def _slow_down(self, error: errors.WeChatError) -> None:
        self.pace.slower(timezone.now(), str(error))
        self._keep_pace()

    def _keep_pace(self) -> None:
        """Tell the line, and whoever looks, if the pace has changed."""
        limits = self.pace.limits(self.channel)
        if limits != self.paced:
            self.paced = limits
            self.line.pace(*limits)
            self.pace.keep(self.channel.pk)

    def _running_now(self) -> set[int]:
        sends = Send.objects.running().filter(channel=self.channel)
        return set(sends.values_list("pk", flat=True))

    def _overtake(self) -> None:
        """Put what is more urgent in front of what waits for its turn: at a few
        messages a second even the rows of one claim would be long to wait for."""
        priorities = [out.claim.send.priority for out in self.out.values()]
        least = max(priorities, default=0)
        if self.closing or self.most_urgent >= least:
            return
        ahead = len(priorities) - priorities.count(least)
        while ahead < self._backlog() and self._claim(before=least):
            ahead = len(self.out) - priorities.count(least)
        if len(self.out) > len(priorities):
            self._withdraw()  # and submit anew, the most urgent first

    def _claim(self, before: int | None = None) -> bool:
        """Claim the next due chunk and give its rows to the line; False: none due."""
        claimed = self.claimer.claim(self._backlog(), self._careful_backlog(), before)
        if claimed is None:
            return False
        claim = claimed.claim
        self.book.open(claim)
        for row in claimed.too_late:
            self.book.final(claim, row, Status.UNKNOWN)
        self.allowance.took(_kind(claim.send), len(claimed.calls))
        for row, call in claimed.calls:
            self.out[row.id] = Out(claim, row, call, self.token)
        self.line.submit([call for _row, call in claimed.calls], self.token)
        if not claim.out:
            self.book.flush()  # nothing to send: done at once
        return True

    # -- answers -----------------------------------------------------------------------

    def _take_answers(self, answers: list[Answer]) -> None:
        self.answered += len(answers)
        for answer in answers:
            if answer.outcome is ANSWERED and answer.errcode == 0:
                out = self.out.pop(answer.key, None)
                if out is not None:
                    self._accept(out, answer.msgid)
            elif answer.key in self.out:
                self._take_trouble(answer)

    def _accept(self, out: Out, msgid: int | None) -> None:
        self.streak.count(None)
        self.unseen.count(None)
        self.shares[out.claim.send.pk].count(refused=False)
        self.book.final(out.claim, out.row, Status.ACCEPTED, msgid=msgid)

    def _take_trouble(self, answer: Answer) -> None:
        out = self.out[answer.key]
        if answer.outcome is ANSWERED:
            self._take_refusal(out, errors.error_for(answer.errcode, answer.errmsg))
            return
        del self.out[answer.key]
        in_doubt = answer.outcome is Outcome.UNSEEN
        silence = self.streak.count(answer.outcome) % SILENCE == 0
        if in_doubt and not out.claim.repeat_safe:
            self._unknown(out, errors.WeChatUnavailable(answer.errmsg))
            return
        self.book.back(out, in_doubt=in_doubt, error=answer.errmsg, wait=True)
        if silence:
            self._hold(SILENCE_HOLD_S, answer.errmsg)

    def _unknown(self, out: Out, error: errors.WeChatError) -> None:
        """Leave a row whose message may have left and must not be repeated. A receipt
        may tell the truth later; many in a row let the send rest."""
        claim = out.claim
        self.book.final(
            claim, out.row, Status.UNKNOWN, errcode=error.errcode, error=error.errmsg
        )
        if self.unseen.count(True) % SILENCE == 0:
            self._pause(
                Send.PauseCode.SILENCE,
                error,
                send=claim.send,
                resume_at=timezone.now() + SILENCE_PAUSE,
            )

    def _take_refusal(self, out: Out, error: errors.WeChatError) -> None:
        """Act on an answer with an errcode, by whose move is next."""
        known = errors.explain(error.errcode)
        strange = self.streak.count(None if known else error.errcode)
        if error.errcode not in self.logged:
            # One request id of each kind is what WeChat's support asks for.
            self.logged.add(error.errcode)
            log.info(
                "refused send=%s errcode=%s rid=%s",
                out.claim.send.msgid,
                error.errcode,
                error.rid,
            )
        if isinstance(error, errors.TokenRefused):
            self._renew_token(out, error)
            return
        del self.out[out.call.key]
        if is_trouble(error):
            self._slow_down(error)
        claim, row = out.claim, out.row
        kind = None
        if error.errcode in OF_ONE_KIND and claim.send.template:
            kind = claim.send.template.kind
        if not isinstance(error, errors.WeChatUnavailable):
            self.unseen.count(None)
        match error:
            case errors.AlreadyAccepted():
                self.book.final(claim, row, Status.ACCEPTED)
            case errors.RateLimited():
                self.book.back(out, error=str(error))
                self._hold(error.retry_after_s or 60, str(error))
            case errors.WeChatUnavailable() if not claim.repeat_safe:
                self._unknown(out, error)  # "busy" may come after it was sent
            case errors.WeChatUnavailable():
                self.book.back(out, in_doubt=True, error=error.errmsg, wait=True)
            case errors.QuotaUsedUp():
                self.book.back(out)
                resume_at = quotas.next_midnight()
                if kind is not None:
                    quotas.used_up(self.channel, kind)
                self._pause(Send.PauseCode.QUOTA, error, kind=kind, resume_at=resume_at)
            case errors.ChannelRefused():
                self.book.back(out)
                self._pause(Send.PauseCode.CHANNEL, error, kind=kind)
            case errors.TemplateRefused():
                self.book.back(out)
                self._pause(Send.PauseCode.TEMPLATE, error, send=claim.send)
            case _:
                if error.errcode == 43004:
                    self.book.unfollowed(row.openid)
                self.book.final(
                    claim,
                    row,
                    Status.REFUSED,
                    errcode=error.errcode,
                    error=error.errmsg,
                )
                if strange and strange % SAME_UNKNOWN_ERRORS == 0:
                    self._pause(Send.PauseCode.UNKNOWN_ERRORS, error, send=claim.send)
                # Whoever tries people without an acceptance knows what comes of it.
                if claim.send.skip_unreachable or error.errcode != NONE_LEFT:
                    self._watch_share(claim.send)

    def _watch_share(self, send: Send) -> None:
        """Pause a send of whose latest messages too many were refused."""
        share = self.shares[send.pk]
        share.count(refused=True)
        if send.pk in self.released or not share.is_above(
            settings.BRAKE_REFUSED_PERCENT
        ):
            return
        shares = errors.WeChatError(brake.shares(share.refused, share.answered))
        self._pause(Send.PauseCode.REFUSALS, shares, send=send)
        del self.shares[send.pk]  # resumed, it starts anew

    def _renew_token(self, out: Out, error: errors.WeChatError) -> None:
        """Get another token, once for all calls that the old one spoiled."""
        out.token_refusals += 1
        if out.token_refusals > TOKENS_A_ROW:
            # No loop, a visible error. (A token that is refused although new is one
            # already where it is renewed.)
            self.book.back(self.out.pop(out.call.key))
            if not self.closing:
                self._pause(Send.PauseCode.CHANNEL, error)
            return
        waiting = [out.call]
        if out.token == self.token and not self.closing:
            waiting += self.line.withdraw()
            try:
                self.token = self.tokens.renew(out.token)
            except errors.WeChatError as refusal:
                self._stop_for_token(refusal)
        if self.closing:
            for call in waiting:
                self.book.back(self.out.pop(call.key))
            return
        for call in waiting:
            self.out[call.key].token = self.token
        self.line.submit(waiting, self.token)

    def _has_token(self) -> bool:
        from channels_wechat import tokens

        self.tokens = tokens.source(self.channel)
        try:
            self.token = self.tokens.get()
        except errors.WeChatError as refusal:
            self._stop_for_token(refusal)
            return False
        return True

    def _stop_for_token(self, refusal: errors.WeChatError) -> None:
        if isinstance(refusal, errors.WeChatUnavailable):
            self._hold(refusal.retry_after_s or SILENCE_HOLD_S, str(refusal))
        elif isinstance(refusal, errors.QuotaUsedUp):
            self._pause(Send.PauseCode.QUOTA, refusal, resume_at=quotas.next_midnight())
        else:
            self._pause(Send.PauseCode.CHANNEL, refusal)
        self.closing = True

    # -- stopping ----------------------------------------------------------------------

    def _pause(
        self,
        code: Send.PauseCode,
        error: errors.WeChatError,
        *,
        send: Send | None = None,
        kind: str | None = None,
        resume_at: datetime | None = None,
    ) -> None:
        if send is not None and send.pk not in self.running:
            return  # many answers of one flood say the same
        paused = control.pause_for(
            self.channel,
            code,
            error.errcode,
            error.errmsg,
            send_pk=send.pk if send else None,
            kind=kind,
            resume_at=resume_at,
        )
        if paused and code == Send.PauseCode.CHANNEL:
            platforms.heard_of(self.channel, error)
        self.running &= self._running_now()
        if self.out:
            self._withdraw()
        if not self.running:
            self.closing = True

    def _hold(self, seconds: float, reason: str) -> None:
        """Let the whole channel rest; the sweep calls again afterwards."""
        until = timezone.now() + timedelta(seconds=seconds)
        self.lease.wait_until(until, reason)
        log.warning("hold channel=%s reason=%s", self.channel.code, reason)
        if not self.closing:
            self._close()

    def _close(self) -> None:
        """Claim no more, take back what has not left, wait for what has."""
        self.closing = True
        self.running = set()
        if self.out:
            self._withdraw()

    def _withdraw(self) -> None:
        """Take back calls of sends that no longer run; the others go on, the most
        urgent first."""
        keep = []
        for call in self.line.withdraw():
            if self.out[call.key].claim.send.pk in self.running:
                keep.append(call)
            else:
                self.book.back(self.out.pop(call.key))
        if keep:
            keep.sort(key=lambda call: self.out[call.key].claim.send.priority)
            for call in keep:
                self.out[call.key].token = self.token
            self.line.submit(keep, self.token)


def _kind(send: Send) -> str:
    return send.template.kind if send.template else ""


def _console_kind(send: Send) -> str:
    """Return the kind of a send that has to leave the reserve alone, "" of others."""
    return "" if send.source == Send.Source.API else _kind(send)
