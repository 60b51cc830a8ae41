"""The ledger of acceptances: whatever order events come in, one balance."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sends import ledger, receipts
from sends.models import Acceptance, AcceptanceEntry, Delivery, InboundEvent, Send
from tests.factories import SendFactory, TemplateFactory

pytestmark = pytest.mark.django_db

Status = Delivery.Status
POPUP = "subscribe_msg_popup_event"
T0 = timezone.now().replace(microsecond=0) - timedelta(days=1)


@pytest.fixture
def send(db):
    template = TemplateFactory(kind="subscribe")
    return SendFactory(template=template, status=Send.Status.FINISHED)


def popup(send, openid="o-1", outcome="accept", at_s=0, event=POPUP):
    """Store a popup as the callback view does; WeChat's clock has whole seconds."""
    return InboundEvent.objects.create(
        channel=send.channel,
        key=f"{openid} {outcome} {at_s} {InboundEvent.objects.count()}",
        event=event,
        openid=openid,
        template_id=send.template.template_id,
        outcome=outcome,
        created_at=T0 + timedelta(seconds=at_s),
        received_at=timezone.now(),
        try_at=timezone.now(),
    )


def answered(send, openid="o-1", errcode=None, at_s=0.0):
    """A delivery that WeChat took, or refused."""
    status = Status.REFUSED if errcode else Status.ACCEPTED
    delivery = Delivery.objects.create(
        send=send,
        channel=send.channel,
        openid=openid,
        status=status,
        errcode=errcode,
        sent_at=T0 + timedelta(seconds=at_s),
    )
    Send.objects.all().move({(send.pk, None, status): 1})
    return delivery


def apply(send):
    InboundEvent.objects.update(try_at=timezone.now())
    receipts.apply_waiting(send.channel_id)


def story(send, *steps):
    """Let what `steps` name happen second by second, and return the acceptance."""
    for second, step in enumerate(steps):
        if step in {"accept", "reject"}:
            popup(send, outcome=step, at_s=second)
            apply(send)
        else:
            code = {"used": None, "none left": 43101}[step]
            ledger.note(deliveries=[answered(send, errcode=code, at_s=second).pk])
    return Acceptance.objects.with_terms().get(openid="o-1")


@pytest.mark.parametrize(
    ("steps", "left", "confidence"),
    [
        (["accept"], 1, "counted"),
        (["accept", "accept", "used"], 1, "counted"),
        (["accept", "used"], 0, "counted"),
        (["accept", "none left"], 0, "confirmed"),
        (["accept", "none left", "accept"], 1, "confirmed"),
        (["accept", "accept", "reject"], 0, "confirmed"),
        (["none left"], 0, "confirmed"),
        # We did not see that one accept: it cannot make later ones worth less.
        (["used", "accept"], 1, "doubtful"),
        (["used", "none left", "accept"], 1, "confirmed"),
    ],
)
def test_what_is_left(send, steps, left, confidence):
    acceptance = story(send, *steps)

    assert (acceptance.left, acceptance.confidence) == (left, confidence)
    assert acceptance.left_now == left
    assert acceptance.always is False
    assert acceptance.last_event_at == T0 + timedelta(seconds=len(steps) - 1)


def test_a_long_term_acceptance_never_runs_out(send):
    send.template.long_term = True
    send.template.save()

    acceptance = story(send, "accept", "used", "used", "used")
    assert (acceptance.always, acceptance.left_now) == (True, 1)
    assert acceptance.confidence == "counted"

    acceptance = story(send, "accept", "used", "reject")
    assert (acceptance.always, acceptance.left_now) == (False, 0)


def test_who_rejects_is_known_until_they_accept_again(send):
    assert story(send, "accept", "reject").rejected is True
    assert story(send, "accept", "reject", "none left").rejected is True
    assert story(send, *["none left"] * 4, "accept").rejected is False


