"""The limits of a business channel, by the clock."""

from datetime import timedelta

import pytest
from django.utils import timezone

from channels_wechat import protection

pytestmark = pytest.mark.django_db


@pytest.fixture
def sender(shop):
    return shop.row


def test_calls_come_back_evenly(sender):
    sender.calls_per_minute = 6
    now = timezone.now()
    for left in range(5, -1, -1):
        rate = protection.count_call(sender, now)
        assert (rate.allowed, rate.limit, rate.remaining) == (True, 6, left)
    assert not protection.count_call(sender, now + timedelta(seconds=9)).allowed
    assert protection.count_call(sender, now + timedelta(seconds=11)).allowed


def test_without_a_limit_nothing_is_counted(sender, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert protection.count_call(sender) == protection.NO_LIMIT


@pytest.mark.parametrize(
    ("hours", "time", "quiet"),
    [
        ("", "03:00", False),
        ("22:00-08:00", "21:59", False),
        ("22:00-08:00", "22:00", True),
        ("22:00-08:00", "07:59", True),
        ("22:00-08:00", "08:00", False),
        ("12:00-13:00", "11:59", False),
        ("12:00-13:00", "12:30", True),
        ("12:00-13:00", "13:00", False),
    ],
)
def test_quiet_hours_are_chinas_and_may_go_over_midnight(sender, hours, time, quiet):
    sender.quiet_hours = hours
    hour, minute = map(int, time.split(":"))
    at = timezone.now().astimezone(protection.CHINA).replace(hour=hour, minute=minute)

    assert protection.is_quiet(sender, at) is quiet


def test_broadcasts_are_counted_by_chinas_day(sender):
    sender.broadcasts_per_day = 1
    at = timezone.now().astimezone(protection.CHINA).replace(hour=0, minute=1)

    assert protection.count_broadcast(sender, at)
    assert not protection.count_broadcast(sender, at + timedelta(hours=23))
    assert protection.count_broadcast(sender, at + timedelta(hours=24))


def test_broadcasts_may_be_forbidden(sender):
    sender.broadcasts_per_day = 0

    assert not protection.count_broadcast(sender)


@pytest.mark.parametrize(
    ("text", "found"),
    [("免费领取", "免费"), ("Big PRIZE!", "prize"), ("免 费", ""), ("", "")],
)
def test_a_sensitive_word_is_found_in_any_text(sender, text, found):
    sender.sensitive_words = ["免费", "prize", ""]

    assert protection.sensitive_word(sender, ["fine", text]) == found
