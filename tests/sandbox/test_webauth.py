"""Silent authorisation, JS-SDK signatures, and pages opened inside WeChat."""

import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from sandbox.inside import AGENT

BACK = "https://jums.example.com/bind/hr/back?x=1"


@pytest.fixture
def authorize(sandbox):
    """Open the authorisation page as a person; the answer is not followed."""

    def authorize(person=3, **changed):
        query = {
            "appid": sandbox.appid,
            "redirect_uri": BACK,
            "response_type": "code",
            "scope": "snsapi_base",
            "state": "s1",
            **changed,
        }
        return requests.get(
            f"{sandbox.url}/connect/oauth2/authorize",
            params=query,
            cookies={"sandbox_person": str(person)} if person else {},
            allow_redirects=False,
            timeout=10,
        )

    return authorize


@pytest.fixture
def code(authorize):
    def code(**changed):
        location = authorize(**changed).headers["Location"]
        return parse_qs(urlsplit(location).query)["code"][0]

    return code


@pytest.fixture
def exchange(sandbox):
    def exchange(code, **changed):
        query = {
            "appid": sandbox.appid,
            "secret": sandbox.secret,
            "code": code,
            "grant_type": "authorization_code",
            **changed,
        }
        return sandbox.get("/sns/oauth2/access_token", **query)

    return exchange


def test_a_page_learns_the_openid_of_whoever_opened_it(sandbox, authorize, exchange):
    answer = authorize(person=3)

    back = urlsplit(answer.headers["Location"])
    query = parse_qs(back.query)
    assert answer.status_code == 302
    assert (back.path, query["x"], query["state"]) == ("/bind/hr/back", ["1"], ["s1"])
    got = exchange(query["code"][0])
    assert (got["openid"], got["scope"]) == (sandbox.openid(3), "snsapi_base")
    assert "errcode" not in got
    assert "is_snapshotuser" not in got


def test_a_code_works_once_and_not_for_long(sandbox, code, exchange):
    once = code()
    assert "openid" in exchange(once)
    assert exchange(once)["errcode"] == 40163

    late = code()
    sandbox.settings(oauth_code_life_s=0)
    assert exchange(late)["errcode"] == 42003

    assert exchange("made up")["errcode"] == 40029
    assert exchange("")["errcode"] == 41008
    assert exchange(code(), secret="0" * 32)["errcode"] == 40125
    assert exchange(code(), grant_type="x")["errcode"] == 40002


def test_another_accounts_code_is_invalid(sandbox, code, exchange):
    other = sandbox.add_account()

    answer = exchange(code(), appid=other["appid"], secret=other["secret"])

    assert answer["errcode"] == 40029


def test_snapshot_users_are_marked_and_nobody(sandbox, code, exchange):
    sandbox.settings(snapshot_users=True)

    got = exchange(code())

    assert got["is_snapshotuser"] == 1
    assert got["openid"] != sandbox.openid(3)


@pytest.mark.parametrize(
    ("changed", "number"),
    [
        ({"redirect_uri": "https://evil.example/x"}, 10003),
        ({"state": "s" * 129}, 10013),
        ({"scope": "snsapi_all"}, 10005),
        ({"scope": ""}, 10010),
        ({"redirect_uri": ""}, 10011),
        ({"appid": ""}, 10012),
        ({"appid": "wx0000000000000000"}, 10016),
        ({"component_appid": "wx5a0db0c5e70000c0"}, 10015),
    ],
)
def test_the_error_pages_of_the_authorisation(sandbox, authorize, changed, number):
    sandbox.control("PATCH", "domains", {"oauth_domain": "jums.example.com"})
    assert authorize().status_code == 302

    answer = authorize(**changed)

    assert answer.status_code == 200
    assert str(number) in answer.text
    assert "Location" not in answer.headers


def test_outside_of_wechat_one_is_asked_to_open_it_there(authorize):
    answer = authorize(person=None)

    assert "请在微信客户端打开链接" in answer.text
    assert "/sandbox/open?person=1" in answer.text


def test_a_test_account_only_lets_its_followers_in(sandbox, authorize):
    account = sandbox.add_account(kind="test", followers=5)

    assert authorize(person=5, appid=account["appid"]).status_code == 302
    assert "10006" in authorize(person=6, appid=account["appid"]).text
    assert "subscribe_notifications" in account["cannot"]
    assert sandbox.account()["cannot"] == []


# -- JS-SDK ----------------------------------------------------------------------------
PAGE = "https://jums.example.com/s/hr/news"


