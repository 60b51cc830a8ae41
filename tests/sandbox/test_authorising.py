"""An administrator authorises a platform: page, way back, events, messages."""

import time
from urllib.parse import parse_qsl, urlsplit

import pytest

from sandbox.accounts import DEMO_APPID
from sandbox.bundled import (
    MINIPROGRAM_APPID,
    SECOND_APPID,
    SUBSCRIPTION_APPID,
    UNVERIFIED_APPID,
)
from sandbox.people import openid
from tests.sandbox.component_fixture import fields_of
from tests.sandbox_fixture import NotOffered, Refused

CUSTOM = "/cgi-bin/message/custom/send"
OWN = {"token": "sandboxtoken"}


@pytest.fixture
def token(component):
    return component.token()["component_access_token"]


# -- the page --------------------------------------------------------------------------
@pytest.mark.parametrize("referer", ["https://elsewhere.example/", "about:blank"])
def test_the_page_opens_only_from_the_login_domain(sandbox, component, token, referer):
    with pytest.raises(NotOffered, match="domain"):
        sandbox.scan(component.link(token), referer=referer)

    assert component.events() == []


def test_the_way_back_must_lie_on_the_registered_domain(sandbox, component, token):
    sandbox.platform(login_domain="jums.example.com")

    with pytest.raises(NotOffered, match="domain"):
        sandbox.scan(component.link(token), referer="https://jums.example.com/")


def test_a_pre_auth_code_is_used_once_and_expires(sandbox, component, token):
    link = component.link(token)
    sandbox.scan(link)
    with pytest.raises(NotOffered, match="code"):
        sandbox.scan(link)

    sandbox.settings(pre_auth_code_life_s=0.1)
    link = component.link(token)
    time.sleep(0.2)
    with pytest.raises(NotOffered, match="expired"):
        sandbox.scan(link)


def test_a_link_of_another_platform_is_refused(sandbox, component, token):
    link = component.link(token).replace(component.appid, "wx0000000000000000")
    with pytest.raises(NotOffered, match="component"):
        sandbox.scan(link)


@pytest.mark.parametrize(
    ("more", "appids"),
    [
        (
            {"auth_type": 1},
            {DEMO_APPID, SECOND_APPID, SUBSCRIPTION_APPID, UNVERIFIED_APPID},
        ),
        ({"auth_type": 2}, {MINIPROGRAM_APPID}),
        ({"auth_type": 1, "biz_appid": MINIPROGRAM_APPID}, {MINIPROGRAM_APPID}),
    ],
)
def test_the_link_narrows_the_accounts(sandbox, component, token, more, appids):
    query = dict(parse_qsl(urlsplit(component.link(token, **more)).query))

    offered = sandbox.control("GET", "authorisations", **query)["accounts"]

    assert {account["appid"] for account in offered} == appids


def test_the_link_narrows_the_permission_sets(component, token):
    made = component.link(token, category_id_list="7|89")
    back = component.sandbox.scan(made)

    code = dict(parse_qsl(urlsplit(back).query))["auth_code"]
    answer = component.call("api_query_auth", token, authorization_code=code)
    granted = answer["authorization_info"]["func_info"]
    assert [entry["funcscope_category"]["id"] for entry in granted] == [7, 89]


def test_before_the_release_only_the_test_list_may_authorise(sandbox, component, token):
    sandbox.platform(released=False, test_list=[DEMO_APPID])

    with pytest.raises(Refused, match="unreleased"):
        sandbox.scan(component.link(token), SECOND_APPID)
    back = sandbox.scan(component.link(token), DEMO_APPID)

    sandbox.platform(test_list=[])
    code = dict(parse_qsl(urlsplit(back).query))["auth_code"]
    answer = component.call("api_query_auth", token, authorization_code=code)
    assert answer["errcode"] == 61028


