import json
import logging
import pickle
import traceback
from datetime import UTC, datetime

import pytest
import responses
from responses import matchers

from channels_wechat.wechat import errors
from channels_wechat.wechat.calls import MAX_ANSWER_BYTES
from channels_wechat.wechat.client import (
    Client,
    Quota,
    Token,
    UserInfo,
    WeChatTemplate,
    fetch_stable_token,
    server_time,
)
from tests.wechat.scripted import cut, http, raw

BASE = "https://api.weixin.qq.com"
APPID, SECRET = "wx5a0db0c5e7000001", "5a0db0c5e70000015a0db0c5e7000001"
TEMPLATES = "/cgi-bin/template/get_all_private_template"


class Tokens:
    """A token source that counts."""

    def __init__(self, *values):
        self.values = list(values) or ["T1", "T2", "T3"]
        self.refused = []

    def get(self):
        return self.values[0]

    def renew(self, refused):
        self.refused.append(refused)
        self.values.pop(0)
        return self.values[0]


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def client(tokens):
    return Client(BASE, tokens)


@pytest.fixture
def api():
    with responses.RequestsMock() as mock:
        yield mock


def answer(api, method, path, body, **options):
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return api.add(
        method,
        BASE + path,
        body=text.encode(),
        content_type="application/json; encoding=utf-8",
        **options,
    )


# -- tokens ----------------------------------------------------------------------------


def test_a_token_is_fetched_from_stable_token(api):
    answer(
        api,
        "POST",
        "/cgi-bin/stable_token",
        {"access_token": "A" * 512, "expires_in": 4321},
        match=[
            matchers.json_params_matcher(
                {
                    "grant_type": "client_credential",
                    "appid": APPID,
                    "secret": SECRET,
                    "force_refresh": True,
                }
            )
        ],
    )

    token = fetch_stable_token(BASE, APPID, SECRET, force_refresh=True)

    assert token == Token("A" * 512, 4321)
    assert "A" * 10 not in repr(token)


@pytest.mark.parametrize(
    ("errcode", "errmsg"),
    [
        # A stale token elsewhere; here it says that the secret is wrong.
        (40001, "invalid credential, access_token is invalid or not latest"),
        (40125, "invalid appsecret"),
        (40164, "invalid ip 1.2.3.4, not in whitelist"),
        (40243, "AppSecret frozen"),
        (89503, "ip need confirm"),
    ],
)
def test_a_refused_secret_or_address_is_the_operators_move(api, errcode, errmsg):
    answer(api, "POST", "/cgi-bin/stable_token", {"errcode": errcode, "errmsg": errmsg})

    with pytest.raises(errors.ChannelRefused) as caught:
        fetch_stable_token(BASE, APPID, SECRET)

    assert (caught.value.errcode, caught.value.errmsg) == (errcode, errmsg)


@pytest.mark.parametrize(
    "body",
    [{}, {"access_token": "", "expires_in": 7200}, {"access_token": "A"}, [1], "oops"],
)
def test_an_answer_without_a_token_is_no_token(api, body):
    answer(api, "POST", "/cgi-bin/stable_token", body)

    with pytest.raises(errors.WeChatUnavailable):
        fetch_stable_token(BASE, APPID, SECRET)


def test_a_stale_token_is_renewed_once_and_the_call_repeated(api, client, tokens):
    answer(
        api,
        "GET",
        TEMPLATES,
        {"errcode": "40001", "errmsg": "invalid credential"},
        match=[matchers.query_param_matcher({"access_token": "T1"})],
    )
    answer(
        api,
        "GET",
        TEMPLATES,
        {"template_list": []},
        match=[matchers.query_param_matcher({"access_token": "T2"})],
    )

    assert client.templates() == []
    assert tokens.refused == ["T1"]


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
def test_a_fresh_token_refused_as_well_ends_visibly(api, client, tokens, errcode):
    reply = answer(api, "GET", TEMPLATES, {"errcode": errcode, "errmsg": "no"})

    with pytest.raises(errors.ChannelRefused) as caught:
        client.templates()

    assert caught.value.errcode == errcode
    assert reply.call_count == 2
    assert tokens.refused == ["T1"]


# -- calls -----------------------------------------------------------------------------


