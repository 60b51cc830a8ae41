"""Which changes become status callbacks. Runs on SQLite and on PostgreSQL."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from channels_wechat.business_channels import create_business_channel
from sends import (
    audience,
    control,
    outbox,
    preparing,
    receipts,
    reviewing,
    sending,
)
from sends.models import (
    AudienceRow,
    CallbackURL,
    Delivery,
    InboundEvent,
    Send,
    StatusBatch,
    StatusCallback,
)
from sends.querysets import Result
from tests.factories import (
    OpenIDFactory,
    SendFactory,
    TemplateFactory,
    UserFactory,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]


@pytest.fixture
def business():
    return create_business_channel("Orders")[0]


@pytest.fixture
def listen(business):
    def add(url="https://crm.example.com/status", **fields) -> CallbackURL:
        fields = {
            "types": list(range(9)),
            "default": True,
            "verified_at": timezone.now(),
            "business_channel": business,
        } | fields
        return CallbackURL.objects.create(url=url, **fields)

    return add


@pytest.fixture
def send(business):
    send = SendFactory(status=Send.Status.PREPARING, business_channel=business)
    audience.stage(send, [], [("zhangsan", "o1"), ("lisi", "o2"), ("nobody", "")])
    return send


def told(**of) -> list[tuple]:
    """Items as (userid, type, error code), in the order they were written."""
    return list(
        StatusCallback.objects.filter(**of)
        .order_by("pk")
        .values_list("userid", "type", "error_code")
    )


def rows(send: Send, *statuses: tuple[str, str, int]) -> None:
    for userid, openid, status in statuses:
        Delivery.objects.create(
            send=send,
            channel=send.channel,
            userid=userid,
            openid=openid,
            status=status,
            wechat_msgid=7 if status == 2 else None,
        )
    drift = Send.objects.filter(pk=send.pk).drift()
    Send.objects.filter(pk=send.pk).update(**{f"n_{d.status}": d.rows for d in drift})


def test_preparing_tells_who_is_a_target_and_who_is_not(send, listen):
    listen()
    audience.stage(
        send, [], [("zhangsan", "o1"), ("lisi", ""), ("again", "o1"), ("", "o3")]
    )
    OpenIDFactory(recipient__userid="lisi")  # on another channel

    preparing.prepare(send.pk)

    assert told() == [
        ("zhangsan", 0, None),
        ("lisi", 1, 9002),
        ("again", 1, 9003),
        ("", 0, None),
    ]


def test_each_reason_for_leaving_somebody_out_has_its_own_code(send, listen):
    listen()
    for reason in Delivery.Reason.values:
        Delivery.objects.create(
            send=send,
            channel=send.channel,
            userid=reason,
            status=Delivery.Status.SKIPPED,
            reason=reason,
        )

    with transaction.atomic():
        outbox.prepared(send.pk)
    Send.objects.filter(pk=send.pk).update(n_skipped=len(Delivery.Reason))

    assert {userid: code for userid, _type, code in told()} == {
        "no_recipient": 9001,
        "no_openid": 9002,
        "duplicate": 9003,
        "foreign_openid": 9004,
        "bad_value": 9005,
        "blacklisted": 9006,
        "not_listed": 9007,
        "capped": 9008,
        "no_acceptance": 9009,
    }
    assert {type_ for _userid, type_, _code in told()} == {1}


def test_results_are_told_with_wechats_own_code(send, listen):
    listen()
    rows(send, ("a", "o1", 1), ("b", "o2", 1), ("c", "o3", 1), ("d", "o4", 1))
    a, b, c, d = Delivery.objects.filter(send=send).order_by("pk")
    now = timezone.now()

    with transaction.atomic():
        results = [
            Result(a.pk, 2, 11),
            Result(b.pk, 5, None, 43004, "require subscribe"),
            Result(c.pk, 6),
            Result(d.pk, 0, doubt_since=now),  # waits again: nothing to tell yet
        ]
        Send.objects.move(Delivery.objects.record(results, now))
        outbox.sent([send.pk], [a.pk, b.pk, c.pk, d.pk], now)

    assert told() == [("a", 2, None), ("b", 3, 43004), ("c", 3, 9100)]
    assert StatusCallback.objects.get(userid="b").error == "require subscribe"


def test_a_result_that_came_too_late_is_not_told_again(send, listen):
    listen()
    rows(send, ("a", "o1", 2))
    delivery = Delivery.objects.get(send=send, userid="a")
    now = timezone.now()

    with transaction.atomic():
        Delivery.objects.record([Result(delivery.pk, 5, None, 40003, "x")], now)
        outbox.sent([send.pk], [delivery.pk], now)

    assert told() == []


def test_receipts_are_told(send, listen):
    listen()
    rows(send, ("a", "o1", 2), ("b", "o2", 2), ("c", "o3", 2))
    now = timezone.now()
    for openid, outcome in [
        ("o1", "success"),
        ("o2", "failed:user block"),
        ("o3", "failed: system failed"),
    ]:
        InboundEvent.objects.create(
            channel=send.channel,
            key=openid,
            event="templatesendjobfinish",
            openid=openid,
            msgid=7,
            outcome=outcome,
            created_at=now,
            received_at=now,
            try_at=now,
        )

    receipts.apply_waiting(send.channel_id)

    assert told() == [("a", 4, None), ("b", 5, 9201), ("c", 5, 9202)]


def test_a_canceled_send_tells_what_was_stopped(send, listen, settings):
    listen()
    preparing.prepare(send.pk)
    StatusCallback.objects.all().delete()
    Delivery.objects.filter(send=send, userid="lisi").update(doubt_since=timezone.now())

    control.cancel(send, "operator")
    sending.drain(send.channel_id)

    assert told() == [("zhangsan", 7, None), ("lisi", 3, 9100)]


def test_a_send_canceled_while_prepared_tells_of_its_targets_first(send, listen):
    listen()
    rows(send, ("a", "o1", 0), ("b", "", 7))
    read = AudienceRow.objects.filter(send=send, userid="lisi").get()
    Send.objects.filter(pk=send.pk).update(prepare_cursor=read.pk)

    control.cancel(send, "operator")
    sending.drain(send.channel_id)

    # Those that it did not come to first: they have no row that could tell.
    assert told() == [
        ("nobody", 1, 9001),
        ("a", 0, None),
        ("b", 1, 9000),
        ("a", 7, None),
    ]


@pytest.mark.parametrize("types", [[7], [1], [1, 7], [0, 2]], ids=str)
def test_a_send_canceled_before_it_was_prepared_tells_everyone(send, listen, types):
    listen(types=types)

    control.cancel(send, "operator")
    sending.drain(send.channel_id)

    whole = [("zhangsan", 7, None), ("lisi", 7, None), ("nobody", 1, 9001)]
    assert told() == [item for item in whole if item[1] in types]


def test_a_broadcast_rejected_in_review_tells_everyone_why(business, listen):
    listen()
    send = SendFactory(status=Send.Status.IN_REVIEW, business_channel=business)
    for userid in ("a", "b"):
        OpenIDFactory(channel=send.channel, recipient__userid=userid)
    OpenIDFactory(recipient__userid="elsewhere")

    reviewing.reject(send, UserFactory(), "wrong price")

    assert told() == [("a", 1, 9400), ("b", 1, 9400)]
    assert {one.error for one in StatusCallback.objects.all()} == {"wrong price"}


def test_a_send_of_the_console_is_nobodys_to_tell_of(send, listen):
    listen()
    Send.objects.filter(pk=send.pk).update(business_channel=None)

    control.cancel(send, "operator")

    assert told() == []


def test_a_retraction_of_what_has_left_fails(send, listen):
    listen()
    rows(send, ("a", "o1", 2), ("b", "o2", 3), ("c", "o3", 5), ("d", "o4", 8))

    with transaction.atomic():
        outbox.not_retracted([send.pk])

    assert told() == [("a", 8, 9300), ("b", 8, 9300)]


def test_what_was_on_its_way_when_it_was_retracted_is_told_so(send, listen):
    listen()
    rows(send, ("a", "o1", 1), ("b", "o2", 1))
    Send.objects.filter(pk=send.pk).update(retracted_at=timezone.now())
    a, b = Delivery.objects.filter(send=send).order_by("pk")
    now = timezone.now()

    with transaction.atomic():
        results = [Result(a.pk, 2, 11), Result(b.pk, 5, None, 40003, "invalid openid")]
        Send.objects.move(Delivery.objects.record(results, now))
        outbox.sent([send.pk], [a.pk, b.pk], now)

    assert told() == [("a", 2, None), ("b", 3, 40003), ("a", 8, 9300)]


def test_only_chosen_types_are_told(send, listen):
    listen(types=[1, 6])

    preparing.prepare(send.pk)

    assert told() == [("nobody", 1, 9001)]


@pytest.mark.parametrize("of_part", [False, True], ids=["its own", "its head's"])
def test_a_send_may_name_another_url(send, listen, of_part):
    listen()
    other = listen("https://other.example.com/", default=False)
    naming = SendFactory(template=TemplateFactory(channel=send.channel))
    if of_part:
        Send.objects.filter(pk=send.pk).update(part_of=naming)
    else:
        naming = send
    Send.objects.filter(pk=naming.pk).update(callback_url=other.url)

    preparing.prepare(send.pk)

    assert len(told(url=other)) == StatusCallback.objects.count() == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda url, send: setattr(url, "verified_at", None),
        lambda url, send: setattr(url, "default", False),
        lambda url, send: setattr(url, "types", []),
        lambda url, send: setattr(url.business_channel, "callbacks_enabled", False),
        lambda url, send: setattr(send, "callback_url", "https://gone.example.com/"),
        lambda url, send: setattr(send, "business_channel", None),
    ],
    ids=["unverified", "not default", "no types", "switched off", "gone", "console's"],
)
def test_nothing_is_written_when_nobody_listens(send, listen, change):
    url = listen()
    change(url, send)
    url.save()
    url.business_channel.save()
    send.save()

    preparing.prepare(send.pk)

    assert told() == []


def test_another_business_channel_hears_nothing(send, listen):
    other, _secret = create_business_channel("Other")
    listen(business_channel=other)

    preparing.prepare(send.pk)

    assert told() == []


def test_items_and_status_are_one_transaction(send, listen):
    listen()

    with transaction.atomic():
        preparing.prepare(send.pk)
        transaction.set_rollback(True)

    assert told() == []
    assert not StatusBatch.objects.exists()


def test_the_time_of_a_receipt_is_when_it_came(send, listen):
    listen()
    rows(send, ("a", "o1", 2))
    came = timezone.now() - timedelta(minutes=5)
    InboundEvent.objects.create(
        channel=send.channel,
        key="k",
        event="templatesendjobfinish",
        openid="o1",
        msgid=7,
        outcome="success",
        created_at=came,
        received_at=came,
        try_at=came,
    )

    receipts.apply_waiting(send.channel_id)

    assert StatusCallback.objects.get().at == came
