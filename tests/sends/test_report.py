"""What became of a send: its page, its reasons, its file, and another try."""

import csv
import io
import tracemalloc
from datetime import timedelta

import openpyxl
import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from channels_wechat.business_channels import create_business_channel
from channels_wechat.wechat.limits import Problem
from sends import drafting, exporting, problems, reporting
from sends.models import CallbackRefusal, Delivery, Drain, InboundEvent, Send
from tests.factories import ChannelFactory, OpenIDFactory, SendFactory, UserFactory
from users.models import UserList

pytestmark = pytest.mark.django_db
Status = Delivery.Status


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


@pytest.fixture
def operator(client):
    user = UserFactory()
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="sends")
    )
    client.force_login(user)
    return user


@pytest.fixture
def send():
    return SendFactory(title="Weekly", status=Send.Status.FINISHED)


def deliver(send, status, times=1, **fields):
    """Add deliveries of one kind, and count them."""
    name = f"n_{Status(status).name.lower()}"
    before = Delivery.objects.count()
    for n in range(before, before + times):
        defaults = {"userid": f"user{n}", "openid": f"oSB{n:025d}"}
        Delivery.objects.create(
            send=send, channel=send.channel, status=status, **{**defaults, **fields}
        )
    setattr(send, name, getattr(send, name) + times)
    send.save()


def to(send, name="change", *more):
    return reverse(f"admin:sends_send_{name}", args=[send.pk, *more])


# -- progress --------------------------------------------------------------------------


def test_speed_is_what_happened_between_two_looks(send, time_machine):
    now = timezone.now()
    time_machine.move_to(now, tick=False)
    send.status, send.started_at = Send.Status.RUNNING, now - timedelta(hours=5)
    send.prepared_at = send.started_at
    send.n_waiting, send.n_accepted = 2000, 1000
    reporting.progress(send)

    time_machine.move_to(now + timedelta(seconds=10), tick=False)
    send.n_waiting, send.n_accepted = 1000, 2000
    progress = reporting.progress(send)

    assert progress.per_second == pytest.approx(100)
    assert progress.left == timedelta(seconds=10)
    assert progress.left_shown == "10 s"
    send.prepared_at = None
    assert reporting.progress(send).left is None  # nobody knows how many will come


def test_a_send_that_runs_before_all_is_prepared_says_so(client, operator):
    send = SendFactory(status=Send.Status.RUNNING, started_at=timezone.now())
    deliver(send, Status.WAITING, 2)
    deliver(send, Status.ACCEPTED)

    page = client.get(to(send)).content.decode()
    Send.objects.filter(pk=send.pk).update(status=Send.Status.PAUSED)
    paused = client.get(to(send)).content.decode()
    Send.objects.filter(pk=send.pk).update(prepared_at=timezone.now())
    later = client.get(to(send)).content.decode()

    assert "1 of 3 prepared so far" in page
    assert "1 of 3 prepared so far" in paused
    assert "1 of 3" in later
    assert "prepared so far" not in later


def test_a_send_that_rests_has_no_speed(send):
    send.status = Send.Status.PAUSED
    send.n_waiting = 10

    assert reporting.progress(send).per_second is None


def test_the_page_of_a_running_send_looks_again_and_ends_looking(client, operator):
    send = SendFactory(status=Send.Status.RUNNING)
    deliver(send, Status.WAITING)

    page = client.get(to(send))
    live = client.get(to(send, "progress"), {"status": "running"})
    Send.objects.filter(pk=send.pk).update(
        status=Send.Status.FINISHED, finished_at=timezone.now() - timedelta(days=1)
    )
    ended = client.get(to(send, "progress"), {"status": "running"})
    later = client.get(to(send, "progress"), {"status": "finished"})

    assert "data-live-url" in page.text
    assert "X-Live" not in live
    assert (ended["X-Live"], later["X-Live"]) == ("reload", "stop")


def test_a_quota_pause_says_why_and_when_it_goes_on(client, operator):
    send = SendFactory(
        status=Send.Status.PAUSED,
        pause_code=Send.PauseCode.QUOTA,
        pause_errcode=45009,
        pause_detail="reach max api daily quota limit",
        resume_at=timezone.now() + timedelta(hours=3),
    )

    text = client.get(to(send)).text

    assert "The account&#x27;s quota of today is used up." in text
    assert "It goes on by itself at" in text
    assert "reach max api daily quota limit (45009)" in text


