"""Sending what is due on a channel: claim a chunk, send its rows, write back, repeat.

A drain holds the channel's lease. It claims chunk by chunk, keeps the line to WeChat
full while it reads and writes the database, and writes results about twice a second.
Between claims it looks whether anybody paused, canceled or disabled something.

What a death in the middle leaves is rows in `sending`. The next drain gives them back
*in doubt* since their claim, and repeats them with the same client_msg_id: WeChat shows
a message with the same id once within ten minutes. A row whose doubt is older than that
is not repeated; it becomes `unknown`.
"""

import logging
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from channels_wechat.models import Channel
from channels_wechat.wechat import errors
from channels_wechat.wechat.bulk import Answer, Call, Outcome
from channels_wechat.wechat.client import TokenSource
from channels_wechat.wechat.messages import CompiledMessage
from users.models import OpenID

from . import clicks, control, lines, outbox, repairing
from .leases import Lease, LeaseLost
from .models import Chunk, Delivery, Drain, Send
from .preparing import compile_message
from .querysets import ROWS_A_CHUNK, Result, Row
from .underway import Claim, Out, Streak

log = logging.getLogger(__name__)
Status = Delivery.Status

# Set when the worker shuts down: drains give back what has not left, and end.
stopping = threading.Event()

# WeChat remembers a client_msg_id for ten minutes; a call may take most of one itself.
REPEAT_WITHIN: Final = timedelta(minutes=9)
# A row in doubt is tried again after so many seconds, by how often its chunk was sent.
BACKOFF_S: Final = (2, 5, 10, 20, 30, 60)
# A call that timed out left at most this long before we gave it up.
CALL_TIME: Final = timedelta(seconds=20)
FLUSH_S: Final = 0.5
CONTROL_S: Final = 0.3
# A drain waits this long itself for rows that are tried again soon.
STAY: Final = timedelta(seconds=3)
# Nothing got through this many times in a row: wait instead of burning rows' tries.
SILENCE: Final = 50
SILENCE_HOLD_S: Final = 20
# An unknown error this many times in a row is nobody's single fault.
SAME_UNKNOWN_ERRORS: Final = 20
CHINA: Final = ZoneInfo("Asia/Shanghai")


def client_msg_id(send: Send, delivery_pk: int) -> str:
    """Return the id that makes a repeat of this delivery invisible. 32 characters at
    most, the same at every try, never the same for another delivery."""
    return f"{send.dedupe_key}-{delivery_pk:x}"


def drain_send(send_pk: int) -> None:
    """Drain the channel of a send."""
    drain(Send.objects.values_list("channel_id", flat=True).get(pk=send_pk))


