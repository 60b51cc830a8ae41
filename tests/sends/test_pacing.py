"""The pace of a channel: halved at a sign of trouble, grown back step by step."""

from datetime import timedelta

import pytest
from django.utils import timezone

from channels_wechat.wechat import errors
from sends.models import Drain
from sends.pacing import LOWEST, Pace, is_trouble
from tests.factories import ChannelFactory

NOW = timezone.now()


def later(seconds):
    return NOW + timedelta(seconds=seconds)


def test_one_sign_of_trouble_halves_the_pace_once():
    pace = Pace(1.0, NOW)

    for _answer in range(50):
        pace.slower(NOW, "system error (errcode -1)")

    assert pace.share == 0.5
    pace.slower(later(3), "system error (errcode -1)")
    assert pace.share == 0.25


def test_it_never_stops_and_grows_back_step_by_step():
    pace = Pace(1.0, NOW)
    for number in range(20):
        pace.slower(later(3 * number), "busy")
    assert pace.share == LOWEST

    pace.faster(later(57 + 10))
    assert pace.share == pytest.approx(LOWEST + 0.2)
    assert pace.reason == "busy"
    pace.faster(later(57 + 100))
    assert (pace.share, pace.reason) == (1.0, "")


def test_connections_and_rate_shrink_together():
    channel = ChannelFactory.build(connections=50, rate_per_s=100)

    assert Pace(1.0, NOW).limits(channel) == (50, 100)
    assert Pace(0.25, NOW).limits(channel) == (12, 25)
    channel.rate_per_s = None
    assert Pace(LOWEST, NOW).limits(channel) == (1, None)


def test_answers_that_take_much_longer_than_at_best_slow_it_down():
    pace = Pace(1.0, NOW)

    pace.watch(0.05, NOW)
    pace.watch(0.30, later(1))  # longer, but not long
    assert pace.share == 1.0
    pace.watch(0.80, later(2))

    assert (pace.share, pace.reason) == (0.5, "0.8 s")


@pytest.mark.parametrize(
    ("errcode", "trouble"),
    [(-1, True), (45011, True), (43117, True), (43004, False), (40037, False)],
)
def test_what_counts_as_trouble(errcode, trouble):
    assert is_trouble(errors.error_for(errcode, "")) is trouble


@pytest.mark.django_db
def test_the_next_drain_goes_on_with_it():
    channel = ChannelFactory()
    drain = Drain.objects.create(channel=channel)
    pace = Pace.of(drain, NOW)
    pace.slower(NOW, "busy")
    pace.keep(channel.pk)

    drain.refresh_from_db()

    assert Pace.of(drain, NOW).share == 0.5
    assert Pace.of(drain, later(5)).share == pytest.approx(0.6)