def test_a_wrong_ip_is_shown_to_be_copied(client, operator):
    send = SendFactory(
        status=Send.Status.PAUSED,
        pause_code=Send.PauseCode.CHANNEL,
        pause_errcode=40164,
        pause_detail="invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist",
    )

    text = client.get(to(send)).text

    assert 'data-copy="203.0.113.9"' in text
    assert "Add the address in WeChat" in text
    assert "Then press Resume." in text


def test_a_send_whose_template_is_gone_can_go_on_as_another(client, operator):
    send = SendFactory(
        status=Send.Status.PAUSED,
        pause_code=Send.PauseCode.TEMPLATE,
        pause_errcode=40037,
        pause_detail="invalid template_id",
    )

    text = client.get(to(send)).text

    assert "choose one that still exists" in text
    assert "Otherwise cancel, then send again to those canceled" in text


def test_a_secret_that_is_refused_is_not_said_to_mend_itself(client, operator):
    send = SendFactory(
        status=Send.Status.PAUSED,
        pause_code=Send.PauseCode.CHANNEL,
        pause_errcode=40001,
        pause_detail="WeChat refuses even the access token it has just given.",
    )

    text = client.get(to(send)).text

    assert "Compare AppID and AppSecret" in text
    assert "tried again by itself" not in text


def test_a_hold_of_the_channel_is_shown(client, operator):
    send = SendFactory(status=Send.Status.RUNNING)
    Drain.objects.create(
        channel=send.channel,
        hold_until=timezone.now() + timedelta(minutes=1),
        hold_reason="api freq out of limit (errcode 45011)",
    )

    assert "api freq out of limit" in client.get(to(send)).text


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("pause", "running", "paused"),
        ("resume", "paused", "running"),
        ("cancel", "running", "canceled"),
    ],
)
def test_the_buttons_act_and_a_second_click_only_says_so(
    client, operator, action, before, after
):
    now = timezone.now()
    send = SendFactory(status=before, started_at=now, prepared_at=now)
    deliver(send, Status.WAITING)

    client.post(to(send, "act", action))
    again = client.post(to(send, "act", action), follow=True)

    send.refresh_from_db()
    assert send.status == after
    assert "that is not possible now" in again.text


# -- reasons ---------------------------------------------------------------------------


def test_reasons_are_in_plain_language_with_wechats_code(send):
    deliver(send, Status.DELIVERED, 5)
    deliver(send, Status.REFUSED, 3, errcode=43004, error="require subscribe")
    deliver(send, Status.REFUSED, 2, errcode=43117, error="too frequent")
    deliver(send, Status.REFUSED, 1, errcode=99999, error="something new")
    deliver(send, Status.UNDELIVERED, 1, error="user block")
    deliver(send, Status.UNKNOWN, 1)
    deliver(send, Status.SKIPPED, 1, reason=Delivery.Reason.NO_OPENID)

    found = {(r.title, r.errcode): r for r in reporting.reasons(send)}

    unfollowed = found["The recipient does not follow the account.", 43004]
    assert (unfollowed.count, unfollowed.passing) == (3, False)
    assert unfollowed.advice.startswith("Only followers can be reached.")
    assert found["Too many messages to this recipient.", 43117].passing
    strange = found["WeChat refused for a reason we do not know.", 99999]
    assert strange.words == ["something new"]
    assert found["The recipient refuses the account's messages.", None].count == 1
    assert len(found) == 6


def test_unfit_values_are_one_reason_however_long_they_were(send):
    for length in (21, 30):
        kept = problems.keep(Problem("too_long", "thing1", 20, length))
        deliver(send, Status.SKIPPED, reason=Delivery.Reason.BAD_VALUE, error=kept)

    [reason] = reporting.reasons(send)

    assert reason.title == "A value does not fit: Topic has more than 20 characters"
    assert reason.count == 2


def test_reasons_cost_a_query_only_when_more_have_failed(
    send, django_assert_num_queries
):
    deliver(send, Status.REFUSED, errcode=43004)
    reporting.reasons(send)

    with django_assert_num_queries(0):
        assert reporting.reasons(send)[0].count == 1
    deliver(send, Status.ACCEPTED, 3)
    with django_assert_num_queries(0):
        assert reporting.reasons(send)[0].count == 1
    deliver(send, Status.REFUSED, errcode=43004)
    with django_assert_num_queries(1):
        assert reporting.reasons(send)[0].count == 2


