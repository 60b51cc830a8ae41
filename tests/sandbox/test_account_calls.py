"""Templates, followers, blacklist and quotas, as their calls show them."""

import pytest

from sandbox.accounts import BIZSEND, demo_account
from tests.sandbox_fixture import SEND


@pytest.fixture
def token(sandbox):
    return sandbox.token()


def test_the_template_list_has_no_errcode_and_both_kinds(sandbox, token):
    answer = sandbox.get(
        "/cgi-bin/template/get_all_private_template", access_token=token
    )

    assert set(answer) == {"template_list"}
    by_title = {t["title"]: t for t in answer["template_list"]}
    assert by_title["会议预约提醒"]["primary_industry"] == ""
    assert by_title["订单状态更新"]["deputy_industry"] == "互联网|电子商务"
    assert "{{keyword1.DATA}}" in by_title["订单状态更新"]["content"]


def test_templates_are_added_from_the_library_up_to_25(sandbox, token):
    def add(short, keywords):
        return sandbox.post(
            "/cgi-bin/template/api_add_template",
            {"template_id_short": short, "keyword_name_list": keywords},
            access_token=token,
        )

    assert add("TM00015", ["x"])["errcode"] == 40247
    assert add("OPENTM201752540", ["x"])["errcode"] == 45027
    assert add("TM99999", ["x"])["errcode"] == 40037
    assert add("99999", ["x"])["errcode"] == 40037
    assert add("47123", [])["errcode"] == 40246
    added = [add("47123", ["快递公司", "订单编号"]) for _ in range(22)]
    assert [a["errcode"] for a in added] == [0] * 21 + [45026]
    listed = sandbox.account()["templates"]
    assert len(listed) == 25
    assert listed[-1]["content"] == (
        "快递公司:{{phrase2.DATA}}\n订单编号:{{character_string1.DATA}}\n"
    )


def test_a_removed_template_cannot_be_sent_but_stays_on_phones(sandbox, send):
    send(1)
    gone = {"template_id": send.template_id}

    path = "/cgi-bin/template/del_private_template"
    assert sandbox.post(path, gone, access_token=send.token)["errcode"] == 0
    assert sandbox.post(path, gone, access_token=send.token)["errcode"] == 40037

    assert send(1)["errcode"] == 40037
    assert sandbox.messages(sandbox.openid(1))[0]["title"] == "会议预约提醒"


def test_the_industry_changes_once_a_month(sandbox, token):
    path = "/cgi-bin/template/api_set_industry"
    codes = [
        sandbox.post(path, {"industry_id1": a, "industry_id2": b}, access_token=token)[
            "errcode"
        ]
        for a, b in (("1", "99"), ("13", "1"), ("1", "2"))
    ]

    assert codes == [40102, 0, 43100]
    assert sandbox.get("/cgi-bin/template/get_industry", access_token=token) == {
        "primary_industry": {"first_class": "运输与仓储", "second_class": "快递"},
        "secondary_industry": {
            "first_class": "IT科技",
            "second_class": "互联网|电子商务",
        },
    }


def test_followers_come_in_pages_of_ten_thousand(sandbox):
    account = sandbox.add_account(followers=23_000)
    token = sandbox.token(account["appid"], account["secret"])
    seen, after, counts = [], "", []
    while True:
        page = sandbox.get("/cgi-bin/user/get", access_token=token, next_openid=after)
        counts.append(page["count"])
        if not page["count"]:
            assert "data" not in page
            break
        seen += page["data"]["openid"]
        after = page["next_openid"]
        assert after == seen[-1]

    assert counts == [10_000, 10_000, 3_000, 0]
    assert len(set(seen)) == page["total"] == 23_000


def test_the_demo_account_has_3000_followers(sandbox, token):
    page = sandbox.get("/cgi-bin/user/get", access_token=token)

    assert page["total"] == page["count"] == 3000
    assert sandbox.openid(1) in page["data"]["openid"]
    assert sandbox.openid(50) not in page["data"]["openid"]


def test_user_info_of_followers_and_others(sandbox, token):
    def info(openid):
        return sandbox.get("/cgi-bin/user/info", access_token=token, openid=openid)

    assert info(sandbox.openid(1))["subscribe"] == 1
    assert info(sandbox.openid(50)) == {"subscribe": 0, "openid": sandbox.openid(50)}
    assert info("o-unknown")["errcode"] == 40003

    batch = {"user_list": [{"openid": sandbox.openid(n)} for n in (1, 50)]}
    answer = sandbox.post("/cgi-bin/user/info/batchget", batch, access_token=token)
    assert [u["subscribe"] for u in answer["user_info_list"]] == [1, 0]


def test_the_blacklist_is_read_and_changed(sandbox, send):
    def call(name, **body):
        path = f"/cgi-bin/tags/members/{name}"
        return sandbox.post(path, body, access_token=send.token)

    openid = sandbox.openid(2)
    assert call("batchblacklist", openid_list=[openid])["errcode"] == 0
    assert send(2)["errcode"] == 43019
    assert openid in call("getblacklist", begin_openid="")["data"]["openid"]
    assert call("batchunblacklist", openid_list=[openid])["errcode"] == 0
    assert send(2)["errcode"] == 0


def test_quotas_are_counted_shown_and_cleared(sandbox, send):
    def quota(path):
        return sandbox.post(
            "/cgi-bin/openapi/quota/get", {"cgi_path": path}, access_token=send.token
        )

    send(1)
    assert quota(SEND)["quota"] == {
        "daily_limit": 100_000,
        "used": 1,
        "remain": 99_999,
    }
    assert quota(BIZSEND)["quota"]["daily_limit"] == 1_000_000
    sandbox.change_account(limits={BIZSEND: 0})
    assert quota(BIZSEND)["quota"]["remain"] == 0
    assert quota("/cgi-bin/nothing")["errcode"] == 76021
    assert quota("/sns/jscode2session")["errcode"] == 76022
    assert quota("cgi-bin")["errcode"] == 76003
    sandbox.change_account(kind="test")
    assert quota(BIZSEND)["errcode"] == 76022
    assert quota(SEND)["quota"]["daily_limit"] == 10_000
    sandbox.change_account(verified=False)
    assert quota(SEND)["errcode"] == 76022
    sandbox.change_account(kind="service", verified=True)

    codes = [
        sandbox.post(
            "/cgi-bin/clear_quota", {"appid": sandbox.appid}, access_token=send.token
        )["errcode"]
        for _ in range(11)
    ]
    assert codes == [0] * 10 + [48006]
    assert quota(SEND)["quota"]["used"] == 0


def test_counters_start_anew_at_midnight_in_china():
    account, midnight = demo_account(), 20_000 * 86400 - 8 * 3600
    account.spend(SEND, midnight - 1)

    assert account.used_today(SEND, midnight - 1) == 1
    assert account.used_today(SEND, midnight) == 0


def test_the_same_by_appsecret_when_the_token_quota_itself_is_used_up(sandbox):
    sandbox.change_account(limits={"/cgi-bin/stable_token": 0})
    body = {"appid": sandbox.appid, "appsecret": sandbox.secret}

    assert sandbox.post("/cgi-bin/clear_quota/v2", body)["errcode"] == 0
    assert sandbox.post("/cgi-bin/clear_quota/v2", {})["errcode"] == 41002


def test_callback_addresses(sandbox, token):
    answer = sandbox.get("/cgi-bin/getcallbackip", access_token=token)
    assert "127.0.0.1" in answer["ip_list"]


def test_an_account_without_permission(sandbox, send):
    sandbox.change_account(refuses=48001)
    assert send(1)["errcode"] == 48001
