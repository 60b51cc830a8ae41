"""How many a subscribe-notification would reach, today and day by day."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sends import forecasting, ledger
from sends.models import Acceptance, AcceptanceEntry
from tests.factories import TemplateFactory

pytestmark = pytest.mark.django_db

NOW = timezone.localtime().replace(hour=12, minute=0, second=0, microsecond=0)
KINDS = {"accept": 0, "used": 1, "reject": 2, "none left": 3}


@pytest.fixture
def template():
    return TemplateFactory(kind="subscribe")


def happened(template, openid, *things):
    """(what, days ago) of one person."""
    acceptance, _new = Acceptance.objects.get_or_create(
        channel=template.channel, template_id=template.template_id, openid=openid
    )
    for what, days_ago in things:
        key = f"e{AcceptanceEntry.objects.count()}"
        at = NOW - timedelta(days=days_ago)
        acceptance.entries.create(kind=KINDS[what], at=at, key=key)
    ledger.fold([acceptance.pk])


def reachable(template):
    return [day.reachable for day in forecasting.growth(template, NOW)]


def test_each_day_has_its_number(template):
    happened(template, "o-1", ("accept", 40))
    happened(template, "o-2", ("accept", 5), ("used", 2))
    happened(template, "o-3", ("accept", 3), ("accept", 3), ("used", 1))
    happened(template, "o-4", ("accept", 4), ("reject", 0))
    happened(TemplateFactory(kind="subscribe"), "o-1", ("accept", 40))

    days = forecasting.growth(template, NOW)

    assert days[-1].day == NOW.date()
    assert [day.reachable for day in days] == [1] * 24 + [2, 3, 4, 3, 3, 2]
    assert forecasting.reach(template) == (2, 1, 0, 1)


def test_a_long_term_acceptance_counts_until_it_is_taken_back(template):
    template.long_term = True
    template.save()
    happened(template, "o-1", ("accept", 9), ("used", 8), ("used", 7), ("none left", 2))
    happened(template, "o-2", ("accept", 1), ("used", 0))

    assert reachable(template)[-10:] == [1] * 7 + [0] + [1, 1]
    assert forecasting.reach(template) == (1, 1, 0, 0)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    things=st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from(sorted(KINDS)), st.integers(0, 33)
        ),
        max_size=12,
    )
)
def test_the_last_day_is_what_the_ledger_says(template, things):
    Acceptance.objects.all().delete()
    for person, what, days_ago in things:
        happened(template, f"o-{person}", (what, days_ago))

    assert reachable(template)[-1] == forecasting.reach(template).reachable
