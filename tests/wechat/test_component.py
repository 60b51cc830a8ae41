import json
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from channels_wechat.wechat import component
from channels_wechat.wechat.client import Token
from channels_wechat.wechat.component import Authorizer, Component
from channels_wechat.wechat.errors import (
    ChannelRefused,
    TicketMissing,
    WeChatUnavailable,
)

BASE = "https://api.weixin.qq.com"
APPID, SECRET = "wx0c00000000000001", "5ec2e7"
FUNC_INFO = [
    {"funcscope_category": {"id": 89}},
    {
        "funcscope_category": {"id": 7},
        "confirm_info": {"need_confirm": 0, "already_confirm": 0, "can_confirm": 0},
    },
    {"funcscope_category": {"id": 7}},
]


class Tokens:
    def __init__(self):
        self.value, self.refused = "C1", []

    def get(self):
        return self.value

    def renew(self, refused):
        self.refused.append(refused)
        self.value = "C2"
        return self.value


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def platform(tokens):
    return Component(BASE, APPID, tokens)


@pytest.fixture
def api():
    with responses.RequestsMock() as mock:
        yield mock


def answer(api, name, body):
    api.post(f"{BASE}/cgi-bin/component/{name}", json=body)


def asked(api, n=-1):
    request = api.calls[n].request
    return json.loads(request.body), parse_qs(urlsplit(request.url).query)


def test_a_ticket_becomes_a_component_token(api):
    body = {"component_access_token": "C1", "expires_in": 7200}
    answer(api, "api_component_token", body)

    token = component.fetch_component_token(BASE, APPID, SECRET, "ticket@@@1")

    assert token == Token("C1", 7200)
    assert asked(api) == (
        {
            "component_appid": APPID,
            "component_appsecret": SECRET,
            "component_verify_ticket": "ticket@@@1",
        },
        {},
    )


@pytest.mark.parametrize(
    ("errcode", "error"),
    [(61005, TicketMissing), (61006, TicketMissing), (40001, ChannelRefused)],
)
def test_a_component_token_refused_says_whose_move_it_is(api, errcode, error):
    answer(api, "api_component_token", {"errcode": errcode, "errmsg": "no"})

    with pytest.raises(error):
        component.fetch_component_token(BASE, APPID, SECRET, "ticket@@@1")


def test_tickets_are_asked_for_with_the_secret_under_its_other_name(api):
    answer(api, "api_start_push_ticket", {"errcode": 0, "errmsg": "ok"})

    component.start_push_ticket(BASE, APPID, SECRET)

    assert asked(api) == ({"component_appid": APPID, "component_secret": SECRET}, {})


def test_a_pre_auth_code_lives_as_long_as_the_answer_says(api, platform):
    answer(
        api,
        "api_create_preauthcode",
        {"pre_auth_code": "preauthcode@@@1", "expires_in": 1800},
    )

    assert platform.pre_auth_code() == ("preauthcode@@@1", 1800)
    assert asked(api) == (
        {"component_appid": APPID},
        {"component_access_token": ["C1"]},
    )


def test_a_code_is_exchanged_for_an_accounts_tokens(api, platform):
    answer(
        api,
        "api_query_auth",
        {
            "authorization_info": {
                "authorizer_appid": "wx5a0db0c5e7000001",
                "authorizer_access_token": "A1",
                "expires_in": 7200,
                "authorizer_refresh_token": "refreshtoken@@@1",
                "func_info": FUNC_INFO,
            }
        },
    )

    found = platform.query_auth("queryauthcode@@@1")

    assert (found.appid, found.permission_sets) == ("wx5a0db0c5e7000001", (7, 89))
    assert (found.token.value, found.token.expires_in_s) == ("A1", 7200)
    assert found.token.refresh_token == "refreshtoken@@@1"
    assert "A1" not in repr(found.token) + repr(found)
    assert asked(api)[0]["authorization_code"] == "queryauthcode@@@1"


@pytest.mark.parametrize(
    ("given", "kept"),
    [("refreshtoken@@@2", "refreshtoken@@@2"), (None, "refreshtoken@@@1")],
)
def test_the_refresh_token_of_the_answer_is_the_one_to_keep(api, platform, given, kept):
    body = {"authorizer_access_token": "A2", "expires_in": 7200}
    if given:
        body["authorizer_refresh_token"] = given
    answer(api, "api_authorizer_token", body)

    token = platform.authorizer_token("wx5a0db0c5e7000001", "refreshtoken@@@1")

    assert (token.value, token.refresh_token) == ("A2", kept)