def test_a_popup_that_comes_late_is_older_than_the_refusal(send):
    refusal = answered(send, errcode=43101, at_s=50)
    ledger.note(deliveries=[refusal.pk])
    popup(send, at_s=10)

    apply(send)

    acceptance = Acceptance.objects.get()
    assert (acceptance.accepted, acceptance.left) == (1, 0)


def test_what_is_no_choice_and_other_sends_say_nothing(send):
    popup(send, outcome="reject", event="subscribe_msg_change_event")
    other = SendFactory(status=Send.Status.FINISHED)
    ledger.note(
        deliveries=[answered(other, "o-2").pk, answered(other, "o-3", 43101).pk]
    )
    ledger.note(deliveries=[answered(send, "o-4", 47003).pk])
    apply(send)

    assert [a.openid for a in Acceptance.objects.all()] == ["o-1"]


THINGS = st.lists(
    st.tuples(
        st.sampled_from(["o-0", "o-1"]),
        st.sampled_from(["accept", "accept", "reject", "used", "used", "none left"]),
        # Few seconds, so that many share one.
        st.integers(0, 6),
    ),
    max_size=14,
)


def expected(things):
    """The fold, written down a second time and slowly."""
    order = {"accept": 0, "used": 1, "reject": 2, "none left": 3}
    people = {}
    for openid, what, _at_s in sorted(things, key=lambda t: (t[2], order[t[1]])):
        left, standing, rejected = people.get(openid, (0, False, False))
        match what:
            case "accept":
                left, standing, rejected = left + 1, True, False
            case "used":
                left = max(0, left - 1)
            case "reject":
                left, standing, rejected = 0, False, True
            case "none left":
                left, standing = 0, False
        people[openid] = left, standing, rejected
    return people


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(things=THINGS, seed=st.integers(0, 2**32))
def test_doubled_shuffled_and_late_events_give_the_same_balance(send, things, seed):
    for model in (AcceptanceEntry, Acceptance, Delivery, InboundEvent):
        model.objects.all().delete()
    chance = random.Random(seed)
    notes = []
    for openid, what, at_s in things:
        if what in {"accept", "reject"}:
            event = popup(send, openid, what, at_s)
            notes.append(("events", event.pk))
        else:
            code = 43101 if what == "none left" else None
            delivery = answered(send, openid, code, at_s)
            notes.append(("deliveries", delivery.pk))
    notes += chance.choices(notes, k=len(notes) // 2) if notes else []
    chance.shuffle(notes)

    while notes:
        several = chance.randint(1, 4)
        batch, notes = notes[:several], notes[several:]
        ledger.note(
            deliveries={pk for kind, pk in batch if kind == "deliveries"},
            events={pk for kind, pk in batch if kind == "events"},
        )

    found = {
        a.openid: (a.left, a.standing, a.rejected) for a in Acceptance.objects.all()
    }
    assert found == expected(things)
    assert AcceptanceEntry.objects.count() == len(things)
    assert ledger.recount(send.channel, fix=False) == (0, 0)


def test_recount_finds_and_mends_what_is_wrong(send):
    story(send, "accept", "accept", "used")
    answered(send, "o-2")
    Acceptance.objects.filter(openid="o-1").update(left=7)
    assert ledger.recount(send.channel, fix=False) == (1, 1)

    with pytest.raises(CommandError):
        call_command("recount")
    call_command("recount", "--fix")
    call_command("recount")

    assert Acceptance.objects.get(openid="o-1").left == 1
    assert Acceptance.objects.get(openid="o-2").used == 1


@pytest.mark.django_db(transaction=True)
def test_workers_at_the_same_time_count_everything_once(send):
    for n in range(60):
        popup(send, f"o-{n % 20}", at_s=n)
    taken = [answered(send, f"o-{n}", at_s=100).pk for n in range(20)]

    def work(number):
        try:
            receipts.apply_waiting(send.channel_id)
            ledger.note(deliveries=taken[number::2])
            ledger.note(deliveries=taken)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    apply(send)

    assert set(Acceptance.objects.values_list("accepted", "used", "left")) == {
        (3, 1, 2)
    }
    assert ledger.recount(send.channel, fix=False) == (0, 0)
