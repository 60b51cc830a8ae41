"""GET /api/acceptances/: who still accepts what."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sends.models import Acceptance, AcceptanceEntry
from tests.factories import OpenIDFactory, TemplateFactory

pytestmark = pytest.mark.django_db
LIST = "/api/acceptances/"
NOW = timezone.now().replace(microsecond=0)


@pytest.fixture
def template():
    return TemplateFactory(kind="subscribe", template_id="T1", channel__code="hr")


def accepts(template, openid, **fields):
    return Acceptance.objects.create(
        channel=template.channel,
        template_id=template.template_id,
        openid=openid,
        last_event_at=NOW,
        **fields,
    )


def openids(answer):
    return [row["openid"] for row in answer.json()["results"]]


def test_a_row_says_what_is_left_and_how_sure_that_is(api, template):
    accepts(template, "o-1", accepted=3, used=1, left=2, standing=True)
    always = TemplateFactory(
        kind="subscribe", long_term=True, template_id="T2", channel=template.channel
    )
    accepts(always, "o-1", accepted=1, used=5, standing=True, overdrawn=True)

    once, ever = api.get(LIST).json()["results"]

    assert once == {
        "channel": "hr",
        "openid": "o-1",
        "template_id": "T1",
        "left": 2,
        "always": False,
        "rejected": False,
        "accepted": 3,
        "used": 1,
        "last_event_at": timezone.localtime(NOW).isoformat(),
        "confidence": "counted",
    }
    assert (ever["left"], ever["always"], ever["confidence"]) == (1, True, "counted")


def test_filters(api, template):
    accepts(template, "o-1", zeroed=True)
    accepts(template, "o-2", overdrawn=True)
    other = TemplateFactory(kind="subscribe", template_id="T2")
    accepts(other, "o-3")

    assert openids(api.get(LIST, {"channel": "hr"})) == ["o-1", "o-2"]
    assert openids(api.get(LIST, {"channel": "hr", "openid": "o-2"})) == ["o-2"]
    assert openids(api.get(LIST, {"template_id": "T2"})) == ["o-3"]
    assert openids(api.get(LIST, {"openid": "nobody"})) == []
    assert api.get(LIST, {"channel": "nobody"}).status_code == 400
    found = api.get(LIST, {"channel": "hr"}).json()["results"]
    assert [row["confidence"] for row in found] == ["confirmed", "doubtful"]


def test_pages_of_any_depth_in_two_queries(api, template, django_assert_num_queries):
    for n in range(250):
        accepts(template, f"o-{n}")
    query = {"channel": "hr", "template_id": "T1", "page_size": 100}
    page = api.get(LIST, query).json()
    seen = [row["openid"] for row in page["results"]]

    while page["next"]:
        with django_assert_num_queries(3):  # the key, the channel, the page
            page = api.get(page["next"]).json()
        seen += [row["openid"] for row in page["results"]]

    assert seen == [f"o-{n}" for n in range(250)]


def test_a_person_of_the_console_needs_the_permission(person, api):
    assert person("sends.view_acceptance").get(LIST).status_code == 200
    assert person("sends.view_send").get(LIST).status_code == 403


def test_the_timeline_tells_what_a_person_accepted(api, template):
    bound = OpenIDFactory(recipient__userid="zhangsan", channel=template.channel)
    acceptance = accepts(template, bound.openid)
    for kind, hours in ((0, 3), (1, 2), (2, 1)):
        at = NOW - timedelta(hours=hours)
        acceptance.entries.create(kind=kind, at=at, key=f"e{kind}")
    assert AcceptanceEntry.objects.count() == 3

    answer = api.get("/api/recipients/zhangsan/timeline/").json()["results"]

    chosen = [row for row in answer if row["what"] != "bound"]
    assert [(row["what"], row["template_id"]) for row in chosen] == [
        ("rejected", "T1"),
        ("accepted", "T1"),
    ]
    assert chosen[0]["at"] == timezone.localtime(NOW - timedelta(hours=1)).isoformat()
