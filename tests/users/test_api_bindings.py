from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.utils import timezone
from time_machine import travel

from tests.factories import ChannelFactory, OpenIDFactory
from users import binding
from users.models import OpenID

OPENID = "o" + "1" * 27


@pytest.fixture
def channel(db):
    return ChannelFactory(code="shop")


@pytest.fixture
def ticket(channel):
    return binding.issue_ticket(channel, OPENID)


def exchange(api, ticket, **more):
    return api.post("/api/bindings/exchange/", {"ticket": ticket, **more})


def test_a_ticket_gives_its_openid_once(api, ticket):
    answer = exchange(api, ticket)

    assert answer.status_code == 200
    assert answer.json() == {
        "channel": "shop",
        "openid": OPENID,
        "userid": None,
        "bound": None,
        "other_userids": [],
    }
    again = exchange(api, ticket)
    assert (again.status_code, again.json()["code"]) == (422, "bad_ticket")
    assert not OpenID.objects.exists()


def test_with_a_userid_it_is_bound_at_once(api, channel, ticket):
    OpenIDFactory(channel=channel, openid=OPENID, recipient__userid="old")

    answer = exchange(api, ticket, userid="zhangsan").json()

    assert (answer["userid"], answer["bound"]) == ("zhangsan", "new")
    assert answer["other_userids"] == ["old"]
    assert OpenID.objects.get(recipient__userid="zhangsan").openid == OPENID


def test_a_bad_userid_leaves_the_ticket_as_it_is(api, ticket):
    assert exchange(api, ticket, userid="zhang san").status_code == 400
    assert exchange(api, ticket, userid="zhangsan").status_code == 200


@pytest.mark.parametrize("ticket", ["x", "票", "a" * 200])
def test_an_unknown_ticket_is_refused(api, channel, ticket):
    assert exchange(api, ticket).json()["code"] == "bad_ticket"


def test_an_old_ticket_is_refused(api, ticket):
    with travel(timezone.now() + binding.TICKET_LIFE + timedelta(seconds=1)):
        assert exchange(api, ticket).status_code == 422


def test_only_holders_of_a_key_and_those_allowed_may_exchange(client, person, ticket):
    body = {"ticket": ticket}
    address = "/api/bindings/exchange/"
    assert client.post(address, body, "application/json").status_code == 401
    assert person("users.view_recipient").post(address, body).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_of_many_exchanges_at_once_one_succeeds(transactional_db):
    ticket = binding.issue_ticket(ChannelFactory(), OPENID)

    def attempt(_number):
        try:
            return binding.exchange(ticket, "zhangsan").openid
        except binding.TicketRefused:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(attempt, range(6)))

    assert sorted(found, key=str) == [None] * 5 + [OPENID]


def test_links_are_made_for_many_at_once(api, channel):
    body = {"channel": "shop", "userids": ["a", "b"], "valid_for_s": 3600}

    answer = api.post("/api/bindings/links/", body)

    assert answer.status_code == 201
    links = answer.json()["links"]
    assert [link["userid"] for link in links] == ["a", "b"]
    address = urlsplit(links[1]["url"])
    assert address.path == "/bind/shop"
    token = parse_qs(address.query)["link"][0]
    assert binding.read_link(channel, token).userid == "b"
    ends = datetime.fromisoformat(answer.json()["expires_at"])
    assert timedelta(minutes=59) < ends - timezone.now() < timedelta(minutes=61)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"channel": "nobody"}, "channel"),
        ({"userids": []}, "userids"),
        ({"userids": ["a b"]}, "userids.0"),
        ({"userids": ["a"] * 1001}, "userids"),
        ({"valid_for_s": 10}, "valid_for_s"),
        ({"valid_for_s": 10**8}, "valid_for_s"),
    ],
)
def test_links_that_cannot_be_are_refused(api, channel, change, name):
    body = {"channel": "shop", "userids": ["a"], **change}

    answer = api.post("/api/bindings/links/", body)

    assert answer.status_code == 400
    assert name in answer.json()["fields"]