def test_reasons_that_took_long_are_not_asked_for_at_every_look(
    send, django_assert_num_queries, time_machine
):
    time_machine.move_to(timezone.now(), tick=False)
    send.status = Send.Status.RUNNING
    deliver(send, Status.REFUSED, errcode=43004)

    def slowly(execute, *asked):
        time_machine.shift(0.5)
        return execute(*asked)

    with connection.execute_wrapper(slowly):
        reporting.reasons(send)

    deliver(send, Status.REFUSED, errcode=43004)
    time_machine.shift(9)
    with django_assert_num_queries(0):
        assert reporting.reasons(send)[0].count == 1
    time_machine.shift(2)
    with django_assert_num_queries(1):
        assert reporting.reasons(send)[0].count == 2
    send.status = Send.Status.FINISHED
    deliver(send, Status.REFUSED, errcode=43004)
    assert reporting.reasons(send)[0].count == 3


# -- deliveries ------------------------------------------------------------------------


def test_deliveries_are_paged_filtered_and_masked(
    client, operator, send, django_assert_num_queries
):
    deliver(send, Status.DELIVERED, reporting.PAGE + 5)
    deliver(send, Status.REFUSED, 2, errcode=43004)
    client.get(to(send))

    # session, user, permissions (user's, groups'), the send, its deliveries
    with django_assert_num_queries(6):
        first = client.get(to(send))
    rest = client.get(f"{to(send)}?{first.context['next']}")
    refused = client.get(to(send), {"status": "refused"})
    one = client.get(to(send), {"q": "user3"})

    assert len(first.context["rows"]) == reporting.PAGE
    assert len(rest.context["rows"]) == 7
    assert rest.context["next"] == ""
    assert len(refused.context["rows"]) == 2
    assert [row["delivery"].userid for row in one.context["rows"]] == ["user3"]
    assert "oSB00…0003" in one.text
    assert "oSB" + f"{3:025d}" not in one.text


def test_the_export_has_every_delivery_and_what_to_do(client, operator, send):
    deliver(send, Status.DELIVERED, 3, wechat_msgid=3487542469355618313)
    deliver(send, Status.REFUSED, 1, userid="=cmd()", errcode=43004, error="no")

    answer = client.get(to(send, "export", "csv"))
    refused = client.get(to(send, "export", "xlsx"), {"status": "refused"})

    text = answer.getvalue().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["status"] for row in rows] == ["delivered"] * 3 + ["refused"]
    assert rows[0]["wechat_msgid"] == "3487542469355618313"
    assert rows[3]["userid"] == "'=cmd()"  # no formula
    book = openpyxl.load_workbook(io.BytesIO(refused.getvalue()))
    header, row = book.active.values
    told = dict(zip(header, row, strict=True))
    assert told["userid"] == "=cmd()"
    assert told["WeChat's code"] == 43004
    assert told["what to do"].startswith("Only followers")


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_large_export_takes_no_more_memory(kind):
    rows = ([f"user{n}", "x" * 40, n] for n in range(100_000))

    tracemalloc.start()
    size = sum(len(piece) for piece in exporting.stream(kind, ["a", "b", "c"], rows))
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size > 500_000
    assert peak < 4_000_000


def test_more_rows_than_a_sheet_holds_go_to_a_second_one(monkeypatch):
    monkeypatch.setattr(exporting, "ROWS_A_SHEET", 3)
    rows = [[n] for n in range(5)]

    file = b"".join(exporting.stream("xlsx", ["n"], rows))

    book = openpyxl.load_workbook(io.BytesIO(file))
    assert [list(sheet.values) for sheet in book] == [
        [("n",), (0,), (1,)],
        [("n",), (2,), (3,)],
        [("n",), (4,)],
    ]


# -- again -----------------------------------------------------------------------------


@pytest.fixture
def mixed(send):
    """Every kind of end, one each, the userid saying which."""
    send.columns = ["topic"]
    send.data = {"thing1": "{{topic}}", "time2": "10:00"}
    ends = [
        ("refused", "often", {"errcode": 43117}),
        ("refused", "busy", {"errcode": -1}),
        ("refused", "unfollowed", {"errcode": 43004}),
        ("undelivered", "failed", {"error": "system failed"}),
        ("undelivered", "block", {"error": "user block"}),
        ("unknown", "unknown", {}),
        ("canceled", "canceled", {}),
        ("delivered", "delivered", {}),
    ]
    for word, userid, fields in ends:
        deliver(
            send,
            Status[word.upper()],
            userid=userid,
            variables={"topic": f"for {userid}"},
            **fields,
        )
    return send