def test_templates_are_read_with_what_they_have(api, client):
    answer(
        api,
        "GET",
        TEMPLATES,
        {
            "template_list": [
                {
                    "template_id": "kO1x",
                    "title": "订单发货通知",
                    "primary_industry": "IT科技",
                    "deputy_industry": "互联网|电子商务",
                    "content": "{{first.DATA}}\n订单编号：{{keyword1.DATA}}",
                    "example": "您好…",
                },
                {"template_id": "Qz8", "title": "会议预约提醒", "content": "x"},
                {"title": "without an id"},
                "no template",
            ]
        },
    )

    assert client.templates() == [
        WeChatTemplate(
            "kO1x",
            "订单发货通知",
            "{{first.DATA}}\n订单编号：{{keyword1.DATA}}",
            "您好…",
            "IT科技",
            "互联网|电子商务",
        ),
        WeChatTemplate("Qz8", "会议预约提醒", "x", "", "", ""),
    ]


@pytest.mark.parametrize("body", [{}, {"template_list": None}, {"errcode": 0}])
def test_an_answer_without_a_list_is_no_empty_list(api, client, body):
    answer(api, "GET", TEMPLATES, body)

    with pytest.raises(errors.WeChatUnavailable):
        client.templates()


def page(api, next_openid, body):
    params = {"access_token": "T1"}
    if next_openid:
        params["next_openid"] = next_openid
    answer(
        api,
        "GET",
        "/cgi-bin/user/get",
        body,
        match=[matchers.query_param_matcher(params)],
    )


def followers_page(openids, total, next_openid):
    return {
        "total": total,
        "count": len(openids),
        "data": {"openid": openids},
        "next_openid": next_openid,
    }


def test_followers_are_read_page_after_page(api, client):
    page(api, "", followers_page(["o1", "o2"], 3, "o2"))
    page(api, "o2", followers_page(["o3"], 3, "o3"))

    assert list(client.followers()) == ["o1", "o2", "o3"]


def test_followers_end_with_an_empty_page(api, client):
    # More were promised than came: somebody left in between.
    page(api, "", followers_page(["o1"], 2, "o1"))
    page(api, "o1", {"total": 2, "count": 0, "next_openid": ""})

    assert list(client.followers()) == ["o1"]


def test_followers_never_loop_on_a_repeated_cursor(api, client):
    page(api, "", followers_page(["o1"], 99, "o1"))
    page(api, "o1", followers_page(["o2"], 99, "o1"))

    assert list(client.followers()) == ["o1", "o2"]


def test_an_account_without_followers_has_none(api, client):
    page(api, "", {"total": 0, "count": 0, "next_openid": ""})

    assert list(client.followers()) == []


def test_followers_are_read_on_without_a_total(api, client):
    page(api, "", {"data": {"openid": ["o1"]}, "next_openid": "o1"})
    page(api, "o1", {"next_openid": ""})

    assert list(client.followers()) == ["o1"]


def test_user_info_of_a_follower_and_of_another(api, client):
    path = "/cgi-bin/user/info"
    answer(
        api,
        "GET",
        path,
        {"subscribe": 1, "openid": "o1", "subscribe_time": 1434093047, "unionid": "u"},
    )
    assert client.user_info("o1") == UserInfo("o1", True, 1434093047, "u")

    api.replace("GET", BASE + path, body='{"subscribe":0,"openid":"o2"}')
    assert client.user_info("o2") == UserInfo("o2", False, 0, "")


def test_a_quota_is_read_even_without_its_parts(api, client):
    path = "/cgi-bin/openapi/quota/get"
    answer(
        api,
        "POST",
        path,
        {"errcode": 0, "quota": {"daily_limit": 100000, "used": 83, "remain": 99917}},
        match=[
            matchers.json_params_matcher({"cgi_path": "/cgi-bin/message/template/send"})
        ],
    )
    quota = client.quota("/cgi-bin/message/template/send")
    assert quota == Quota(100000, 83, 99917)

    api.replace("POST", BASE + path, body='{"errcode":0}')
    assert client.quota("/x") == Quota(0, 0, 0)


def test_callback_addresses(api, client):
    path = "/cgi-bin/getcallbackip"
    answer(api, "GET", path, {"ip_list": ["101.226.103.0/25", "127.0.0.1"]})
    assert client.callback_ips() == ["101.226.103.0/25", "127.0.0.1"]

    api.replace("GET", BASE + path, body="{}")
    assert client.callback_ips() == []