INFO = {
    "nick_name": "微信SDK",
    "head_img": "http://wx.qlogo.cn/mmopen/x/0",
    "service_type_info": {"id": 2},
    "verify_type_info": {"id": 0},
    "user_name": "gh_eb5e3a772040",
    "principal_name": "腾讯",
    "account_status": 1,
}


def test_an_account_is_told_with_its_kind_and_sets(api, platform):
    answer(
        api,
        "api_get_authorizer_info",
        {"authorizer_info": INFO, "authorization_info": {"func_info": FUNC_INFO}},
    )

    info = platform.authorizer_info("wx5a0db0c5e7000001")

    assert (info.name, info.original_id) == ("微信SDK", "gh_eb5e3a772040")
    assert (info.service_type, info.verify_type, info.status) == (2, 0, 1)
    assert (info.is_mini_program, info.permission_sets) == (False, (7, 89))


def test_a_mini_program_is_told_by_its_block(api, platform):
    info = {**INFO, "service_type_info": {"id": 0}, "MiniProgramInfo": {}}
    answer(api, "api_get_authorizer_info", {"authorizer_info": info})

    assert platform.authorizer_info("wx5a0db0c5e7000001").is_mini_program


def test_the_list_of_accounts_is_read_to_its_end(api, platform):
    def line(n):
        return {
            "authorizer_appid": f"wx{n}",
            "refresh_token": f"r{n}",
            "auth_time": 1558000607,
        }

    answer(
        api, "api_get_authorizer_list", {"total_count": 3, "list": [line(1), line(2)]}
    )
    answer(api, "api_get_authorizer_list", {"total_count": 3, "list": [line(3)]})

    found = list(platform.authorizers())

    assert [one.appid for one in found] == ["wx1", "wx2", "wx3"]
    assert isinstance(found[0], Authorizer)
    assert [asked(api, n)[0]["offset"] for n in (0, 1)] == [0, 2]


@pytest.mark.parametrize("errcode", [40001, 40094, 42001, 42006])
def test_a_stale_component_token_is_renewed_once(api, platform, tokens, errcode):
    answer(api, "api_create_preauthcode", {"errcode": errcode, "errmsg": "stale"})
    answer(api, "api_create_preauthcode", {"pre_auth_code": "p", "expires_in": 600})

    assert platform.pre_auth_code().value == "p"

    assert tokens.refused == ["C1"]
    assert asked(api)[1] == {"component_access_token": ["C2"]}


def test_a_fresh_component_token_refused_as_well_is_an_error(api, platform, tokens):
    for _ in range(2):
        answer(api, "api_create_preauthcode", {"errcode": 40001, "errmsg": "stale"})

    with pytest.raises(ChannelRefused):
        platform.pre_auth_code()
    assert tokens.refused == ["C1"]


def test_an_answer_without_what_was_asked_for_is_no_answer(api, platform):
    answer(api, "api_query_auth", {"authorization_info": {}})

    with pytest.raises(WeChatUnavailable):
        platform.query_auth("queryauthcode@@@1")


def test_the_pages_of_wechat_carry_everything_percent_encoded():
    back = "https://jums.example.com/wechattpp/authorized/a.b"

    pc = component.pc_url("https://mp.weixin.qq.com", APPID, "preauthcode@@@1", back)
    phone = component.mobile_url(
        "https://open.weixin.qq.com", APPID, "preauthcode@@@1", back, "wx1"
    )

    parts = urlsplit(pc)
    assert (parts.netloc, parts.path) == (
        "mp.weixin.qq.com",
        "/cgi-bin/componentloginpage",
    )
    assert parse_qs(parts.query) == {
        "component_appid": [APPID],
        "pre_auth_code": ["preauthcode@@@1"],
        "redirect_uri": [back],
        "auth_type": ["1"],
    }
    assert phone.startswith(
        "https://open.weixin.qq.com/wxaopen/safe/bindcomponent"
        "?action=bindcomponent&no_scan=1&"
    )
    assert phone.endswith("biz_appid=wx1#wechat_redirect")
