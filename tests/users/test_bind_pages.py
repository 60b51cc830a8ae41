from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from django.conf import settings
from django.core import signing
from django.test import Client
from django.utils import timezone
from time_machine import travel

from tests.factories import ChannelFactory, OpenIDFactory
from users import binding, visits
from users.models import BindingTicket, LoginPage, OpenID, Spent

pytestmark = pytest.mark.django_db

WECHAT = "Mozilla/5.0 (iPhone) AppleWebKit/605 MicroMessenger/8.0.49 Language/zh_CN"
TOKEN = f"{settings.WECHAT_API_BASE}/sns/oauth2/access_token"
LOGIN = "https://shop.example.com/login"


def openid(number):
    return f"o{number:027d}"


@pytest.fixture
def channel():
    channel = ChannelFactory(code="shop", name="Shop")
    LoginPage.objects.create(channel=channel, url=LOGIN)
    return channel


@pytest.fixture
def wechat():
    """WeChat's answer to a code: `wechat(openid="…")`."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as calls:

        def answer(**body):
            calls.replace(responses.GET, TOKEN, json=body)

        calls.get(TOKEN, json={"openid": openid(1), "scope": "snsapi_base"})
        answer.calls = calls.calls
        yield answer


@pytest.fixture
def phone():
    return Client(headers={"user-agent": WECHAT})


def begin(phone, **query):
    """Open the page; return the state that WeChat is given."""
    answer = phone.get("/bind/shop", query or {"redirect_uri": LOGIN})
    assert answer.status_code == 302, answer.content
    return asked(answer)["state"]


def asked(answer):
    query = urlsplit(answer["Location"]).query
    return {name: values[0] for name, values in parse_qs(query).items()}


def come_back(phone, state, code="a-code"):
    return phone.get("/bind/shop/back", {"code": code, "state": state})


def test_a_visitor_is_sent_to_wechat_silently_and_back_to_us(channel, phone):
    answer = phone.get("/bind/shop", {"redirect_uri": LOGIN})

    target = urlsplit(answer["Location"])
    base = urlsplit(settings.WECHAT_OPEN_BASE)
    assert (target.netloc, target.path) == (base.netloc, "/connect/oauth2/authorize")
    assert target.fragment == "wechat_redirect"
    names = [part.partition("=")[0] for part in target.query.split("&")]
    assert names == ["appid", "redirect_uri", "response_type", "scope", "state"]
    query = asked(answer)
    assert query["appid"] == channel.appid
    assert query["redirect_uri"] == "https://jums.example.com/bind/shop/back"
    assert (query["response_type"], query["scope"]) == ("code", "snsapi_base")
    assert query["state"].isalnum()
    assert len(query["state"]) <= 128
    (cookie,) = answer.cookies.values()
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["secure"]
    assert "no-cache" in answer["Cache-Control"]


def test_the_visitor_comes_to_the_login_page_with_a_ticket_not_an_openid(
    channel, phone, wechat
):
    state = begin(phone, redirect_uri=LOGIN, state="their own & more")

    answer = come_back(phone, state)

    assert answer.status_code == 302
    assert answer["Location"].startswith(f"{LOGIN}?")
    assert answer["Referrer-Policy"] == "no-referrer"
    query = asked(answer)
    assert query["state"] == "their own & more"
    assert openid(1) not in answer["Location"]
    found = binding.exchange(query["ticket"])
    assert (found.channel, found.openid) == (channel, openid(1))
    sent = wechat.calls[0].request.params
    assert sent == {
        "appid": channel.appid,
        "secret": channel.app_secret,
        "code": "a-code",
        "grant_type": "authorization_code",
    }


def test_a_ticket_is_kept_as_a_hash_alone(channel, phone, wechat):
    ticket = asked(come_back(phone, begin(phone)))["ticket"]

    row = BindingTicket.objects.get()
    assert ticket not in str(vars(row))
    assert row.expires_at <= timezone.now() + binding.TICKET_LIFE


def test_the_only_login_page_needs_not_be_named(channel, phone, wechat):
    phone.get("/bind/shop/")
    answer = phone.get("/bind/shop")

    assert come_back(phone, asked(answer)["state"])["Location"].startswith(LOGIN)


def test_with_two_login_pages_one_must_be_named(channel, phone):
    LoginPage.objects.create(channel=channel, url="https://other.example.com/")

    assert phone.get("/bind/shop").status_code == 400


# -- refusals: state -------------------------------------------------------------------


def test_a_stolen_state_is_refused_in_another_browser(channel, phone, wechat):
    state = begin(phone)

    answer = come_back(Client(headers={"user-agent": WECHAT}), state)

    assert answer.status_code == 403
    assert "begun on another device" in answer.content.decode()
    assert len(wechat.calls) == 0
    assert not BindingTicket.objects.exists()
    # The owner is not locked out by it.
    assert come_back(phone, state).status_code == 302


def test_a_stolen_state_is_refused_even_in_a_browser_with_a_visit_of_its_own(
    channel, phone, wechat
):
    thief = Client(headers={"user-agent": WECHAT})
    begin(thief)

    answer = come_back(thief, begin(phone))

    assert answer.status_code == 403
    assert not BindingTicket.objects.exists()


def test_another_visits_cookie_under_the_right_name_is_refused(channel, phone, wechat):
    mine, theirs = begin(phone), begin(phone)
    named = {state: visits._cookie_name(state[:32]) for state in (mine, theirs)}
    phone.cookies[named[mine]] = phone.cookies[named[theirs]].value

    assert come_back(phone, mine).status_code == 403


def test_a_replayed_state_is_refused_in_the_same_browser(channel, phone, wechat):
    state = begin(phone)
    name = visits._cookie_name(state[:32])
    kept = phone.cookies[name].value
    assert come_back(phone, state).status_code == 302
    assert phone.cookies[name].value == ""
    phone.cookies[name] = kept  # a browser that restores it, or somebody who copied it

    again = come_back(phone, state, code="another-code")

    assert again.status_code == 403
    assert "opened before" in again.content.decode()
    assert len(wechat.calls) == 1
    assert BindingTicket.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state[:-1] + ("0" if state[-1] != "0" else "1"),
        lambda state: ("0" if state[0] != "0" else "1") + state[1:],
        lambda state: state[:32] + "ffffffff" + state[40:],
        lambda state: state[:-1],
        lambda state: state.upper(),
        lambda state: "",
        lambda state: "状态\x00",
    ],
)
def test_a_forged_state_is_refused(channel, phone, wechat, change):
    state = begin(phone)

    assert come_back(phone, change(state)).status_code == 403
    assert len(wechat.calls) == 0


def test_a_state_of_another_channel_is_refused(channel, phone, wechat):
    ChannelFactory(code="other")
    state = begin(phone)

    answer = phone.get("/bind/other/back", {"code": "c", "state": state})

    assert answer.status_code == 403


def test_an_old_state_is_refused(channel, phone, wechat):
    state = begin(phone)

    with travel(timezone.now() + timedelta(seconds=visits.LIFE_S + 1), tick=False):
        answer = come_back(phone, state)

    assert answer.status_code == 403
    assert "took too long" in answer.content.decode()


# -- refusals: where to ----------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example.net/login",
        "https://shop.example.com.evil.net/login",
        "https://shop.example.com@evil.net/login",
        "https://evil.net\\@shop.example.com/login",
        "https:\\\\shop.example.com/login",
        "http://shop.example.com/login",
        "https://shop.example.com:8443/login",
        "https://shop.example.com/login2",
        "https://shop.example.com/login/",
        "https://shop.example.com/login?next=//evil.net",
        "https://shop.example.com/",
        "//shop.example.com/login",
        "javascript:alert(1)//https://shop.example.com/login",
        "https://shop.example.com/login\r\nX: y",
        "https://shop.example.com:notaport/login",
        "/login",
        "x",
    ],
)
def test_a_target_that_is_not_registered_is_refused(channel, phone, target):
    answer = phone.get("/bind/shop", {"redirect_uri": target})

    assert answer.status_code == 400
    assert "not registered" in answer.content.decode()
    assert "Location" not in answer
    assert not answer.cookies


def test_a_page_of_another_channel_is_not_registered_here(channel, phone):
    other = ChannelFactory(code="other")
    LoginPage.objects.create(channel=other, url="https://other.example.com/")

    answer = phone.get("/bind/shop", {"redirect_uri": "https://other.example.com/"})

    assert answer.status_code == 400


def test_a_page_taken_off_the_list_meanwhile_gets_no_ticket(channel, phone, wechat):
    state = begin(phone)
    LoginPage.objects.all().delete()

    assert come_back(phone, state).status_code == 400
    assert not BindingTicket.objects.exists()


@pytest.mark.parametrize(
    ("target", "is_below"),
    [
        ("https://shop.example.com/app", True),
        ("https://shop.example.com/app/login?from=wx#/me", True),
        ("https://SHOP.example.com:443/app/", True),
        ("https://shop.example.com/apple", False),
        ("https://shop.example.com/app/../admin", False),
        ("https://shop.example.com/app/%2e%2e/admin", False),
        ("https://shop.example.com/app%2fadmin", False),
        ("https://shop.example.com/app//evil.net", False),
    ],
)
def test_everything_below_a_page_means_its_folder(channel, phone, target, is_below):
    url = "https://shop.example.com/app"
    LoginPage.objects.create(channel=channel, url=url, below=True)

    answer = phone.get("/bind/shop", {"redirect_uri": target})

    assert (answer.status_code == 302) == is_below


def test_the_ticket_takes_the_place_of_one_already_there(channel, phone, wechat):
    url = "https://shop.example.com/app/"
    LoginPage.objects.create(channel=channel, url=url, below=True)
    state = begin(phone, redirect_uri=f"{url}?a=1&ticket=old#/me")

    location = come_back(phone, state)["Location"]

    query = parse_qs(urlsplit(location).query)
    assert query["a"] == ["1"]
    assert len(query["ticket"]) == 1
    assert query["ticket"] != ["old"]
    assert location.endswith("#/me")


# -- refusals: visitors ----------------------------------------------------------------


def test_a_snapshot_visitor_is_refused_kindly(channel, phone, wechat):
    wechat(openid=openid(9), is_snapshotuser=1)

    answer = come_back(phone, begin(phone))

    assert answer.status_code == 403
    assert "snapshot" in answer.content.decode()
    assert "/bind/shop?redirect_uri=" in answer.content.decode()
    assert not BindingTicket.objects.exists()
    assert not OpenID.objects.exists()


def test_outside_wechat_the_page_shows_what_to_scan(channel, client):
    answer = client.get("/bind/shop", {"redirect_uri": LOGIN})

    assert answer.status_code == 200
    assert "open this page in WeChat" in answer.content.decode()
    assert "<svg" in answer.content.decode()
    assert not answer.cookies


@pytest.mark.parametrize("errcode", [40029, 40163, 41008, 42003])
def test_a_code_that_is_used_or_none_lets_the_visitor_begin_anew(
    channel, phone, wechat, errcode
):
    wechat(errcode=errcode, errmsg="code been used")

    answer = come_back(phone, begin(phone))

    assert answer.status_code == 403
    assert "/bind/shop?redirect_uri=" in answer.content.decode()


def test_when_wechat_refuses_us_the_visitor_learns_nothing_of_it(
    channel, phone, wechat
):
    wechat(errcode=40125, errmsg="invalid appsecret")

    answer = come_back(phone, begin(phone))

    assert answer.status_code == 502
    assert "secret" not in answer.content.decode()


def test_a_disabled_channel_takes_a_break(channel, phone):
    channel.enabled = False
    channel.save()

    assert phone.get("/bind/shop", {"redirect_uri": LOGIN}).status_code == 503


def test_an_unknown_channel_is_not_found(phone, db):
    assert phone.get("/bind/nobody").status_code == 404
    assert phone.post("/bind/nobody").status_code == 405


# -- links -----------------------------------------------------------------------------


def test_a_link_binds_its_userid_to_whoever_opens_it(channel, phone, wechat):
    link = binding.make_link(channel, "zhangsan")

    answer = come_back(phone, begin(phone, link=link))

    assert answer.status_code == 200
    assert "Bound" in answer.content.decode()
    row = OpenID.objects.get()
    assert (row.recipient.userid, row.openid) == ("zhangsan", openid(1))
    assert row.channel == channel


def test_a_link_serves_one_visitor_who_may_come_again(channel, phone, wechat):
    link = binding.make_link(channel, "zhangsan")
    come_back(phone, begin(phone, link=link))

    again = come_back(phone, begin(phone, link=link))
    wechat(openid=openid(2))
    other = come_back(phone, begin(phone, link=link))

    assert again.status_code == 200
    assert other.status_code == 403
    assert "Somebody has used this link" in other.content.decode()
    assert OpenID.objects.get().openid == openid(1)


def test_a_damaged_expired_or_foreign_link_is_refused(channel, phone):
    other = ChannelFactory(code="other")
    good = binding.make_link(channel, "zhangsan")
    changed = signing.dumps({"c": "shop", "u": "lisi", "x": 2**40}, key="another")
    for link in (
        good[:-2],
        changed,
        "nonsense",
        binding.make_link(other, "zhangsan"),
        binding.make_link(channel, "zhangsan", timedelta(seconds=-1)),
    ):
        answer = phone.get("/bind/shop", {"link": link})

        assert answer.status_code == 403
        assert "Location" not in answer


def test_a_link_that_expires_while_the_visitor_is_away_does_not_bind(
    channel, phone, wechat
):
    state = begin(phone, link=binding.make_link(channel, "u", timedelta(seconds=2)))

    with travel(timezone.now() + timedelta(seconds=5), tick=False):
        assert come_back(phone, state).status_code == 403
    assert not OpenID.objects.exists()


def test_the_same_openid_for_two_userids_stays_with_both(channel):
    OpenIDFactory(channel=channel, openid=openid(1), recipient__userid="old")

    bound = binding.bind(channel, "new", openid(1))

    assert bound == ("new", ["old"])
    assert OpenID.objects.filter(channel=channel, openid=openid(1)).count() == 2


def test_a_later_openid_takes_the_place_of_the_earlier(channel):
    OpenIDFactory(
        channel=channel, openid=openid(1), recipient__userid="u", followed=True
    )

    assert binding.bind(channel, "u", openid(2)).outcome == "replaced"
    row = OpenID.objects.get()
    assert (row.openid, row.followed) == (openid(2), None)
    assert binding.bind(channel, "u", openid(2)).outcome == "unchanged"


def test_what_has_expired_is_forgotten(channel):
    ticket = binding.issue_ticket(channel, openid(1))
    binding.spend("d" * 64, timezone.now() - timedelta(seconds=1))
    BindingTicket.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    with pytest.raises(binding.TicketRefused):
        binding.exchange(ticket)
    binding.tidy()

    assert not BindingTicket.objects.exists()
    assert not Spent.objects.exists()


def test_the_pages_speak_chinese(channel, client):
    headers = {"accept-language": "zh-CN,zh;q=0.9"}
    page = client.get("/bind/shop", {"redirect_uri": "x"}, headers=headers)

    assert 'lang="zh-CN"' in page.content.decode()