@pytest.fixture
def jssdk(sandbox):
    """Ask as jweixin.js does, with a right signature unless told otherwise."""
    token = sandbox.token()
    path = "/cgi-bin/ticket/getticket"
    ticket = sandbox.get(path, access_token=token, type="jsapi")["ticket"]

    def jssdk(do="config", url=PAGE, agent=AGENT, **changed):
        signed = f"jsapi_ticket={ticket}&noncestr=n&timestamp=1700000000&url={PAGE}"
        query = {
            "appId": sandbox.appid,
            "timestamp": "1700000000",
            "nonceStr": "n",
            "signature": hashlib.sha1(signed.encode()).hexdigest(),
            "url": url,
            "callback": "sandboxWx1",
            "do": do,
            **changed,
        }
        answer = requests.get(
            f"{sandbox.url}/sandbox/jssdk",
            params=query,
            headers={"User-Agent": agent},
            timeout=10,
        )
        return json.loads(answer.text.removeprefix("sandboxWx1(").removesuffix(");"))

    return jssdk


def test_the_ticket_stays_the_same(sandbox):
    query = {"access_token": sandbox.token(), "type": "jsapi"}

    first = sandbox.get("/cgi-bin/ticket/getticket", **query)
    again = sandbox.get("/cgi-bin/ticket/getticket", **query)

    assert first["ticket"] == again["ticket"]
    assert first["errcode"] == 0
    assert 7000 < again["expires_in"] <= 7200


def test_a_signature_is_checked(sandbox, jssdk):
    assert jssdk()["errMsg"] == "config:ok"
    assert "signature" in jssdk(signature="0" * 40)["errMsg"]
    assert "signature" in jssdk(url=PAGE + "?other")["errMsg"]
    assert jssdk(url=PAGE + "#part")["errMsg"] == "config:ok"
    assert "not in WeChat" in jssdk(agent="Mozilla/5.0")["errMsg"]

    sandbox.control("PATCH", "domains", {"js_domains": ["other.example.com"]})
    assert "domain" in jssdk()["errMsg"]


def test_pressing_the_pages_button_counts_one_acceptance(sandbox, jssdk):
    [template_id, *_] = [
        n["priTmplId"] for n in sandbox.control("GET", "subscriptions")["notices"]
    ]

    looked = jssdk("look", template=template_id)
    pressed = jssdk("press", template=template_id, accept=template_id)

    assert [entry["template_id"] for entry in looked["ask"]] == [template_id]
    assert pressed["status"] == {template_id: "accept"}
    counts = sandbox.control("GET", "acceptances", counts=1)["counts"]
    assert counts == {sandbox.openid(1): 1}
    assert jssdk("look", template="none")["errCode"] == 20001


def test_only_a_named_callback_is_called(sandbox):
    answer = requests.get(
        f"{sandbox.url}/sandbox/jssdk", params={"callback": "alert"}, timeout=10
    )
    assert answer.status_code == 422


# -- a phone's browser -----------------------------------------------------------------
def test_a_phone_opens_a_page_as_its_person(sandbox, code):
    url = f"{sandbox.url}/cgi-bin/singlesendpage?tofakeid={sandbox.openid(5)}"

    answer = requests.get(
        f"{sandbox.url}/sandbox/browser", params={"person": 5, "url": url}, timeout=10
    )

    assert "刘奶奶" in answer.text
    assert '<meta name="sandbox-person" content="5">' in answer.text


def test_strangers_pages_open_elsewhere(sandbox):
    answer = requests.get(
        f"{sandbox.url}/sandbox/browser",
        params={"person": 2, "url": "https://example.com/x"},
        allow_redirects=False,
        timeout=10,
    )

    assert answer.status_code == 302
    assert answer.headers["Location"] == "https://example.com/x"
    assert answer.cookies["sandbox_person"] == "2"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "", "file:///etc/passwd"])
def test_nothing_but_web_addresses_is_opened(sandbox, url):
    for path in ("open", "browser"):
        answer = requests.get(
            f"{sandbox.url}/sandbox/{path}",
            params={"url": url},
            allow_redirects=False,
            timeout=10,
        )
        assert answer.status_code == 422


def test_a_platform_exchanges_codes_of_its_accounts(sandbox, component, authorize):
    token = component.token()["component_access_token"]
    component.authorise(token, sandbox.appid)
    location = authorize(component_appid=component.appid).headers["Location"]
    query = parse_qs(urlsplit(location).query)
    assert query["appid"] == [sandbox.appid]

    def exchange(**changed):
        asked = {
            "appid": sandbox.appid,
            "code": query["code"][0],
            "grant_type": "authorization_code",
            "component_appid": component.appid,
            "component_access_token": token,
            **changed,
        }
        return sandbox.get("/sns/oauth2/component/access_token", **asked)

    assert exchange(appid="wx5a0db0c5e7000002")["errcode"] == 61003
    assert exchange(component_access_token="")["errcode"] == 41021
    assert exchange(component_appid="wx1")["errcode"] == 40013
    assert exchange()["openid"] == sandbox.openid(3)
    assert exchange()["errcode"] == 40163
