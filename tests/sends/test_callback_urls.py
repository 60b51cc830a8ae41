"""Callback URLs: the echo, the rules, and the resource API over them."""

import re
import socket

import pytest
from django.utils import timezone

from channels_wechat.business_channels import create_business_channel
from sends import callback_urls, calling
from sends.models import CallbackURL, StatusBatch

from .receiver import Receiver, pair

pytestmark = pytest.mark.django_db
ADDRESS = "/api/callback-urls/"


@pytest.fixture
def receiver(settings):
    settings.STATUS_CALLBACK_ALLOW_PRIVATE = True
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def business():
    return create_business_channel("Orders")[0]


@pytest.fixture
def resolved(monkeypatch):
    """Let the resolver, which is outside of JUMS, answer these addresses."""

    def answer(*addresses: str) -> None:
        found = [(socket.AF_INET, 1, 6, "", (address, 443)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return answer


def test_a_url_is_asked_for_the_echo_with_the_channels_own_pair(receiver, business):
    row = callback_urls.add(business, f"{receiver.url}/status?from=jums")

    ((path, headers),) = receiver.gets
    assert re.fullmatch(r"/status\?from=jums&echostr=[0-9a-f]{32}", path)
    assert pair(headers) == f"{business.key}:{business.master_secret}"
    assert (row.default, row.types) == (True, list(range(9)))
    assert row.verified_at is not None
    assert callback_urls.find(business, row.url) == row


@pytest.mark.parametrize(
    ("echo", "sentence"),
    [
        (lambda text: (200, text + "\n"), "exactly the echostr"),
        (lambda text: (200, ""), "exactly the echostr"),
        (lambda text: (200, text + "x" * 100_000), "exactly the echostr"),
        (lambda text: (201, text), "HTTP 201"),
        (lambda text: (302, text), "HTTP 302"),
        (lambda text: (500, text), "HTTP 500"),
    ],
    ids=["newline", "empty", "long", "201", "redirect", "500"],
)
def test_any_other_answer_is_refused(receiver, business, echo, sentence):
    receiver.echo = echo

    with pytest.raises(callback_urls.Unverified, match=sentence):
        callback_urls.add(business, receiver.url)

    assert len(receiver.gets) == 1
    assert not CallbackURL.objects.exists()


def test_a_url_that_answers_too_late_is_refused(receiver, business, monkeypatch):
    monkeypatch.setattr(calling, "TIMEOUT_S", 0.2)
    receiver.slow_s = 0.6

    with pytest.raises(callback_urls.Unverified, match="no answer within"):
        callback_urls.add(business, receiver.url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://crm.example.com/",
        "crm.example.com",
        "HTTPS://crm.example.com/",
        "https://",
        "https:///status",
        "https://crm.example.com:70000/",
        "https://user:word@crm.example.com/",
        "https://crm.example.com/#part",
        "https://crm.example.com/a b",
        "https://crm.example.com\\@127.0.0.1/",
        "https://crm.example.com/状态",
        "https://[::1/",
        "https://crm.example.com/" + "x" * 500,
        "https://crm.example.com/\nHost: x",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_url_of_ours_is_refused(business, settings, url):
    settings.STATUS_CALLBACK_ALLOW_PRIVATE = True

    with pytest.raises(calling.URLRefused):
        callback_urls.add(business, url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "[fe80::1]",
        "[fd00::1]",
        "[2002:7f00:1::]",
        "[64:ff9b::a00:1]",
    ],
)
def test_an_address_that_is_not_public_is_refused(business, host):
    with pytest.raises(calling.URLRefused, match="not public"):
        callback_urls.add(business, f"http://{host}/")


def test_one_private_address_among_public_ones_is_enough(business, resolved):
    resolved("93.184.216.34", "10.0.0.1")

    with pytest.raises(calling.URLRefused, match="not public"):
        callback_urls.add(business, "https://crm.example.com/")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("255.255.255.255", False),
        ("not an address", False),
    ],
)
def test_which_addresses_are_public(address, public):
    assert calling.is_public(address) is public


def test_a_port_of_its_own_is_refused(business, resolved):
    resolved("93.184.216.34")

    with pytest.raises(calling.URLRefused, match="port"):
        callback_urls.add(business, "https://crm.example.com:8443/")
    calling.check_url("https://crm.example.com:443/")


def test_a_name_that_leads_elsewhere_when_it_is_called_is_not_called(
    business, receiver, settings, resolved
):
    settings.STATUS_CALLBACK_ALLOW_PRIVATE = False
    resolved("93.184.216.34")  # when it is looked at; curl's own look finds 127.0.0.1

    calling.check_url("http://localhost/")
    with pytest.raises(calling.CallFailed, match="is no public address"):
        calling.call(receiver.url.replace("127.0.0.1", "localhost"), business)

    assert receiver.gets == []


