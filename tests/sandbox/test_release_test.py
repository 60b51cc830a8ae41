"""The release test: what passes, and what it says about what does not."""

import threading

import pytest

from sandbox.platform import AUTOMATIC


@pytest.fixture
def answering(component):
    """A platform that does everything right, until a test changes it."""
    token = component.token()["component_access_token"]

    def from_api(code, appid, openid):
        info = component.call("api_query_auth", token, authorization_code=code)
        component.sandbox.post(
            "/cgi-bin/message/custom/send",
            {
                "touser": openid,
                "msgtype": "text",
                "text": {"content": f"{code}_from_api"},
            },
            access_token=info["authorization_info"]["authorizer_access_token"],
        )

    def reply(push):
        if push.path == "/wechattpp/event":
            return "success"
        fields = component.opened(push)
        text = fields.get("Content", "")
        if text.startswith("QUERY_AUTH_CODE:"):
            code = text.removeprefix("QUERY_AUTH_CODE:")
            sender = fields["FromUserName"]
            appid = push.path.split("/")[2]
            # The reply must be out before the call, as it is for everyone.
            threading.Timer(0.1, from_api, (code, appid, sender)).start()
            return ""
        wanted = f"{text}_callback" if text else f"{fields['Event']}from_callback"
        return component.passive(wanted)(push)

    component.receiver.reply = reply
    return component


def reasons(result):
    return {case["case"]: case["reason"] for case in result["cases"]}


def test_a_platform_that_does_it_right_passes(sandbox, answering):
    result = sandbox.release_test()

    assert reasons(result) == {1: "", 2: "", 3: "", 4: ""}
    assert result["passed"]
    appid = result["account"]["appid"]
    assert AUTOMATIC[appid] == result["account"]["original_id"]


def test_the_automatic_account_leaves_no_trace(sandbox, answering):
    sandbox.release_test()

    assert sandbox.platform()["authorisations"] == []
    assert len(sandbox.control("GET", "accounts")) == 5


def test_wrong_texts_are_quoted(sandbox, answering):
    hello = answering.passive("hello")
    answering.receiver.reply = lambda push: (
        hello(push) if push.path.endswith("/message") else "ok"
    )

    found = reasons(sandbox.release_test())

    assert found[1] == "the ticket was answered with 'ok', not success"
    assert "'hello', not 'TESTCOMPONENT_MSG_TYPE_TEXT_callback'" in found[2]
    assert found[3] == "the reply shows 'hello'; it must be empty"
    assert found[4].endswith("from_callback'")


def test_a_platform_that_only_says_success(sandbox, answering):
    answering.receiver.reply = lambda push: "success"

    found = reasons(sandbox.release_test())

    assert found[1] == ""
    assert found[2].startswith("the reply shows None")
    assert found[3] == "api_query_auth was not called with the code"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"signed": False}, "MsgSignature is wrong"),
        ({"receive_id": "wx0000000000000000"}, "for another receiver"),
        ({"to": "someone"}, "ToUserName is 'someone', not the sender"),
        ({"sender": "gh_000000000000"}, "FromUserName is 'gh_000000000000'"),
    ],
)
def test_a_reply_that_wechat_would_not_show(sandbox, answering, how, reason):
    def reply(push):
        if push.path == "/wechattpp/event":
            return "success"
        return answering.passive("TESTCOMPONENT_MSG_TYPE_TEXT_callback", **how)(push)

    answering.receiver.reply = reply

    assert reason in reasons(sandbox.release_test())[2]


def test_without_addresses_it_says_so(sandbox):
    assert reasons(sandbox.release_test()) == {
        1: "no authorisation event URL",
        2: "no message URL",
        3: "no message URL",
        4: "no message URL",
    }