def drain(channel_pk: int) -> None:
    """Send what is due on a channel until nothing is left.

    Safe to call at any time and from anywhere: while another drain holds the channel's
    lease it returns at once; killed, it leaves nothing that the next one cannot repair.
    """
    while not stopping.is_set():
        lease = Lease.take(channel_pk)
        if lease is None:
            return
        try:
            _Drain(lease).run()
        except LeaseLost:
            log.warning("lost the lease of channel=%s", channel_pk)
            return
        finally:
            lease.release()
        # Work that came while we were ending was turned away by our lease, and rows
        # that wait a moment for their next try need not wait for the sweep.
        due_at = _next_due(channel_pk)
        if due_at is None or due_at - timezone.now() > STAY:
            return
        stopping.wait(max(0.0, (due_at - timezone.now()).total_seconds()))


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
    channel: Channel = field(init=False)
    tokens: TokenSource = field(init=False)
    line: lines.Line = field(init=False)
    token: str = ""
    sends: dict[int, tuple[Send, CompiledMessage]] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    out: dict[int, Out] = field(default_factory=dict)
    open_claims: list[Claim] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    unfollowed: list[str] = field(default_factory=list)
    closing: bool = False  # claim no more
    silence: Streak = field(default_factory=Streak)
    strange: Streak = field(default_factory=Streak)
    logged: set[int | None] = field(default_factory=set)

    def run(self) -> None:
        self.channel = Channel.objects.get(pk=self.lease.channel_pk)
        repairing.adopt_orphans(self.lease)
        repairing.settle_canceled(self.lease)
        if self.lease.is_held_up() or not self._control() or not self._has_token():
            return
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
        repairing.settle_canceled(self.lease)

    # -- the loop ----------------------------------------------------------------------

    def _pump(self) -> None:
        self.line.pace(self.channel.connections, self.channel.rate_per_s)
        controlled = flushed = looked = timezone.now()
        more = True
        while True:
            now = timezone.now()
            if (now - controlled).total_seconds() >= CONTROL_S:
                controlled = now
                self.lease.hold()
                self._control()
                if stopping.is_set() and not self.closing:
                    self._close()
            if more or (now - looked).total_seconds() >= CONTROL_S:
                looked, more = now, True
                while more and not self.closing and len(self.out) < self._backlog():
                    more = self._claim()
            for answer in self.line.answers(timeout_s=0.05) if self.out else ():
                self._take_answer(answer)
            now = timezone.now()
            waited = (now - flushed).total_seconds()
            if self.results and (
                not self.out or waited >= FLUSH_S or len(self.results) >= 4000
            ):
                self._flush()
                flushed = now
            if not self.out and not self.results and (self.closing or not more):
                return

    def _backlog(self) -> int:
        """How many rows to have under way: enough to keep the line full, and no more,
        so that a pause or an urgent message need not wait long."""
        if self.channel.rate_per_s:
            return max(1, min(self.channel.rate_per_s, 2 * ROWS_A_CHUNK))
        return max(2 * ROWS_A_CHUNK, 2 * self.channel.connections)

    def _control(self) -> bool:
        """See what changed: paused, canceled, disabled, re-paced. Return whether any
        send is running."""
        channel = Channel.objects.get(pk=self.channel.pk)
        if not channel.enabled:
            control.pause_for(channel, Send.PauseCode.DISABLED, None, "")
        paced = (channel.connections, channel.rate_per_s)
        if paced != (self.channel.connections, self.channel.rate_per_s) and self.out:
            self.line.pace(*paced)
        self.channel = channel
        self.running = set(
            Send.objects.running().filter(channel=channel).values_list("pk", flat=True)
        )
        if any(out.claim.send.pk not in self.running for out in self.out.values()):
            self._withdraw()
        return bool(self.running)

    # -- claiming ----------------------------------------------------------------------

    def _claim(self) -> bool:
        """Claim the next due chunk and give its rows to the line; False: none due."""
        now = timezone.now()
        with transaction.atomic():
            self.lease.hold()
            chunk = self._next_chunk(now)
            if chunk is None:
                return False
            send, message = self._message(chunk.send_id)
            chunk.state = Chunk.State.CLAIMED
            chunk.claimed_at, chunk.fence = now, self.lease.fence
            chunk.save(update_fields=["state", "claimed_at", "fence", "last_id"])
            rows = Delivery.objects.claim(chunk)
            Send.objects.move(
                Counter({(send.pk, Status.WAITING, Status.SENDING): len(rows)})
            )
        claim = Claim(chunk, send)
        self.open_claims.append(claim)
        calls = []
        for row in rows:
            claim.out += 1
            if row.doubt_since and now - row.doubt_since > REPEAT_WITHIN:
                self._result(claim, row, Status.UNKNOWN)
                continue
            names = row.names() if message.names else {}
            if clicks.PLACEHOLDER in message.names:
                names[clicks.PLACEHOLDER] = clicks.token(row.id)
            body = message.render(row.openid, client_msg_id(send, row.id), names)
            call = Call(row.id, body)
            self.out[row.id] = Out(claim, row, call, self.token)
            calls.append(call)
        self.line.submit(calls, self.token)
        if not rows:
            self._flush()  # an empty chunk is done at once
        return True

    def _next_chunk(self, now: datetime) -> Chunk | None:
        sends = (
            Send.objects.running()
            .filter(channel=self.channel)
            .order_by("priority", "pk")
            .values_list("pk", flat=True)
        )
        for pk in sends:
            chunk = Chunk.objects.due(now).filter(send=pk).first()
            if chunk is not None:
                self._cut_to_pace(chunk)
                return chunk
        return None

    def _cut_to_pace(self, chunk: Chunk) -> None:
        """Split off what a slow channel could not send soon: claimed rows are in doubt
        after a death, and nobody can cancel them."""
        size = self._backlog()
        if size >= ROWS_A_CHUNK:
            return
        rows = Delivery.objects.of_chunk(chunk).filter(status=Status.WAITING)
        cut = rows.order_by("pk").values_list("pk", flat=True)[size : size + 1]
        for first_id in cut:
            Chunk.objects.create(
                send_id=chunk.send_id,
                first_id=first_id,
                last_id=chunk.last_id,
                due_at=chunk.due_at,
                attempts=chunk.attempts,
            )
            chunk.last_id = first_id - 1

    def _message(self, send_pk: int) -> tuple[Send, CompiledMessage]:
        if send_pk not in self.sends:
            send = Send.objects.select_related("template", "business_channel").get(
                pk=send_pk
            )
            message = compile_message(send)
            if clicks.is_tracked(send):
                address = f"{settings.PUBLIC_URL}/r/{{{{{clicks.PLACEHOLDER}}}}}"
                message = compile_message(send, url=address)
            self.sends[send_pk] = send, message
        return self.sends[send_pk]

    # -- answers -----------------------------------------------------------------------

    def _take_answer(self, answer: Answer) -> None:
        out = self.out.get(answer.key)
        if out is None:
            return
        if answer.outcome is Outcome.ANSWERED:
            self.silence.count(None)
            if answer.errcode == 0:
                self.strange.count(None)
                del self.out[answer.key]
                self._result(out.claim, out.row, Status.ACCEPTED, msgid=answer.msgid)
                return
            self._take_refusal(out, errors.error_for(answer.errcode, answer.errmsg))
            return
        del self.out[answer.key]
        in_doubt = answer.outcome is Outcome.UNSEEN
        self._back(out, in_doubt=in_doubt, error=answer.errmsg, wait=True)
        if self.silence.count(answer.outcome) == SILENCE:
            self._hold(SILENCE_HOLD_S, answer.errmsg)

    def _take_refusal(self, out: Out, error: errors.WeChatError) -> None:
        """Act on an answer with an errcode, by whose move is next."""
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
        claim, row = out.claim, out.row
        match error:
            case errors.AlreadyAccepted():
                self._result(claim, row, Status.ACCEPTED)
            case errors.RateLimited():
                self._back(out, error=str(error))
                self._hold(error.retry_after_s or 60, str(error))
            case errors.WeChatUnavailable():
                self._back(out, in_doubt=True, error=error.errmsg, wait=True)
            case errors.QuotaUsedUp():
                self._back(out)
                self._pause(Send.PauseCode.QUOTA, error, resume_at=_next_quota())
            case errors.ChannelRefused():
                self._back(out)
                self._pause(Send.PauseCode.CHANNEL, error)
            case errors.TemplateRefused():
                self._back(out)
                self._pause(Send.PauseCode.TEMPLATE, error, send=claim.send)
            case _:
                if error.errcode == 43004:
                    self.unfollowed.append(row.openid)
                self._result(
                    claim,
                    row,
                    Status.REFUSED,
                    errcode=error.errcode,
                    error=error.errmsg,
                )
                known = error.errcode is not None and errors.explain(error.errcode)
                times = self.strange.count(None if known else error.errcode)
                if not known and times == SAME_UNKNOWN_ERRORS:
                    self._pause(Send.PauseCode.UNKNOWN_ERRORS, error, send=claim.send)

    def _renew_token(self, out: Out, error: errors.WeChatError) -> None:
        """Get another token, once for all calls that the old one spoiled."""
        out.token_refusals += 1
        if out.token_refusals > 1:
            # Refused with a token that was new for it: no loop, a visible error.
            self._back(self.out.pop(out.call.key))
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
                self._back(self.out.pop(call.key))
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
            self._pause(Send.PauseCode.QUOTA, refusal, resume_at=_next_quota())
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
        resume_at: datetime | None = None,
    ) -> None:
        if send is not None and send.pk not in self.running:
            return  # many answers of one flood say the same
        control.pause_for(
            self.channel,
            code,
            error.errcode,
            error.errmsg,
            send_pk=send.pk if send else None,
            resume_at=resume_at,
        )
        self.running -= {send.pk} if send else self.running
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
        """Take back calls of sends that no longer run; the others go on."""
        keep = []
        for call in self.line.withdraw():
            if self.out[call.key].claim.send.pk in self.running:
                keep.append(call)
            else:
                self._back(self.out.pop(call.key))
        if keep:
            for call in keep:
                self.out[call.key].token = self.token
            self.line.submit(keep, self.token)

    # -- results -----------------------------------------------------------------------

    def _back(
        self,
        out: Out,
        *,
        in_doubt: bool = False,
        error: str = "",
        wait: bool = False,
    ) -> None:
        """Let a row wait again, in doubt if its message may have left."""
        claim, row = out.claim, out.row
        now = timezone.now()
        claim.back += 1
        if wait:
            backoff = BACKOFF_S[min(claim.chunk.attempts, len(BACKOFF_S) - 1)]
            claim.back_at = now + timedelta(seconds=backoff)
        doubt = row.doubt_since or (now - CALL_TIME if in_doubt else None)
        self._result(claim, row, Status.WAITING, error=error, doubt_since=doubt)

    def _result(
        self,
        claim: Claim,
        row: Row,
        status: Delivery.Status,
        *,
        msgid: int | None = None,
        errcode: int | None = None,
        error: str = "",
        doubt_since: datetime | None = None,
    ) -> None:
        if status != Status.WAITING:
            # Kept: a receipt without a msgid finds its delivery by the first call.
            doubt_since = row.doubt_since
        claim.out -= 1
        self.results.append(
            Result(row.id, status, msgid, errcode, error[:500], doubt_since)
        )

    def _flush(self) -> None:
        """Write the results, close chunks that have no row out, in one transaction."""
        results, self.results = self.results, []
        ended = [claim for claim in self.open_claims if not claim.out]
        self.open_claims = [claim for claim in self.open_claims if claim.out]
        unfollowed, self.unfollowed = self.unfollowed, []
        now = timezone.now()
        with transaction.atomic():
            self.lease.hold()
            moves = Delivery.objects.record(results, now)
            self._tell(results, now)
            for claim in ended:
                chunk = claim.chunk
                chunk.state = Chunk.State.WAITING if claim.back else Chunk.State.DONE
                chunk.due_at = claim.back_at or now
                chunk.attempts += 1 if claim.back_at else 0
                chunk.save(update_fields=["state", "due_at", "attempts"])
            if unfollowed:
                OpenID.objects.filter(
                    channel=self.channel, openid__in=unfollowed
                ).update(followed=False, followed_at=now)
            Send.objects.move(moves)
            Send.objects.finish({claim.send.pk for claim in ended})

    def _tell(self, results: list[Result], now: datetime) -> None:
        """Let business systems hear of results that were written at `now`."""
        business = {
            pk for pk, (send, _m) in self.sends.items() if send.business_channel_id
        }
        if business and results:
            outbox.sent(business, [result.id for result in results], now)


def _next_quota() -> datetime:
    """Return when WeChat's daily counters start anew: a little after midnight there."""
    tomorrow = timezone.now().astimezone(CHINA) + timedelta(days=1)
    return tomorrow.replace(hour=0, minute=5, second=0, microsecond=0)
