"""The platform's own calls: ticket, tokens, authorised accounts, options."""

import time

import pytest

from sandbox.accounts import DEMO_APPID
from sandbox.bundled import (
    MINIPROGRAM_APPID,
    SECOND_APPID,
    SUBSCRIPTION_APPID,
    UNVERIFIED_APPID,
)

START = "/cgi-bin/component/api_start_push_ticket"


@pytest.fixture
def token(component):
    return component.token()["component_access_token"]


def code_of(answer):
    return answer.get("errcode", 0)


def wait_until(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# -- ticket ----------------------------------------------------------------------------
def test_tickets_come_by_themselves_and_older_ones_go_on_working(sandbox, component):
    sandbox.settings(ticket_interval_s=0.1)
    wait_until(lambda: len(component.events("component_verify_ticket")) >= 3)

    events = component.events("component_verify_ticket")
    tickets = [event["ComponentVerifyTicket"] for event in events]

    assert len(set(tickets)) == len(tickets)
    assert events[0]["AppId"] == component.appid
    for ticket in (tickets[0], tickets[-1]):
        answer = component.token(component_verify_ticket=ticket)
        assert answer["expires_in"] == 7200


def test_tickets_that_stopped_come_again_when_asked_for(sandbox, component):
    sandbox.settings(tickets=False, ticket_interval_s=600)
    wait_until(lambda: sandbox.platform()["tickets_issued"] <= 1)
    before = sandbox.platform()["tickets_issued"]

    asked = {"component_appid": component.appid, "component_secret": component.secret}
    assert sandbox.post(START, asked) == {"errcode": 0, "errmsg": "ok"}

    wait_until(lambda: sandbox.platform()["tickets_issued"] == before + 1)
    wait_until(lambda: len(component.events("component_verify_ticket")) == before + 1)


def test_an_old_ticket_is_expired_and_a_made_up_one_invalid(sandbox, component):
    sandbox.settings(ticket_life_s=0.2)
    ticket = component.ticket()
    time.sleep(0.3)

    assert code_of(component.token(component_verify_ticket=ticket)) == 61005
    assert code_of(component.token(component_verify_ticket="ticket@@@x")) == 61006


@pytest.mark.parametrize(
    ("changed", "codes"),
    [
        ({"component_appid": ""}, {41018}),
        ({"component_appid": "wx0000000000000000"}, {40013, 61011}),
        ({"component_appsecret": ""}, {41004}),
        ({"component_appsecret": "wrong"}, {40001, 40125}),
    ],
)
def test_a_platform_must_prove_itself(component, changed, codes):
    assert code_of(component.token(**changed)) in codes


# -- component token -------------------------------------------------------------------
def test_both_names_of_the_token_are_understood(sandbox, component, token):
    path = "/cgi-bin/component/api_create_preauthcode"
    body = {"component_appid": component.appid}

    for name in ("component_access_token", "access_token"):
        answer = sandbox.post(path, body, **{name: token})
        assert answer["pre_auth_code"].startswith("preauthcode@@@")
        assert answer["expires_in"] == 600


def test_wrong_tokens_are_told_apart(sandbox, component, token):
    account = component.authorise(token, order="event_first")

    def ask(value, appid=component.appid):
        path = "/cgi-bin/component/api_get_authorizer_list"
        body = {"component_appid": appid, "offset": 0, "count": 10}
        return code_of(sandbox.post(path, body, component_access_token=value))

    assert ask("") == 41021
    assert ask("92_unknown") in {40001, 40094}
    assert ask(account.authorizer_access_token) == 61014
    assert ask(token, appid="wx0000000000000000") == 61011
    assert ask(token, appid="") == 41018
    assert ask(token) == 0


def test_a_component_token_ends_in_seconds_when_told_to(sandbox, component):
    sandbox.settings(component_token_life_s=0.3)
    token = component.token()["component_access_token"]
    assert code_of(component.call("api_create_preauthcode", token)) == 0
    time.sleep(0.4)

    assert code_of(component.call("api_create_preauthcode", token)) in {42001, 42006}


def test_a_new_component_token_leaves_the_old_one_for_the_overlap(sandbox, component):
    sandbox.settings(token_overlap_s=0.3)
    old, new = (component.token()["component_access_token"] for _ in range(2))
    assert code_of(component.call("api_create_preauthcode", old)) == 0
    time.sleep(0.4)

    assert code_of(component.call("api_create_preauthcode", old)) == 40001
    assert code_of(component.call("api_create_preauthcode", new)) == 0


def test_a_component_token_opens_no_accounts_call(sandbox, token):
    assert code_of(sandbox.get("/cgi-bin/user/get", access_token=token)) == 61015


def test_the_platforms_whitelist_names_the_address(sandbox, component, token):
    account = component.authorise(token)
    sandbox.platform(ip_whitelist=["198.51.100.0/24"])

    answer = component.call("api_create_preauthcode", token)
    business = sandbox.get(
        "/cgi-bin/user/get", access_token=account.authorizer_access_token
    )

    assert answer["errcode"] == business["errcode"] == 61004
    assert answer["errmsg"].startswith(
        "access clientip is not registered requestIP: 127.0.0.1 rid: "
    )


# -- authorised accounts ---------------------------------------------------------------
def test_an_authorisation_code_works_once(component, token):
    account = component.authorise(token, without=[8])

    again = component.call("api_query_auth", token, authorization_code=account.code)
    unknown = component.call("api_query_auth", token, authorization_code="x")

    assert account.authorizer_appid == SECOND_APPID
    assert account.expires_in == 7200
    assert {"funcscope_category": {"id": 7}} in account.func_info
    assert {"funcscope_category": {"id": 8}} not in account.func_info
    assert code_of(again) in {61009, 61010}
    assert code_of(unknown) == 61009


def test_an_authorisation_code_expires(sandbox, component, token):
    sandbox.settings(auth_code_life_s=0)
    back = sandbox.scan(component.link(token))
    code = component.wait_for_event("authorized")["AuthorizationCode"]

    assert "auth_code=queryauthcode%40%40%40" in back
    answer = component.call("api_query_auth", token, authorization_code=code)
    assert code_of(answer) == 61010


def test_an_access_token_is_renewed_and_the_refresh_token_stays(component, token):
    account = component.authorise(token)

    answer = component.call(
        "api_authorizer_token",
        token,
        authorizer_appid=SECOND_APPID,
        authorizer_refresh_token=account.authorizer_refresh_token,
    )

    assert answer["authorizer_access_token"] != account.authorizer_access_token
    assert answer["authorizer_refresh_token"] == account.authorizer_refresh_token


def test_a_replaced_refresh_token_is_void_and_found_again_in_the_list(
    sandbox, component, token
):
    account = component.authorise(token)
    sandbox.settings(refresh_token_replaced=True)

    def renew(refresh_token):
        return component.call(
            "api_authorizer_token",
            token,
            authorizer_appid=SECOND_APPID,
            authorizer_refresh_token=refresh_token,
        )

    new = renew(account.authorizer_refresh_token)["authorizer_refresh_token"]
    assert new != account.authorizer_refresh_token
    assert code_of(renew(account.authorizer_refresh_token)) == 61023

    listed = component.call("api_get_authorizer_list", token, offset=0, count=500)
    assert listed["total_count"] == 1
    assert listed["list"][0]["refresh_token"] == new
    assert code_of(renew(new)) == 0


def test_authorising_again_voids_the_old_refresh_token(component, token):
    old, new = component.authorise(token), component.authorise(token)

    answer = component.call(
        "api_authorizer_token",
        token,
        authorizer_appid=SECOND_APPID,
        authorizer_refresh_token=old.authorizer_refresh_token,
    )

    assert code_of(answer) == 61023
    assert new.authorizer_refresh_token != old.authorizer_refresh_token


def test_an_account_that_did_not_authorise_is_61003(component, token):
    for name in ("api_get_authorizer_info", "api_authorizer_token"):
        answer = component.call(name, token, authorizer_appid=SECOND_APPID)
        assert code_of(answer) == 61003


@pytest.mark.parametrize(
    ("appid", "service_type", "verified"),
    [
        (SECOND_APPID, 2, 0),
        (SUBSCRIPTION_APPID, 0, 0),
        (UNVERIFIED_APPID, 2, -1),
        (MINIPROGRAM_APPID, 0, 0),
    ],
)
def test_the_info_tells_kinds_apart(
    sandbox, component, token, appid, service_type, verified
):
    component.authorise(token, appid)

    answer = component.call("api_get_authorizer_info", token, authorizer_appid=appid)

    info = answer["authorizer_info"]
    assert info["service_type_info"] == {"id": service_type}
    assert info["verify_type_info"] == {"id": verified}
    assert info["user_name"] == sandbox.account(appid)["original_id"]
    assert ("MiniProgramInfo" in info) is (appid == MINIPROGRAM_APPID)
    authorization = answer["authorization_info"]
    assert authorization["authorizer_appid"] == appid
    assert authorization["authorizer_refresh_token"].startswith("refreshtoken@@@")


def test_avatars_show_on_no_other_sites_page(sandbox, component, token):
    component.authorise(token)
    info = component.call(
        "api_get_authorizer_info", token, authorizer_appid=SECOND_APPID
    )
    url = info["authorizer_info"]["head_img"]

    copied = sandbox.http.get(url, timeout=10)
    linked = sandbox.http.get(
        url, headers={"Referer": "https://x.example/"}, timeout=10
    )

    assert copied.content.startswith(b"\x89PNG")
    assert linked.status_code == 403


def test_the_list_is_paged(component, token):
    for appid in (SECOND_APPID, DEMO_APPID, SUBSCRIPTION_APPID):
        component.authorise(token, appid)

    def page(offset, count):
        return component.call(
            "api_get_authorizer_list", token, offset=offset, count=count
        )

    first, second = page(0, 2), page(2, 2)
    assert first["total_count"] == second["total_count"] == 3
    appids = [entry["authorizer_appid"] for entry in first["list"] + second["list"]]
    assert appids == [SECOND_APPID, DEMO_APPID, SUBSCRIPTION_APPID]
    assert page(9, 2)["list"] == []
    assert [code_of(page(*wrong)) for wrong in ((0, 501), (-1, 5), (0, 0))] == [
        40170
    ] * 3


# -- business calls with an authorizer's token -----------------------------------------
@pytest.mark.parametrize(
    ("path", "body", "needed"),
    [
        ("/cgi-bin/user/get", None, 2),
        ("/cgi-bin/template/get_all_private_template", None, 7),
        ("/cgi-bin/message/template/send", {}, 7),
        ("/cgi-bin/message/custom/send", {}, 1),
    ],
)
def test_a_set_that_was_not_granted_closes_its_calls(
    sandbox, component, token, path, body, needed
):
    account = component.authorise(token, without=[needed])

    def ask():
        value = account.authorizer_access_token
        if body is None:
            return code_of(sandbox.get(path, access_token=value))
        return code_of(sandbox.post(path, body, access_token=value))

    assert ask() == 61007
    sandbox.change_sets([1, 2, 7], SECOND_APPID)
    account = component.authorise(token)
    assert ask() not in (61007, 61003)


def test_after_the_authorisation_ended_everything_is_61003(sandbox, component, token):
    account = component.authorise(token)
    value = account.authorizer_access_token
    assert code_of(sandbox.get("/cgi-bin/user/get", access_token=value)) == 0

    sandbox.deauthorise()

    assert code_of(sandbox.get("/cgi-bin/user/get", access_token=value)) == 61003
    renewed = component.call(
        "api_authorizer_token",
        token,
        authorizer_appid=SECOND_APPID,
        authorizer_refresh_token=account.authorizer_refresh_token,
    )
    assert code_of(renewed) == 61003
    component.authorise(token)
    assert code_of(sandbox.get("/cgi-bin/user/get", access_token=value)) == 40001


def test_calls_through_a_platform_use_up_the_accounts_quota(sandbox, component, token):
    account = component.authorise(token)
    sandbox.change_account(SECOND_APPID, limits={"/cgi-bin/user/get": 1})

    codes = [
        code_of(
            sandbox.get(
                "/cgi-bin/user/get", access_token=account.authorizer_access_token
            )
        )
        for _ in range(2)
    ]
    assert codes == [0, 45009]

    cleared = component.call(
        "clear_quota/v2", token, appsecret=component.secret, appid=SECOND_APPID
    )
    assert cleared == {"errcode": 0, "errmsg": "ok"}
    assert sandbox.account(SECOND_APPID)["used"] == {}


@pytest.mark.parametrize("appid", [SUBSCRIPTION_APPID, UNVERIFIED_APPID])
def test_only_verified_service_accounts_send(sandbox, component, token, appid):
    account = component.authorise(token, appid)

    answer = sandbox.get(
        "/cgi-bin/template/get_all_private_template",
        access_token=account.authorizer_access_token,
    )

    assert code_of(answer) == 48001


# -- options ---------------------------------------------------------------------------
def test_options_in_both_editions(sandbox, component, token):
    account = component.authorise(token)
    value = account.authorizer_access_token
    option = {"option_name": "location_report", "option_value": "1"}

    new = sandbox.post(
        "/cgi-bin/component/set_authorizer_option", option, access_token=value
    )
    old = component.call(
        "api_get_authorizer_option",
        token,
        authorizer_appid=SECOND_APPID,
        option_name="location_report",
    )

    assert new == {"errcode": 0, "errmsg": "ok"}
    assert old == {"authorizer_appid": SECOND_APPID, **option}

    def refused(**wrong):
        path = "/cgi-bin/component/set_authorizer_option"
        return code_of(sandbox.post(path, {**option, **wrong}, access_token=value))

    assert refused(option_name="colour") == 61012
    assert refused(option_value="7") == 61013
