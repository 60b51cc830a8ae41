"""POST /v1/retract/{msgid}: chapter 6 of the JUMS API."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from django.utils import timezone

from sends import sending
from sends.models import CallbackURL, Delivery, Send, StatusCallback
from tests.factories import UserFactory
from tests.jums_fixture import refusal, sent, targets

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]


@pytest.fixture
def message(shop):
    """A message to two people, prepared; nothing has left."""
    shop.bind("second")
    answer = shop.post("sent", shop.body(aud_userid=[shop.userid, "second"]))
    targets(answer)
    return sent(answer)


@pytest.mark.parametrize("encode", [str, lambda msgid: quote(msgid, safe="")])
@pytest.mark.parametrize("body", ["null", "", "{}", '"x"', "{", "\0"])
def test_what_has_not_left_is_stopped(shop, message, encode, body):
    answer = shop.post(f"retract/{encode(message.msgid)}", body)

    assert answer.status_code == 200
    assert answer.json() == {"code": 0, "message": "success"}
    sending.drain(shop.channel.pk)
    assert {d.status for d in Delivery.objects.all()} == {Delivery.Status.CANCELED}


def test_all_parts_of_a_message_are_stopped(shop):
    messages = [shop.message(), shop.message(url="https://example.com")]
    send = sent(shop.post("sent", shop.body(msg_wechatoa=messages)))

    shop.post(f"retract/{send.msgid}", "null")

    assert [one.status for one in Send.objects.all()] == ["canceled"] * 2


def test_a_second_time_is_1015055_in_jums_own_words(shop, message):
    shop.post(f"retract/{message.msgid}", "null")

    answer = shop.post(
        f"retract/{message.msgid}", "null", headers={"accept-language": "zh-CN"}
    )

    assert refusal(answer) == (400, 1015055)
    assert answer.json()["message"] == "消息已经被撤回"


@pytest.mark.parametrize("status", ["in_review", "scheduled", "paused", "running"])
def test_one_that_waits_for_whatever_is_cancelled(shop, status):
    send = sent(shop.post("sent", shop.body()))
    Send.objects.update(status=status)

    assert shop.post(f"retract/{send.msgid}").json()["code"] == 0
    assert Send.objects.get().status == "canceled"


def test_one_under_review_can_be_taken_back_by_its_sender(shop):
    shop.set(review=True)
    UserFactory(username="li")
    send = sent(shop.post("sent", shop.body(option={"owner": "li"})))

    assert shop.post(f"retract/{send.msgid}").json()["code"] == 0
    assert Send.objects.get().status == "canceled"


def test_stopped_ones_are_told_as_7_and_those_that_left_as_8(shop, message):
    CallbackURL.objects.create(
        business_channel=shop.row,
        url="https://crm.example.com/",
        default=True,
        types=[7, 8],
        verified_at=timezone.now(),
    )
    first = Delivery.objects.filter(send=message).order_by("pk")[:1]
    Delivery.objects.filter(pk__in=first).update(status=Delivery.Status.ACCEPTED)
    Send.objects.update(n_waiting=1, n_accepted=1)

    shop.post(f"retract/{message.msgid}", "null")
    sending.drain(shop.channel.pk)

    assert set(StatusCallback.objects.values_list("userid", "type", "error_code")) == {
        (shop.userid, 8, 9300),
        ("second", 7, None),
    }


@pytest.mark.parametrize(
    "msgid",
    ["v:1t:1p:1n:1", "nothing", "x" * 300, "%E5%8F%B7", "%FF", "v:1t:1p:1n:1%20"],
)
def test_an_unknown_msgid_is_4004(shop, msgid):
    assert refusal(shop.post(f"retract/{msgid}", "null")) == (400, 4004)


def test_a_nul_is_no_address(shop):
    assert refusal(shop.post("retract/v:1t%00", "null")) == (404, 4004)


def test_a_foreign_msgid_is_4004_and_goes_on(shop, rival, message):
    assert refusal(rival.post(f"retract/{message.msgid}", "null")) == (400, 4004)
    assert Send.objects.get(pk=message.pk).status == "running"


@pytest.mark.parametrize(("hours", "code"), [(23.9, 0), (24.1, 4004)])
def test_within_24_hours(shop, message, hours, code):
    Send.objects.update(created_at=timezone.now() - timedelta(hours=hours))

    assert shop.post(f"retract/{message.msgid}", "null").json()["code"] == code


def test_a_part_has_no_msgid_of_its_own_for_clients(shop):
    messages = [shop.message(), shop.message(url="https://example.com")]
    part = sent(shop.post("sent", shop.body(msg_wechatoa=messages))).parts.get()

    assert refusal(shop.post(f"retract/{part.msgid}")) == (400, 4004)
