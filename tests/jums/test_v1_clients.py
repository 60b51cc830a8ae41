"""What the clients that are out there send, and what they expect: chapter 12.

The four are told by where they come from: the Go SDK of cavlabs, duxphp/go-jums,
hedeqiang/easyjiguang and rebue/scx.
"""

import json

import pytest

from sends.models import Send
from tests.jums_fixture import refusal, sent, targets

pytestmark = pytest.mark.django_db
OPENID = "oRcf0w_yHT-1F_pioV1cHbf7ghFI"


# -- the checklist ---------------------------------------------------------------------
@pytest.mark.parametrize(
    "content_type",
    ["application/json;charset=UTF-8", "text/html", "text/html; charset=UTF-8", ""],
)
def test_the_content_type_is_ignored(shop, content_type):
    answer = shop.post("sent", shop.body(), content_type=content_type)

    assert answer.json()["code"] == 0


def test_a_literal_null_is_a_body(shop):
    msgid = sent(shop.post("sent", shop.body())).msgid

    assert shop.post(f"retract/{msgid}", "null").json()["code"] == 0
    assert shop.get("token?type=wechatmp", body="null").json()["code"] == 4004


@pytest.mark.parametrize(
    "instance", ["wechatoa", "", "email", "gh_1", 7, None, "rival"]
)
def test_an_instance_may_be_anything(shop, rival, instance):
    audience = [{"instance": instance, "data": [OPENID]}]
    body = {"aud_wechatoa": audience, "msg_wechatoa": [shop.message()]}

    assert targets(shop.post("sent", body)) == {OPENID: ""}
    assert Send.objects.get().channel == shop.channel


@pytest.mark.parametrize(
    "call",
    [
        lambda shop, crm: shop.post("sent", shop.body(aud_userid=[17, 18])),
        lambda shop, crm: shop.post("sent", shop.body(aud_tag=[17])),
        lambda shop, crm: shop.post("sent", shop.body(option={"sendno": 17})),
        lambda shop, crm: shop.post("sent", shop.body(option={"owner": 17})),
        lambda shop, crm: shop.post("user/opt", [{"userid": 17}]),
        lambda shop, crm: crm.post("user/delete", [17, 18]),
        lambda shop, crm: shop.post(
            "template/sent", shop.general_body(template_para={"topic": 17})
        ),
    ],
    ids=["userid", "tag", "sendno", "owner", "user/opt", "user/delete", "value"],
)
def test_a_number_is_an_id(shop, crm, call):
    assert call(shop, crm).json()["code"] == 0


@pytest.mark.parametrize("name", ["url", "page", "color", "miniprogram"])
def test_an_empty_text_is_absent(shop, name):
    message = shop.message(**{name: ""})

    send = sent(shop.post("sent", shop.body(msg_wechatoa=[message])))

    assert (send.url, send.miniprogram_appid, send.miniprogram_path) == ("", "", "")


def test_a_miniprogram_without_an_appid_is_absent(shop):
    for program in ({"appid": ""}, {"app_id": "", "page_path": ""}, {"pagepath": "x"}):
        message = shop.message(miniprogram=program)
        send = sent(shop.post("sent", shop.body(msg_wechatoa=[message])))
        assert (send.miniprogram_appid, send.miniprogram_path) == ("", "")


def test_code_is_a_number_and_errcode_and_expires_in_are_texts(shop, at_wechat):
    token = shop.get("token?type=wechatoa").json()
    report = shop.post("user/opt", [{"userid": ""}]).json()

    assert [type(body["code"]) for body in (token, report)] == [int, int]
    assert type(token["expires_in"]) is str
    assert type(report["data"]["fail"][0]["errcode"]) is str


@pytest.fixture
def at_wechat(sandbox, settings, shop):
    settings.WECHAT_API_BASE = sandbox.url
    shop.channel.appid, shop.channel.app_secret = sandbox.appid, sandbox.secret
    shop.channel.save()


@pytest.mark.parametrize(
    "call",
    [
        lambda shop: shop.post("sent", {}),
        lambda shop: shop.post("broadcast", {}),
        lambda shop: shop.post("template/sent", {}),
        lambda shop: shop.post("template/broadcast", {}),
        lambda shop: shop.post("retract/x", "null"),
        lambda shop: shop.post("user/opt", "null"),
        lambda shop: shop.post("user/delete", []),
        lambda shop: shop.upload(),
        lambda shop: shop.get("token"),
        lambda shop: shop.get("nothing"),
        lambda shop: shop.get("sent"),
    ],
    ids=[
        "sent",
        "broadcast",
        "template/sent",
        "template/broadcast",
        "retract",
        "user/opt",
        "user/delete",
        "material",
        "token",
        "an unknown path",
        "a wrong method",
    ],
)
def test_no_failure_is_answered_with_200(shop, call):
    status, code = refusal(call(shop))

    assert status >= 400
    assert code != 0


def test_but_for_users_that_failed_one_by_one(shop):
    answer = shop.post("user/opt", [{"userid": ""}])

    assert (answer.status_code, answer.json()["code"]) == (200, 0)
    assert answer.json()["data"]["success"] == []


# -- whole requests of theirs ----------------------------------------------------------
def test_go_jums_names_fields_as_go_does_and_sends_them_all(shop):
    message = shop.message(
        url="", color="", miniprogram={"app_id": "", "page_path": ""}
    )
    body = {
        "aud_userid": [shop.userid],
        "aud_tag": None,
        "msg_wechatoa": [message],
        "option": {"sendno": "", "owner": "", "priority": 2},
    }

    assert targets(shop.post("sent", body)) == {shop.userid: ""}


def test_go_jums_updates_users_at_a_path_that_is_none(shop):
    body = {"set": {"phone": {"all": "13800138000"}}}

    assert refusal(shop.post("sent/user/opt", body)) == (404, 4004)


def test_easyjiguang_hands_the_json_body_on_as_it_is(shop):
    answer = shop.post("template/sent", shop.general_body())

    assert json.loads(answer.content)["msgid"]
    assert refusal(shop.post("%s/sent", shop.body())) == (404, 4004)


def test_scx_reads_the_code_as_text_and_shows_the_message(shop):
    body = {
        "aud_email": [{"instance": "email", "data": ["a@example.com"]}],
        "template_id": shop.general.pk,
        "template_para": {"topic": "…"},
    }

    answer = shop.post("template/sent", body, content_type="text/html")

    assert str(answer.json()["code"]) == "1015010"
    assert answer.json()["message"].startswith("aud_email: ")
    assert str(shop.post("sent", shop.body()).json()["code"]) == "0"
