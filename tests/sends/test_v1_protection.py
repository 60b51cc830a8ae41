"""What a business channel may not send: chapter 5.4 of the JUMS API. Each protection is
off until it is set."""

import pytest
import time_machine
from django.utils import timezone

from channels_wechat.protection import CHINA
from sends.models import Send
from tests.jums_fixture import refusal, targets

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]

CALLS = {
    "sent": lambda shop: shop.post("sent", shop.body()),
    "broadcast": lambda shop: shop.post("broadcast", shop.body()),
    "template/sent": lambda shop: shop.post("template/sent", shop.general_body()),
    "template/broadcast": lambda shop: shop.post(
        "template/broadcast", shop.general_body()
    ),
}
every_send = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@every_send
def test_nothing_is_limited_until_it_is_set(shop, call):
    for _ in range(12):
        assert call(shop).json()["code"] == 0


@every_send
@pytest.mark.parametrize(("at", "code"), [("23:30", 1015038), ("08:00", 0)])
def test_within_the_quiet_hours_a_request_is_refused(shop, call, at, code):
    shop.set(quiet_hours="22:00-08:00")
    hour, minute = map(int, at.split(":"))
    now = timezone.now().astimezone(CHINA).replace(hour=hour, minute=minute)

    with time_machine.travel(now):
        answer = call(shop)

    assert answer.json()["code"] == code
    assert Send.objects.exists() is (code == 0)


@every_send
def test_a_sensitive_word_is_refused_and_named(shop, call):
    shop.set(sensitive_words=["开会", "周会"])

    answer = call(shop)

    assert refusal(answer) == (400, 1015034)
    assert "周会" in answer.json()["message"]
    assert not Send.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://example.com/PRIZE"},
        {
            "miniprogram": {
                "appid": "wx5a0db0c5e7000001",
                "pagepath": "win?a=prize",
            }
        },
        {"data": {"thing1": "a Prize", "time2": "10:00"}},
    ],
    ids=str,
)
def test_a_sensitive_word_is_found_wherever_it_is_read(shop, change):
    shop.set(sensitive_words=["prize"])

    answer = shop.post("sent", shop.body(msg_wechatoa=[shop.message(**change)]))

    assert refusal(answer) == (400, 1015034)


def test_broadcasts_a_day_are_kept_to_by_both_kinds_together(shop):
    shop.set(broadcasts_per_day=2)

    codes = [
        CALLS[name](shop).json()["code"]
        for name in ("broadcast", "template/broadcast", "broadcast", "sent")
    ]

    assert codes == [0, 0, 1015029, 0]
    assert refusal(CALLS["template/broadcast"](shop)) == (400, 1015029)
    assert Send.objects.count() == 3


def test_a_refused_broadcast_is_not_counted(shop):
    shop.set(broadcasts_per_day=1)

    assert refusal(shop.post("broadcast", shop.body(rule_id=9))) == (400, 1015026)
    assert CALLS["broadcast"](shop).json()["code"] == 0


def test_a_cap_per_person_and_day_counts_this_senders_messages(shop, rival):
    shop.set(per_person_per_day=1)
    first, second = (targets(shop.post("sent", shop.body())) for _ in range(2))

    assert (first, second) == ({shop.userid: ""}, {shop.userid: "capped"})
    assert targets(rival.post("sent", rival.body())) == {rival.userid: ""}
