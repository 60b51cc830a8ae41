"""template/send: what WeChat checks, and what a phone then shows."""

import pytest
import requests

from tests.sandbox_fixture import SEND


def test_a_message_gets_a_large_msgid_and_appears_on_the_phone(sandbox, send):
    answer = send(1, url="https://example.com/meeting")

    assert answer == {"errcode": 0, "errmsg": "ok", "msgid": answer["msgid"]}
    assert 2**53 < answer["msgid"] < 2**63
    [message] = sandbox.messages(sandbox.openid(1))
    assert message["msgid"] == str(answer["msgid"])
    assert message["title"] == "会议预约提醒"
    assert message["rows"] == [
        ["会议主题", "周会"],
        ["会议时间", "2026年5月8日 10:00"],
        ["会议地点", "三楼"],
    ]
    assert message["url"] == "https://example.com/meeting"


def test_a_repeat_within_ten_minutes_answers_the_first_msgid_and_shows_nothing(
    sandbox, send
):
    first = send(1, client_msg_id="one")
    again = send(1, client_msg_id="one")
    other = send(2, client_msg_id="one")

    assert again == first
    assert other["msgid"] != first["msgid"]
    assert sandbox.shown()["total"] == 2
    assert sandbox.stats()["repeated"] == 1


def test_after_the_window_a_repeat_is_a_new_message(sandbox, send):
    sandbox.settings(same_message_s=0)

    msgids = {send(1, client_msg_id="one")["msgid"] for _ in range(2)}

    assert len(msgids) == 2
    assert sandbox.shown()["more_than_once"] == [sandbox.openid(1)]
    assert sandbox.shown()["max_per_message"] == 2


@pytest.mark.parametrize(
    ("who", "errcode"),
    [(50, 43004), (1000, 43019), ("oSB_of_another_account_00000", 40003), ("", 40003)],
)
def test_whom_wechat_refuses(sandbox, send, who, errcode):
    assert send(who)["errcode"] == errcode
    assert sandbox.shown()["total"] == 0


@pytest.mark.parametrize(
    ("changed", "errcode"),
    [
        ({"template_id": "x" * 43}, 40037),
        ({"template_id": ""}, 40036),
        ({"template_id": "x" * 100}, 40036),
        ({"url": "https://example.com/" + "x" * 3000}, 40039),
        ({"miniprogram": {"appid": "wx0000000000000000"}}, 40166),
        (
            {"miniprogram": {"appid": "wx5a0db0c5e70000a1", "pagepath": "x" * 2000}},
            40165,
        ),
        ({"data": None}, 47001),
        ({"data": {}}, 47003),
    ],
)
def test_what_else_wechat_refuses(sandbox, send, changed, errcode):
    assert send(1, **changed)["errcode"] == errcode
    assert sandbox.shown()["total"] == 0


def test_a_linked_miniprogram_is_taken(sandbox, send):
    miniprogram = {"appid": "wx5a0db0c5e70000a1", "pagepath": "pages/index?x=1"}

    assert send(1, miniprogram=miniprogram)["errcode"] == 0
    [message] = sandbox.messages(sandbox.openid(1))
    assert message["miniprogram"] == "wx5a0db0c5e70000a1"


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("thing1", "字" * 21, "invalid"),
        ("thing1", "", "is emtpy"),
        ("thing1", "two\nlines", "invalid"),
        ("time2", "tomorrow", "invalid"),
        ("time2", "2026年5月8日", "invalid"),
    ],
)
def test_typed_values_are_checked_in_wechats_words(sandbox, send, key, value, text):
    answer = send(1, values={key: value})

    assert answer["errcode"] == 47003
    assert answer["errmsg"].startswith(
        f"argument invalid! data.{key}.value {text} rid:"
    )


def test_a_historical_template_is_cut_and_its_first_and_remark_dropped(sandbox, send):
    historical = sandbox.templates()["订单状态更新"]["template_id"]
    data = {
        "first": {"value": "您好"},
        "keyword1": {"value": "长" * 25},
        "keyword2": {"value": "配送中\n第二行"},
        "remark": {"value": "谢谢"},
    }

    assert send(1, template_id=historical, data=data)["errcode"] == 0

    [message] = sandbox.messages(sandbox.openid(1))
    assert message["rows"] == [["订单编号", "长" * 20 + "…"], ["订单状态", "配送中"]]


def test_a_test_account_checks_no_types_and_cuts_everything(sandbox):
    account = sandbox.add_account(kind="test")
    appid = account["appid"]
    token = sandbox.token(appid, account["secret"])
    body = {
        "touser": sandbox.openid(1, appid),
        "template_id": sandbox.templates(appid)["会议预约提醒"]["template_id"],
        "data": {"thing1": {"value": "长" * 25}, "time2": {"value": "tomorrow"}},
    }

    assert sandbox.post(SEND, body, access_token=token)["errcode"] == 0
    [message] = sandbox.messages(sandbox.openid(1, appid), appid=appid)
    assert message["rows"][:2] == [
        ["会议主题", "长" * 20 + "…"],
        ["会议时间", "tomorrow"],
    ]


def test_the_daily_limit(sandbox, send):
    sandbox.change_account(limits={SEND: 2})

    assert [send(n)["errcode"] for n in (1, 2, 3)] == [0, 0, 45009]


def test_broken_json_is_said_to_be_so(sandbox, send):
    for body in (b"{", b"[]", b"\xff\xfe", b""):
        answer = requests.post(
            f"{sandbox.url}{SEND}?access_token={send.token}", data=body, timeout=10
        )
        assert answer.json()["errcode"] == 47001


def test_an_unknown_call_and_a_wrong_method(sandbox, send):
    assert sandbox.get("/cgi-bin/nothing")["errcode"] == 40066
    assert sandbox.get(SEND, access_token=send.token)["errcode"] == 43002
    assert sandbox.post("/cgi-bin/user/get", {})["errcode"] == 43001


def test_requests_in_pieces_and_several_at_once(sandbox, send):
    """The server reads what TCP brings, however it is cut."""
    import socket
    import time
    from urllib.parse import urlsplit

    path = f"/cgi-bin/user/info?access_token={send.token}&openid={sandbox.openid(1)}"
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    parts = urlsplit(sandbox.url)
    with socket.create_connection((parts.hostname, parts.port), 10) as wire:
        wire.sendall(request[:30])
        time.sleep(0.05)
        wire.sendall(request[30:] + request * 2)
        got = b""
        while got.count(b'"subscribe":1') < 3:
            more = wire.recv(65536)
            assert more, got
            got += more
    assert got.count(b"HTTP/1.1 200 OK") == 3
