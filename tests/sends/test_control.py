"""Submit, pause, resume, cancel: who may, when, and what becomes of the rows."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from sends import audience, control, preparing, sweeping
from sends.control import WrongState
from sends.models import Chunk, Send
from tests.factories import (
    OpenIDFactory,
    SendFactory,
    TemplateFactory,
    UserFactory,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]


@pytest.fixture
def draft():
    send = SendFactory()
    OpenIDFactory(channel=send.channel, recipient__userid="zhangsan")
    return send


def status(send):
    return Send.objects.get(pk=send.pk).status


def test_a_submitted_send_is_prepared_next(draft):
    control.submit(draft)

    assert status(draft) == "preparing"
    assert sweeping.sends_to_prepare() == [draft.pk]


def test_submitting_twice_sends_once(draft):
    control.submit(draft)

    with pytest.raises(WrongState):
        control.submit(draft)


def test_a_time_to_come_schedules_and_the_sweep_starts_it(draft):
    control.submit(draft, at=timezone.now() + timedelta(hours=1))
    assert status(draft) == "scheduled"
    assert sweeping.sends_to_prepare() == []

    Send.objects.filter(pk=draft.pk).update(scheduled_for=timezone.now())
    assert sweeping.sends_to_prepare() == [draft.pk]
    assert status(draft) == "preparing"


@pytest.mark.parametrize(
    ("late_within_h", "late", "then"),
    [
        (None, timedelta(days=3), "preparing"),
        (4, timedelta(hours=3), "preparing"),
        (4, timedelta(hours=5), "paused"),
        (0, timedelta(minutes=4), "preparing"),
        (0, timedelta(minutes=6), "paused"),
    ],
)
def test_a_missed_time_is_made_up_for_as_chosen(draft, late_within_h, late, then):
    control.submit(draft, at=timezone.now() + timedelta(hours=1))
    Send.objects.filter(pk=draft.pk).update(
        scheduled_for=timezone.now() - late, late_within_h=late_within_h
    )

    control.start_due()

    assert status(draft) == then
    if then == "paused":
        assert Send.objects.get(pk=draft.pk).pause_code == "missed"
        control.resume(draft, by="li")
        assert status(draft) == "preparing"


@pytest.mark.parametrize("change", [control.pause, control.resume, control.cancel])
def test_a_change_costs_the_same_however_large_the_send_is(
    draft, change, django_assert_max_num_queries
):
    """Two thousand chunks: a million people. Nothing walks through them."""
    control.submit(draft)
    preparing.prepare(draft.pk)
    now = timezone.now()
    Chunk.objects.bulk_create(
        Chunk(send=draft, first_id=n, last_id=n, due_at=now, state=Chunk.State.WAITING)
        for n in range(10**9, 10**9 + 2000)
    )
    if change is control.resume:
        control.pause(draft, by="li")

    with django_assert_max_num_queries(10) as asked:
        change(draft, by="li")

    assert "sends_chunk" not in str(asked.captured_queries)
    assert "sends_delivery" not in str(asked.captured_queries)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"template": None}, "template"),
        ({"data": {"thing1": "Weekly"}}, "data"),
        ({"data": {"thing1": "x" * 21, "time2": "10:00"}}, "data"),
        ({"data": {"thing1": "{{what}}", "time2": "10:00"}}, "data"),
        ({"audience": "tags", "tags": []}, "audience"),
        ({"audience": "rows"}, "audience"),
    ],
)
def test_a_draft_that_cannot_work_says_which_part(draft, change, field):
    Send.objects.filter(pk=draft.pk).update(**change)

    with pytest.raises(ValidationError) as caught:
        control.submit(draft)

    assert set(caught.value.message_dict) == {field}
    assert status(draft) == "draft"


def test_a_removed_template_is_refused(draft):
    draft.template.removed_at = timezone.now()
    draft.template.save()

    with pytest.raises(ValidationError, match="removed at WeChat"):
        control.submit(draft)


def test_a_template_of_another_channel_is_refused(draft):
    draft.template = TemplateFactory()
    draft.save()

    with pytest.raises(ValidationError, match="another channel"):
        control.submit(draft)


def test_a_disabled_channel_is_refused(draft):
    draft.channel.enabled = False
    draft.channel.save()

    with pytest.raises(ValidationError, match="disabled"):
        control.submit(draft)


def test_pause_and_resume_go_back_to_where_it_was(draft):
    control.submit(draft)
    control.pause(draft, by="li")
    assert (status(draft), Send.objects.get(pk=draft.pk).paused_by) == ("paused", "li")

    control.resume(draft, by="li")
    assert status(draft) == "preparing"

    preparing.prepare(draft.pk)
    control.pause(draft, by="li")
    control.resume(draft, by="li")
    assert status(draft) == "running"


def test_a_draft_cannot_be_paused_nor_a_canceled_send_resumed(draft):
    with pytest.raises(WrongState, match="Draft"):
        control.pause(draft, by="li")

    control.submit(draft)
    control.cancel(draft, by="li")
    with pytest.raises(WrongState):
        control.resume(draft, by="li")


def test_a_quota_pause_goes_on_by_itself_when_its_time_has_come(draft):
    control.submit(draft)
    preparing.prepare(draft.pk)
    control.pause_for(
        draft.channel,
        Send.PauseCode.QUOTA,
        45009,
        "reach max api daily quota limit",
        resume_at=timezone.now() + timedelta(hours=1),
    )
    sweeping.sends_to_prepare()
    assert status(draft) == "paused"

    Send.objects.filter(pk=draft.pk).update(resume_at=timezone.now())
    sweeping.sends_to_prepare()
    assert status(draft) == "running"
    assert sweeping.channels_to_drain() == [draft.channel_id]


def test_a_test_send_goes_to_one_person_first_in_line(draft):
    draft.data = {"thing1": "{{order}} {{phone}}", "time2": "10:00"}
    audience.stage(draft, ["order"], [("zhangsan", "", "A1"), ("other", "oX", "A2")])
    draft.save()
    person = next(audience.people(draft))

    test = control.new_test(draft, person, UserFactory())

    preparing.prepare(test.pk)
    test.refresh_from_db()
    assert (test.priority, test.source, test.total) == (1, "test", 1)
    delivery = test.deliveries.get()
    assert delivery.variables == {"order": "A1", "phone": ""}
    assert status(draft) == "draft"
