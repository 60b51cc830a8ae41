"""The engine under any order of events: workers that die, stall and come back, leases
that expire, operators who pause and cancel, WeChat that forgets after ten minutes.

WeChat is a dict here: what it was asked to show, and which message ids it remembers.
"""

import contextlib
from collections import Counter
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sends import audience, canary, control, preparing, repairing, sweeping
from sends.claiming import Claimer, client_msg_id
from sends.leases import Lease, LeaseLost
from sends.models import Chunk, Delivery, Drain, Send
from sends.recording import Book
from sends.underway import Out
from tests.factories import ChannelFactory, SendFactory, TemplateFactory

Status = Delivery.Status
FORGETS = timedelta(minutes=10)
index = st.integers(0, 1000)


class Worker:
    """A drain's memory: lost when it dies."""

    def __init__(self, lease):
        self.lease = lease
        self.claimer, self.book = Claimer(lease), Book(lease)
        self.out = {}


class Engine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.workers = []
        self.shown = Counter()
        self.remembered = set()

    @initialize(
        people=st.integers(1, 70),
        first=st.booleans(),
        kind=st.sampled_from(["template", "template", "subscribe"]),
    )
    def prepare(self, people, first, kind):
        channel = ChannelFactory(callback_verified_at=None)
        self.send = SendFactory(
            template=TemplateFactory(channel=channel, kind=kind),
            skip_unreachable=False,
            status=Send.Status.PREPARING,
            canary=Send.Canary.WAITING if first else "",
        )
        audience.stage(self.send, [], [("", f"o{n:027}") for n in range(people)])
        preparing.prepare(self.send.pk)
        self.channel = channel.pk

    def teardown(self):
        """Whatever happened, a worker in peace brings it to an end."""
        if not hasattr(self, "send"):
            return
        self.lease_expires()
        self.workers.clear()
        for _round in range(200):
            Chunk.objects.filter(due_at__lt=timezone.now() + timedelta(days=1)).update(
                due_at=timezone.now() - timedelta(seconds=1)
            )
            canary.judge_due()
            self.change("resume")
            self.take_lease()
            while self.claim(0, 500):
                self.answer_all(0)
            self.flush(0)
            self.workers.clear()
            Drain.objects.update(lease_until=None)
            send = Send.objects.get(pk=self.send.pk)
            if not send.n_waiting and not send.n_sending:
                break
        assert send.status in {"finished", "canceled"}, send.counts
        self.nothing_is_shown_twice()
        self.counters_equal_rows()
        taken = Delivery.objects.filter(send=send, status=Status.ACCEPTED)
        assert all(self.shown[pk] == 1 for pk in taken.values_list("pk", flat=True))

    # -- WeChat ------------------------------------------------------------------------
    def leaves(self, out):
        """The call arrives: shown, unless WeChat knows its id. A subscribe-notification
        has none."""
        if not out.claim.repeat_safe:
            self.shown[out.row.id] += 1
            return
        key = client_msg_id(out.claim.send, out.row.id)
        if key not in self.remembered:
            self.remembered.add(key)
            self.shown[out.row.id] += 1

    # -- workers -----------------------------------------------------------------------
    @rule()
    def take_lease(self):
        lease = Lease.take(self.channel)
        if lease is None:
            return
        worker = Worker(lease)
        repairing.adopt_orphans(lease)
        repairing.settle_canceled(lease, 100)
        self.workers.append(worker)

    @rule()
    def lease_expires(self):
        """Its holder stalls; it may come back later."""
        Drain.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    def fenced(self, worker, act):
        """Do `act`; a worker that lost its lease ends without having written."""
        try:
            return act()
        except LeaseLost:
            self.workers.remove(worker)
            return None

    @precondition(lambda self: self.workers)
    @rule(who=index, size=st.sampled_from([1, 3, 10, 500]))
    def claims(self, who, size):
        self.claim(who, size)

    def claim(self, who, size):
        """Claim a chunk; whether there was one."""
        worker = self.workers[who % len(self.workers)]
        claimed = self.fenced(worker, lambda: worker.claimer.claim(size, size))
        if claimed is None:
            return False
        worker.book.open(claimed.claim)
        for row in claimed.too_late:
            worker.book.final(claimed.claim, row, Status.UNKNOWN)
        for row, call in claimed.calls:
            worker.out[row.id] = Out(claimed.claim, row, call, "token")
        return True

    @precondition(lambda self: self.workers)
    @rule(who=index, count=st.integers(1, 10), data=st.data())
    def answers_come(self, who, count, data):
        worker = self.workers[who % len(self.workers)]
        kinds = ["accepted", "refused", "unseen", "unseen_but_shown", "not_sent"]
        for pk in list(worker.out)[:count]:
            out = worker.out.pop(pk)
            kind = data.draw(st.sampled_from(kinds))
            if kind in {"accepted", "unseen_but_shown"}:
                self.leaves(out)
            if kind == "accepted":
                worker.book.final(out.claim, out.row, Status.ACCEPTED, msgid=pk)
            elif kind == "refused":
                worker.book.final(out.claim, out.row, Status.REFUSED, errcode=43004)
            elif kind != "not_sent" and not out.claim.repeat_safe:
                worker.book.final(out.claim, out.row, Status.UNKNOWN)
            else:
                worker.book.back(out, in_doubt=kind != "not_sent", wait=True)

    def answer_all(self, who):
        worker = self.workers[who]
        for out in worker.out.values():
            self.leaves(out)
            worker.book.final(out.claim, out.row, Status.ACCEPTED, msgid=out.row.id)
        worker.out.clear()

    @precondition(lambda self: self.workers)
    @rule(who=index)
    def flush(self, who):
        worker = self.workers[who % len(self.workers)]
        self.fenced(worker, worker.book.flush)

    @precondition(lambda self: self.workers)
    @rule(who=index, left=st.integers(0, 70))
    def dies(self, who, left):
        """SIGKILL: some of its calls had left, and nothing of them is known."""
        worker = self.workers.pop(who % len(self.workers))
        for out in list(worker.out.values())[:left]:
            self.leaves(out)

    # -- time and operators ------------------------------------------------------------
    @rule()
    def ten_minutes_pass(self):
        """Calls take seconds: whoever was at it is dead, and WeChat has forgotten."""
        self.workers.clear()
        self.remembered.clear()
        mine = Delivery.objects.filter(send=self.send)
        mine.update(doubt_since=F("doubt_since") - FORGETS)
        Chunk.objects.filter(send=self.send).update(
            claimed_at=F("claimed_at") - FORGETS
        )
        Chunk.objects.filter(send=self.send).due(timezone.now() + FORGETS).update(
            due_at=timezone.now() - timedelta(seconds=1)
        )
        self.lease_expires()

    @rule()
    def sweep(self):
        canary.judge_due()
        if self.channel in sweeping.channels_to_drain():
            self.take_lease()

    @rule(act=st.sampled_from(["pause", "resume", "resume", "cancel"]), rare=index)
    def operator(self, act, rare):
        if act != "cancel" or rare < 200:
            self.change(act)

    def change(self, act):
        with contextlib.suppress(control.WrongState):
            getattr(control, act)(Send.objects.get(pk=self.send.pk), by="li")

    # -- what must hold at every moment ------------------------------------------------
    @invariant()
    def counters_equal_rows(self):
        if hasattr(self, "send"):
            assert Send.objects.filter(pk=self.send.pk).drift() == []

    @invariant()
    def nothing_is_shown_twice(self):
        assert max(self.shown.values(), default=0) <= 1

    @invariant()
    def what_was_shown_is_never_taken_for_untouched(self):
        if not hasattr(self, "send"):
            return
        untouched = Delivery.objects.filter(
            send=self.send,
            status__in=[Status.WAITING, Status.CANCELED],
            doubt_since=None,
        ).values_list("pk", flat=True)
        assert not set(untouched) & set(self.shown)

    @invariant()
    def every_open_row_is_in_one_open_chunk(self):
        if not hasattr(self, "send"):
            return
        held = Counter()
        for chunk in Chunk.objects.filter(send=self.send).exclude(
            state=Chunk.State.DONE
        ):
            held.update(Delivery.objects.of_chunk(chunk).values_list("pk", flat=True))
        open_ = Delivery.objects.filter(
            send=self.send, status__in=[Status.WAITING, Status.SENDING]
        )
        assert {held[pk] for pk in open_.values_list("pk", flat=True)} <= {1}


@pytest.mark.django_db
@pytest.mark.timeout(600)
def test_any_order_of_events_loses_and_doubles_nothing():
    run_state_machine_as_test(
        Engine,
        settings=settings(
            max_examples=8,
            stateful_step_count=25,
            deadline=None,
            # Each step asks the database some ten questions; shrinking asks for hours.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