def test_the_page_inside_wechat_mangles_a_second_parameter(sandbox, component, token):
    link = component.link(token, page="/wxaopen/safe/bindcomponent")
    with_query = link.replace("%2Fstate", "%2Fstate%3Fa%3D1%26b%3D2")

    back = sandbox.scan(with_query)

    assert "state?a=1&amp;b=2&auth_code=" in back


# -- events ----------------------------------------------------------------------------
def test_browser_and_event_carry_the_same_code(sandbox, component, token):
    link = component.link(token)
    back = sandbox.scan(link, order="event_first")

    [event] = component.events()
    went = dict(parse_qsl(urlsplit(back).query))
    asked = dict(parse_qsl(urlsplit(link).query))
    assert back.startswith(f"{component.base}/wechattpp/authorized/state?auth_code=")
    assert went["expires_in"] == "600"
    assert abs(int(event.pop("AuthorizationCodeExpiredTime")) - time.time() - 600) < 20
    assert abs(int(event.pop("CreateTime")) - time.time()) < 20
    assert event == {
        "AppId": component.appid,
        "InfoType": "authorized",
        "AuthorizerAppid": SECOND_APPID,
        "AuthorizationCode": went["auth_code"],
        "PreAuthCode": asked["pre_auth_code"],
    }


def test_the_shell_of_an_event_names_the_platform(component, token):
    component.authorise(token, order="event_first")

    shell = fields_of(component.receiver.pushes[-1].body)

    assert set(shell) == {"AppId", "Encrypt"}
    assert "openid" not in component.receiver.pushes[-1].query


def test_the_event_may_come_after_the_browser(sandbox, component, token):
    assert sandbox.scan(component.link(token), order="redirect_first")
    assert component.events() == []

    assert component.wait_for_event("authorized")["AuthorizerAppid"] == SECOND_APPID


def test_either_may_be_missing(sandbox, component, token):
    assert sandbox.scan(component.link(token), order="redirect_only")
    assert component.events() == []

    assert sandbox.scan(component.link(token), DEMO_APPID, order="event_only") == ""
    assert [event["AuthorizerAppid"] for event in component.events()] == [DEMO_APPID]


def test_the_event_may_come_twice(sandbox, component, token):
    sandbox.scan(component.link(token), order="event_first", twice=True)

    first, second = component.events("authorized")
    assert first["AuthorizationCode"] == second["AuthorizationCode"]


def test_other_permission_sets_are_an_update_the_same_ones_nothing(
    sandbox, component, token
):
    component.authorise(token, order="event_first")

    sandbox.change_sets([1, 7])
    component.authorise(token, order="event_first", without=[2, 3, 4, 8, 11, 15, 89])
    component.authorise(token, order="event_first")

    kinds = [event["InfoType"] for event in component.events()]
    assert kinds == ["authorized", "updateauthorized", "updateauthorized"]


def test_taking_it_back_names_the_account_only(sandbox, component, token):
    component.authorise(token, order="event_first")

    sandbox.deauthorise()

    event = component.events("unauthorized")[-1]
    assert set(event) == {"AppId", "CreateTime", "InfoType", "AuthorizerAppid"}
    with pytest.raises(Refused, match="404"):
        sandbox.deauthorise()


def test_an_event_that_is_not_taken_comes_again(sandbox, component, token):
    component.authorise(token, order="event_first")
    component.receiver.status = 500

    sandbox.deauthorise()

    end = time.monotonic() + 5
    while len(component.events("unauthorized")) < 3 and time.monotonic() < end:
        time.sleep(0.02)
    assert len(component.events("unauthorized")) == 3


# -- messages --------------------------------------------------------------------------
def send(sandbox, account):
    template = sandbox.templates(SECOND_APPID)["会议预约提醒"]["template_id"]
    values = {"thing1": "周会", "time2": "2026年5月8日 10:00", "thing3": "三楼"}
    body = {
        "touser": openid(SECOND_APPID, 1),
        "template_id": template,
        "data": {key: {"value": value} for key, value in values.items()},
    }
    return sandbox.post(
        "/cgi-bin/message/template/send",
        body,
        access_token=account.authorizer_access_token,
    )