# -- the resource API ------------------------------------------------------------------


def body(business, receiver, path="/status", **more):
    return {"business_channel": business.key, "url": receiver.url + path, **more}


def test_a_url_is_added_over_the_api(api, receiver, business):
    answer = api.post(ADDRESS, body(business, receiver, types=[5, 3, 5]))

    assert answer.status_code == 201
    row = CallbackURL.objects.get()
    assert answer.json() == {
        "id": row.pk,
        "business_channel": business.key,
        "url": f"{receiver.url}/status",
        "default": True,
        "types": [3, 5],
        "verified_at": answer.json()["verified_at"],
        "created_at": answer.json()["created_at"],
    }
    assert api.get(ADDRESS).json()["results"] == [answer.json()]
    assert api.get(f"{ADDRESS}?business_channel=other").json()["results"] == []
    assert api.get(f"{ADDRESS}{row.pk}/").json() == answer.json()


def test_a_failed_echo_is_422(api, receiver, business):
    receiver.echo = lambda text: (200, "no")

    answer = api.post(ADDRESS, body(business, receiver))

    assert answer.status_code == 422
    assert answer.json()["code"] == "callback_unverified"
    assert not CallbackURL.objects.exists()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"business_channel": "nobody"}, "business_channel"),
        ({"types": [9]}, "types.0"),
        ({"types": "all"}, "types"),
    ],
)
def test_bad_input_is_named(api, business, given, field):
    known = {"business_channel": business.key, "url": "https://crm.example.com/"}

    answer = api.post(ADDRESS, known | given)

    assert answer.status_code == 400
    assert field in answer.json()["fields"]


def test_five_and_no_more_and_none_twice(api, receiver, business):
    for number in range(5):
        assert (
            api.post(ADDRESS, body(business, receiver, f"/{number}")).status_code == 201
        )

    twice = api.post(ADDRESS, body(business, receiver, "/1"))
    sixth = api.post(ADDRESS, body(business, receiver, "/6"))

    assert (twice.status_code, twice.json()["code"]) == (409, "taken")
    assert (sixth.status_code, sixth.json()["code"]) == (409, "too_many")
    assert CallbackURL.objects.filter(default=True).count() == 1


def test_the_default_moves_and_cannot_be_removed(api, receiver, business):
    first = api.post(ADDRESS, body(business, receiver, "/1")).json()
    second = api.post(ADDRESS, body(business, receiver, "/2")).json()
    assert (first["default"], second["default"]) == (True, False)

    answer = api.delete(f"{ADDRESS}{first['id']}/")
    assert (answer.status_code, answer.json()["code"]) == (409, "is_default")
    answer = api.patch(f"{ADDRESS}{first['id']}/", {"default": False})
    assert (answer.status_code, answer.json()["code"]) == (409, "is_default")

    answer = api.patch(f"{ADDRESS}{second['id']}/", {"default": True})
    assert (answer.status_code, answer.json()["default"]) == (200, True)
    assert api.delete(f"{ADDRESS}{first['id']}/").status_code == 204
    assert CallbackURL.objects.get().pk == second["id"]
    assert api.delete(f"{ADDRESS}{first['id']}/").status_code == 404


def test_a_changed_url_is_verified_again(api, receiver, business):
    row = api.post(ADDRESS, body(business, receiver)).json()

    receiver.echo = lambda text: (500, text)
    answer = api.patch(f"{ADDRESS}{row['id']}/", {"url": f"{receiver.url}/new"})
    assert answer.status_code == 422
    assert CallbackURL.objects.get().url == f"{receiver.url}/status"

    receiver.echo = lambda text: (200, text)
    answer = api.patch(
        f"{ADDRESS}{row['id']}/", {"url": f"{receiver.url}/new", "types": []}
    )
    assert (answer.json()["url"], answer.json()["types"]) == (
        f"{receiver.url}/new",
        [],
    )


def test_people_need_the_permission(person, receiver, business):
    someone = person("sends.view_callbackurl")

    assert someone.get(ADDRESS).status_code == 200
    assert someone.post(ADDRESS, body(business, receiver)).status_code == 403


def test_removing_a_url_takes_its_log_along(receiver, business):
    callback_urls.add(business, f"{receiver.url}/1")
    row = callback_urls.add(business, f"{receiver.url}/2")
    StatusBatch.objects.create(url=row, size=1, try_at=timezone.now())

    callback_urls.remove(row)

    assert not StatusBatch.objects.exists()
