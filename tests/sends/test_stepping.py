"""Strategies: who is tried again on the next channel, and when."""

from datetime import timedelta

import pytest
from django.utils import timezone

from channels_wechat import business_channels
from sends import accepting, control, preparing, sweeping
from sends.models import Delivery, Send, Strategy
from sends.requested import Message, Options, Targets
from tests.factories import ChannelFactory, OpenIDFactory, TemplateFactory

pytestmark = pytest.mark.django_db

DATA = {"thing1": "Weekly", "time2": "10:00"}


@pytest.fixture
def channels():
    now = timezone.now()
    return [ChannelFactory(code=c, templates_refreshed_at=now) for c in ("one", "two")]


@pytest.fixture
def sender(channels):
    row, _secret = business_channels.create_business_channel("shop", channels)
    return row


@pytest.fixture
def strategy(sender):
    return Strategy.objects.create(
        name="s",
        business_channel=sender,
        steps=[
            {"channel": "one", "wait_s": 0, "trigger": "refused"},
            {"channel": "two", "wait_s": 600, "trigger": "refused"},
        ],
    )


@pytest.fixture
def accept(channels, sender, strategy):
    def call(targets):
        messages = [
            Message(f"m{n}", TemplateFactory(channel=channel).template_id, DATA)
            for n, channel in enumerate(reversed(channels))
        ]
        first = accepting.accept(
            sender, messages, targets, Options(rule_id=strategy.pk)
        )
        preparing.prepare(first.pk)
        return first, first.parts.get()

    return call


def end(send, **statuses):
    """Finish a send with the given status for each userid."""
    for userid, status in statuses.items():
        Delivery.objects.filter(send=send, userid=userid).update(status=status)
    Send.objects.filter(pk=send.pk).update(
        status=Send.Status.FINISHED, finished_at=timezone.now()
    )


def people(send):
    preparing.prepare(send.pk)
    return sorted(send.deliveries.values_list("userid", flat=True))


def test_the_next_step_gets_those_the_first_did_not_reach(accept, channels):
    for name in ("reached", "refused", "unknown"):
        OpenIDFactory(channel=channels[0], recipient__userid=name)
    OpenIDFactory(channel=channels[1], recipient__userid="elsewhere")
    names = ["reached", "refused", "unknown", "elsewhere"]
    first, second = accept(Targets(userids=names))
    assert (first.channel, second.channel) == tuple(channels)
    assert Send.objects.get(pk=second.pk).status == "scheduled"

    end(
        first,
        reached=Delivery.Status.DELIVERED,
        refused=Delivery.Status.REFUSED,
        unknown=Delivery.Status.UNKNOWN,
    )
    assert second.pk not in sweeping.sends_to_prepare()  # its wait is not over

    Send.objects.filter(pk=first.pk).update(
        finished_at=timezone.now() - timedelta(seconds=601)
    )
    assert second.pk in sweeping.sends_to_prepare()
    assert people(second) == ["elsewhere", "refused"]


def test_not_delivered_takes_along_whoever_has_no_receipt(accept, channels, strategy):
    strategy.steps[1] |= {"wait_s": 0, "trigger": "not_delivered"}
    strategy.save()
    for name in ("delivered", "accepted"):
        OpenIDFactory(channel=channels[0], recipient__userid=name)
    first, second = accept(Targets(userids=["delivered", "accepted"]))
    end(first, delivered=Delivery.Status.DELIVERED, accepted=Delivery.Status.ACCEPTED)

    sweeping.sends_to_prepare()

    assert people(second) == ["accepted"]


def test_a_broadcast_reaches_those_bound_to_the_second_channel_alone(
    accept, channels, strategy
):
    strategy.steps[1]["wait_s"] = 0
    strategy.save()
    OpenIDFactory(channel=channels[0], recipient__userid="first")
    OpenIDFactory(channel=channels[1], recipient__userid="second")
    first, second = accept(None)
    end(first, first=Delivery.Status.DELIVERED)

    sweeping.sends_to_prepare()

    assert people(second) == ["second"]


def test_a_step_waits_as_long_as_the_one_before_runs(accept, channels):
    OpenIDFactory(channel=channels[0], recipient__userid="a")
    _first, second = accept(Targets(userids=["a"]))

    assert second.pk not in sweeping.sends_to_prepare()
    assert Send.objects.get(pk=second.pk).status == "scheduled"


def test_a_canceled_step_ends_those_behind_it(accept, channels):
    OpenIDFactory(channel=channels[0], recipient__userid="a")
    first, second = accept(Targets(userids=["a"]))

    control.cancel(first, by="operator")
    sweeping.sends_to_prepare()

    second.refresh_from_db()
    assert (second.status, second.finished_at is None) == ("canceled", False)


def test_a_step_goes_on_without_the_message_that_was_canceled(
    sender, strategy, channels
):
    strategy.steps[1]["wait_s"] = 0
    strategy.save()
    for name in "ab":
        OpenIDFactory(channel=channels[0], recipient__userid=name)
    messages = [
        Message(f"m{n}", TemplateFactory(channel=channel).template_id, DATA)
        for n, channel in enumerate([channels[0], *channels])
    ]
    head = accepting.accept(
        sender, messages, Targets(userids=["a", "b"]), Options(rule_id=strategy.pk)
    )
    canceled, second = head.parts.order_by("step")
    for one in (head, canceled):
        preparing.prepare(one.pk)
    control.cancel(canceled, by="operator")
    end(head, a=Delivery.Status.REFUSED, b=Delivery.Status.REFUSED)
    Delivery.objects.filter(send=canceled, userid="b").delete()

    sweeping.sends_to_prepare()

    assert people(second) == ["b"]


def test_a_strategy_without_any_of_the_templates_is_refused(sender, strategy, channels):
    strategy.steps = [{"channel": "gone", "wait_s": 0, "trigger": "refused"}]
    strategy.save()
    message = Message("m", TemplateFactory(channel=channels[0]).template_id, DATA)

    with pytest.raises(accepting.Refused) as caught:
        accepting.accept(
            sender, [message], Targets(userids=["a"]), Options(rule_id=strategy.pk)
        )

    assert caught.value.code == 1015026