@pytest.mark.parametrize(
    ("what", "who"),
    [
        (["passing"], {"often", "busy"}),
        (["system_failed"], {"failed"}),
        (["canceled", "unknown"], {"canceled", "unknown"}),
        ([], set()),
    ],
)
def test_again_takes_exactly_the_chosen(mixed, what, who):
    assert {d.userid for d in drafting.again(mixed, what)} == who


def test_a_new_draft_for_the_rest_keeps_values_and_columns(client, operator, mixed):
    answer = client.post(to(mixed, "again"), {"what": ["passing", "unknown"]})

    draft = Send.objects.get(resend_of=mixed)
    assert answer.url == to(draft, "values")
    assert (draft.status, draft.data) == (Send.Status.DRAFT, mixed.data)
    assert draft.title == "Weekly (again)"
    assert draft.created_by == operator
    assert {r.userid: r.variables for r in draft.rows.all()} == {
        "often": {"topic": "for often"},
        "busy": {"topic": "for busy"},
        "unknown": {"topic": "for unknown"},
    }


def test_the_page_offers_again_with_a_warning_for_the_unknown(client, operator, mixed):
    page = client.get(to(mixed))

    groups = {g["word"]: g["count"] for g in page.context["again"]}
    assert groups == {"passing": 2, "system_failed": 1, "canceled": 1, "unknown": 1}
    assert "will get it twice" in page.text


def test_a_send_under_way_is_not_sent_again(client, operator, mixed):
    Send.objects.filter(pk=mixed.pk).update(status=Send.Status.RUNNING)

    client.post(to(mixed, "again"), {"what": ["passing"]})

    assert not Send.objects.filter(resend_of=mixed).exists()


# -- lists -----------------------------------------------------------------------------


def test_the_list_costs_the_same_for_one_and_for_many(
    client, operator, django_assert_num_queries
):
    sends = [SendFactory(title=f"Send {n}") for n in range(35)]
    address = reverse("admin:sends_send_changelist")
    client.get(address)

    # session, user, permissions (2), sends, channels, business channels
    with django_assert_num_queries(7):
        first = client.get(address)
    rest = client.get(f"{address}?{first.context['next']}")

    shown = [row["send"] for row in [*first.context["rows"], *rest.context["rows"]]]
    assert shown == sends[::-1]
    assert rest.context["next"] == ""


def test_a_send_that_reached_nobody_says_so(client, operator):
    empty = SendFactory(status=Send.Status.FINISHED)

    assert "Nobody was in the audience" in client.get(to(empty)).text


def test_a_send_names_what_was_asked_for_it(client, operator):
    gone = UserList.objects.create(name="Unsubscribed", kind="black")
    send = SendFactory(
        status=Send.Status.FINISHED,
        blacklist=gone,
        sendno="A-17",
        data={"thing1": "Coffee"},
        template__fields=[{"key": "thing1", "label": "Subject", "type": "thing"}],
    )

    page = client.get(to(send)).text

    assert "Unsubscribed" in page
    assert "A-17" in page
    assert "<dt>Subject</dt><dd>Coffee</dd>" in page
    assert reverse("admin:sends_send_changelist") in page.split("</h1>")[0]


def test_the_list_is_filtered(client, operator):
    old = SendFactory(status=Send.Status.FINISHED)
    Send.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=9))
    system, _secret = create_business_channel("Orders")
    new = SendFactory(status=Send.Status.RUNNING, business_channel=system)
    address = reverse("admin:sends_send_changelist")
    week_ago = f"{timezone.now() - timedelta(days=7):%Y-%m-%d}"

    def shown(**query):
        return [row["send"] for row in client.get(address, query).context["rows"]]

    assert shown(status="running") == [new]
    assert shown(channel=old.channel_id) == [old]
    assert shown(business=system.pk) == [new]
    assert "Orders" in client.get(address).text
    assert shown(since=week_ago) == [new]
    assert shown(until=week_ago) == [old]
    assert shown(since="2026-02-31", channel="x", status="'", before="no") == [new, old]