def test_receipts_of_an_authorised_account_go_to_the_platform(
    sandbox, component, token
):
    sandbox.callback(f"{component.base}/own", OWN["token"], SECOND_APPID)
    account = component.authorise(token)

    msgid = send(sandbox, account)["msgid"]
    sandbox.wait_for(lambda stats: stats["receipts"]["answered"] >= 1)

    [push] = [p for p in component.receiver.pushes if p.path.endswith("/message")]
    assert push.path == f"/wechattpp/{SECOND_APPID}/message"
    assert set(fields_of(push.body)) == {"ToUserName", "Encrypt"}
    assert component.opened(push)["MsgID"] == str(msgid)
    assert component.opened(push)["ToUserName"] == "gh_5a0db0c50002"
    assert not [p for p in component.receiver.pushes if p.path == "/own"]


def test_without_the_platform_the_account_hears_itself_again(sandbox, component, token):
    sandbox.callback(f"{component.base}/own", OWN["token"], SECOND_APPID)
    component.authorise(token)
    sandbox.deauthorise()

    sandbox.text("你好", appid=SECOND_APPID)

    [push] = [p for p in component.receiver.pushes if p.path == "/own"]
    assert fields_of(push.body)["Content"] == "你好"


def test_a_text_is_pushed_and_its_reply_is_read(sandbox, component, token):
    component.authorise(token)
    component.receiver.reply = component.passive("收到")

    told = sandbox.text("你好", of=openid(SECOND_APPID, 3), appid=SECOND_APPID)

    fields = component.opened(component.receiver.pushes[-1])
    assert (fields["MsgType"], fields["Content"]) == ("text", "你好")
    assert int(fields["MsgId"]) > 2**53
    assert (told["reply"], told["problem"]) == ("收到", "")
    [phone] = sandbox.control(
        "GET", "phones", appid=SECOND_APPID, openids=openid(SECOND_APPID, 3)
    )["phones"]
    assert [said["text"] for said in phone["said"]] == ["你好", "收到"]


def test_a_reply_in_the_clear_is_not_shown(sandbox, component, token):
    component.authorise(token)
    component.receiver.reply = lambda push: "<xml><MsgType>text</MsgType></xml>"

    told = sandbox.text("你好", appid=SECOND_APPID)

    assert (told["reply"], told["problem"]) == (None, "the reply is not encrypted")


# -- customer service ------------------------------------------------------------------
def test_customer_service_answers_five_times_within_the_window(
    sandbox, component, token
):
    value = component.authorise(token).authorizer_access_token
    person = openid(SECOND_APPID, 1)

    def answer(**changed):
        body = {"touser": person, "msgtype": "text", "text": {"content": "您好"}}
        answered = sandbox.post(CUSTOM, {**body, **changed}, access_token=value)
        return answered["errcode"]

    assert answer() == 45015
    sandbox.text("你好", of=person, appid=SECOND_APPID)
    assert [answer() for _ in range(6)] == [0] * 5 + [45047]
    assert answer(touser="nobody") == 40003
    assert answer(msgtype="image") == 40008
    assert answer(text={"content": ""}) == 44004
    assert answer(text={"content": "长" * 683}) == 45002


def test_whoever_begins_to_follow_may_be_answered_too(sandbox, component, token):
    value = component.authorise(token).authorizer_access_token
    person = openid(SECOND_APPID, 50)
    body = {"touser": person, "msgtype": "text", "text": {"content": "您好"}}
    assert sandbox.post(CUSTOM, body, access_token=value)["errcode"] == 45015

    follow = {"appid": SECOND_APPID, "follows": True}
    sandbox.control("PATCH", f"people/{person}", follow)

    codes = [sandbox.post(CUSTOM, body, access_token=value) for _ in range(4)]
    assert [code["errcode"] for code in codes] == [0, 0, 0, 45047]