def test_one_message_is_sent_as_it_is(api, client):
    path = "/cgi-bin/message/template/send"
    body = '{"touser":"o1","data":{"a":{"value":"张三"}}}'.encode()
    answer(
        api,
        "POST",
        path,
        '{"errcode":0,"errmsg":"ok","msgid":3487542469355618313}',
    )

    assert client.send_template(body) == 3487542469355618313
    assert api.calls[0].request.body == body

    api.replace("POST", BASE + path, body='{"errcode":0,"errmsg":"ok"}')
    assert client.send_template(body) is None


def test_a_refusal_says_whose_move_is_next(api, client):
    path = "/cgi-bin/message/template/send"
    answer(
        api,
        "POST",
        path,
        {
            "errcode": 43004,
            "errmsg": "require subscribe rid: 611740a4-27f9a8ba-065da01b",
        },
    )

    with pytest.raises(errors.RecipientRefused) as caught:
        client.send_template(b"{}")

    assert caught.value.errmsg == "require subscribe"
    assert caught.value.rid == "611740a4-27f9a8ba-065da01b"


def test_control_characters_and_a_wrong_header_are_read_past(api, client):
    api.add(
        "GET",
        BASE + TEMPLATES,
        body=b'\xef\xbb\xbf{"template_list":[{"template_id":"a","title":"x\x01\ny"}]}',
        content_type="text/plain; charset=gbk",
    )

    assert client.templates()[0].title == "x\x01\ny"


# -- a real socket ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        cut,
        http("<html>502</html>", "502 Bad Gateway"),
        http("<html>ok</html>"),
        http("[1]"),
        http("", "302 Found", "Location: /elsewhere\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"),
        raw(b"SSH-2.0\r\n"),
        raw(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_ANSWER_BYTES + 1)),
        raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip"),
    ],
    ids=[
        "cut",
        "502",
        "html",
        "list",
        "redirect",
        "short",
        "half a chunk",
        "no HTTP",
        "endless",
        "false gzip",
    ],
)
def test_an_unreadable_answer_is_unavailable_and_tells_no_token(
    wechat, step, tokens, caplog
):
    caplog.set_level(logging.DEBUG, logger="channels_wechat")
    wechat.otherwise = step
    tokens.values = ["SECRET-TOKEN"]

    with pytest.raises(errors.WeChatUnavailable) as caught:
        Client(wechat.url, tokens).templates()

    told = "".join(traceback.format_exception(caught.value))
    assert "SECRET" not in told + repr(caught.value) + caplog.text
    assert TEMPLATES in str(caught.value)


def test_an_unreachable_wechat_is_unavailable(wechat, tokens):
    wechat.stop_listening()

    with pytest.raises(errors.WeChatUnavailable) as caught:
        Client(wechat.url, tokens).templates()

    assert str(caught.value) == f"{TEMPLATES}: ConnectionError"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_proxies_and_netrc_of_the_environment_are_not_used(
    wechat, tokens, monkeypatch, tmp_path
):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    wechat.otherwise = http('{"template_list":[]}')

    assert Client(wechat.url, tokens).templates() == []
    assert "authorization" not in wechat.requests[0].headers


def test_chinese_goes_out_unescaped(wechat):
    wechat.otherwise = http('{"access_token":"A","expires_in":7200}')

    fetch_stable_token(wechat.url, APPID, "秘密")

    assert '"secret":"秘密"'.encode() in wechat.requests[0].body
    assert wechat.requests[0].headers["content-type"] == "application/json"


def test_wechats_clock_is_read_from_its_header(wechat):
    wechat.otherwise = http("", headers="Date: Sun, 22 Nov 2026 12:00:00 GMT\r\n")
    assert server_time(wechat.url) == datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    wechat.otherwise = http("", headers="Date: today\r\n")
    assert server_time(wechat.url) is None

    wechat.otherwise = http("")
    assert server_time(wechat.url) is None

    wechat.otherwise = cut
    with pytest.raises(errors.WeChatUnavailable):
        server_time(wechat.url)


def test_a_client_shows_its_host_and_nothing_else(client):
    assert repr(client) == "Client(api.weixin.qq.com)"