def test_the_events_of_a_channel_and_why_pushes_were_refused(
    client, operator, django_assert_num_queries
):
    now = timezone.now()
    channel = ChannelFactory(last_push_at=now)
    other = ChannelFactory()
    for n in range(60):
        InboundEvent.objects.create(
            channel=channel if n else other,
            key=f"k{n}",
            event="templatesendjobfinish",
            openid=f"oSB{n:025d}",
            outcome="success",
            created_at=now,
            received_at=now,
            try_at=now,
            status=InboundEvent.Status.UNMATCHED if n == 7 else 1,
        )
    CallbackRefusal.objects.create(
        channel=channel,
        reason="not_decrypted",
        address="203.0.113.7",
        count=12,
        first_at=now,
        last_at=now,
    )
    address = reverse("admin:sends_inboundevent_changelist")
    client.get(address)

    # session, user, permissions (2), channels, events, refusals
    with django_assert_num_queries(7):
        page = client.get(address)
    older = client.get(f"{address}?{page.context['next']}")
    unmatched = client.get(address, {"channel": channel.pk, "status": "2"})

    assert page.context["channel"] == channel
    assert len(page.context["rows"]) == 50
    assert len(older.context["rows"]) == 9
    assert [row["event"].key for row in unmatched.context["rows"]] == ["k7"]
    assert "It cannot be decrypted." in page.text
    assert "EncodingAESKey here and the one in WeChat" in page.text
    assert "oSB00…0059" in page.text


# -- one person ------------------------------------------------------------------------


def test_a_persons_history_is_everything_newest_first(
    client, operator, send, django_assert_num_queries
):
    bound = OpenIDFactory(channel=send.channel, recipient__userid="zhang/san")
    for n in range(60):
        deliver(
            send if n % 2 else SendFactory(title=f"Other {n}"),
            Status.DELIVERED,
            userid="zhang/san" if n % 3 else "",  # by openID alone
            openid=bound.openid,
        )
    deliver(send, Status.REFUSED, userid="lisi")
    address = reverse("admin:sends_recipient_history", args=["zhang/san"])
    client.get(address)

    # session, user, permissions (2), openIDs, by userid, by openID, acceptances,
    # channels, person
    with django_assert_num_queries(10):
        first = client.get(address)
    rest = client.get(f"{address}?{first.context['next']}")

    items = [row["item"] for row in first.context["rows"] + rest.context["rows"]]
    rows = [item.delivery.pk for item in items if item.delivery is not None]
    mine = Delivery.objects.exclude(userid="lisi").order_by("-pk")
    assert sorted(rows, reverse=True) == [delivery.pk for delivery in mine]
    assert [item.what for item in items if item.delivery is None] == ["bound"]
    part = client.get(address, headers={"X-Requested-With": "live"})
    assert part["X-Live"] == "stop"
    assert "<html" not in part.text
    assert "<html" in first.text


def test_the_history_says_why_and_what_to_do(client, operator, send):
    now = timezone.now()
    bound = OpenIDFactory(
        channel=send.channel,
        recipient__userid="zhangsan",
        followed=False,
        followed_at=now,
    )
    deliver(
        send,
        Status.REFUSED,
        userid="zhangsan",
        openid=bound.openid,
        errcode=43004,
        error="require subscribe",
    )
    deliver(send, Status.SKIPPED, userid="zhangsan", reason="blacklisted")

    page = client.get(reverse("admin:sends_recipient_history", args=["zhangsan"])).text

    assert "43004" in page
    assert "Unfollowed the account" in page
    assert "until they follow again" in page
    assert "on the blacklist that this send names" in page
    assert "Take them off the list" in page
    assert bound.openid not in page


@pytest.mark.parametrize("reason", Delivery.Reason.values)
def test_every_reason_to_skip_is_a_sentence(send, reason):
    deliver(send, Status.SKIPPED, reason=reason)

    told = reporting.explain(Delivery.objects.get(), {})

    assert " " in told.title
    assert told.title.endswith(".") or reason == Delivery.Reason.BAD_VALUE


def test_nobodys_history_is_empty(client, operator):
    answer = client.get(reverse("admin:sends_recipient_history", args=["nobody"]))

    assert "Nothing was ever sent to this person." in answer.text
    assert "Nobody is known as nobody" in answer.text


@pytest.mark.parametrize("cursor", ["x", "%00", "5", "LTEgMjAyNg=="])
def test_a_strange_cursor_begins_anew(client, operator, cursor):
    address = reverse("admin:sends_recipient_history", args=["nobody"])

    assert client.get(f"{address}?before={cursor}").status_code == 200
