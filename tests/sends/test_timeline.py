"""Why didn't zhangsan get it?"""

from datetime import timedelta

import pytest
from django.utils import timezone

from sends.models import Delivery
from tests.factories import OpenIDFactory, SendFactory

pytestmark = pytest.mark.django_db
PAGE = "/api/recipients/zhangsan/timeline/"
NOW = timezone.now()


@pytest.fixture
def bound():
    one = OpenIDFactory(
        recipient__userid="zhangsan",
        channel__code="hr",
        followed=False,
        followed_at=NOW - timedelta(hours=2),
    )
    type(one).objects.filter(pk=one.pk).update(updated_at=NOW - timedelta(hours=9))
    return one


def delivered(bound, hours_ago, **fields):
    send = SendFactory(
        title="News", template__channel=bound.channel, prepared_at=NOW - timedelta(1)
    )
    return Delivery.objects.create(
        send=send,
        channel=bound.channel,
        userid="zhangsan",
        openid=bound.openid,
        sent_at=NOW - timedelta(hours=hours_ago),
        **fields,
    )


def test_everything_newest_first_with_why(api, bound):
    delivered(
        bound, 5, status=Delivery.Status.DELIVERED, receipt_at=NOW - timedelta(hours=4)
    )
    refused = delivered(
        bound,
        1,
        status=Delivery.Status.REFUSED,
        errcode=43004,
        error="require subscribe",
    )

    answer = api.get(PAGE)

    assert answer.status_code == 200
    page = answer.json()
    assert page["next"] is page["previous"] is None
    assert [item["what"] for item in page["results"]] == [
        "delivery",
        "unfollowed",
        "receipt",
        "delivery",
        "bound",
    ]
    first = page["results"][0]
    assert first["msgid"] == refused.send.msgid
    assert first["title"] == "News"
    assert first["status"] == "refused"
    assert (first["errcode"], first["error"]) == (43004, "require subscribe")
    assert first["meaning"]
    assert first["advice"]
    last = page["results"][-1]
    assert (last["channel"], last["openid"]) == ("hr", bound.openid)
    assert last["msgid"] is last["status"] is last["errcode"] is None


def test_pages_hold_everything_once(api, bound):
    for number in range(130):
        delivered(bound, 20 - number / 10, status=Delivery.Status.ACCEPTED)

    seen, address = [], PAGE
    while address:
        page = api.get(address).json()
        assert page["results"]
        seen += page["results"]
        address = page["next"]

    assert len([item for item in seen if item["what"] == "delivery"]) == 130
    assert len({item["msgid"] for item in seen}) == 131
    assert sorted(item["what"] for item in seen)[0] == "bound"
    assert len(seen) == 132
    times = [item["at"] for item in seen]
    assert times == sorted(times, reverse=True)


def test_who_is_known_no_more_has_a_past(api, bound):
    delivered(bound, 1, status=Delivery.Status.ACCEPTED)
    bound.recipient.delete()

    assert [i["what"] for i in api.get(PAGE).json()["results"]] == ["delivery"]


def test_nobody_is_404(api, bound):
    answer = api.get("/api/recipients/nobody/timeline/")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "cursor", ["x", "%00", "LTEgMjAyNg==", "é", "MSAyMDI2LTAxLTAx"]
)
def test_a_strange_cursor_is_400_as_in_every_list(api, bound, cursor):
    answer = api.get(f"{PAGE}?cursor={cursor}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert list(answer.json()["fields"]) == ["cursor"]


def test_people_of_the_console_need_both_permissions(person, bound):
    assert person("sends.view_send").get(PAGE).status_code == 403
    assert person("users.view_recipient").get(PAGE).status_code == 403
    both = person("sends.view_send", "users.view_recipient")
    assert both.get(PAGE).status_code == 200
