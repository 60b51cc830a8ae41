"""Both families of access tokens, as WeChat describes them."""

import re
import time

import pytest

RID = re.compile(r" rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$")


def classic(sandbox, **changed):
    asked = {
        "grant_type": "client_credential",
        "appid": sandbox.appid,
        "secret": sandbox.secret,
        **changed,
    }
    return sandbox.get("/cgi-bin/token", **asked)


def stable(sandbox, **changed):
    asked = {
        "grant_type": "client_credential",
        "appid": sandbox.appid,
        "secret": sandbox.secret,
        **changed,
    }
    return sandbox.post("/cgi-bin/stable_token", asked)


def works(sandbox, token):
    """Return 0, or the errcode a business call with this token meets."""
    answer = sandbox.get("/cgi-bin/user/get", access_token=token)
    return answer.get("errcode", 0)


def test_a_new_classic_token_leaves_the_old_one_usable_for_the_overlap(sandbox):
    sandbox.settings(token_overlap_s=0.5)
    old = classic(sandbox)
    new = classic(sandbox)
    assert old["expires_in"] == new["expires_in"] == 7200
    assert (
        works(sandbox, old["access_token"]),
        works(sandbox, new["access_token"]),
    ) == (
        0,
        0,
    )

    time.sleep(0.6)

    assert works(sandbox, old["access_token"]) == 40001
    assert works(sandbox, new["access_token"]) == 0


def test_the_stable_token_is_the_same_until_shortly_before_its_end(sandbox):
    sandbox.settings(token_life_s=3, token_overlap_s=2)
    first = stable(sandbox)["access_token"]
    assert stable(sandbox)["access_token"] == first

    time.sleep(1.1)
    second = stable(sandbox)["access_token"]

    assert second != first
    assert (works(sandbox, first), works(sandbox, second)) == (0, 0)
    time.sleep(2)
    assert works(sandbox, first) == 42001


def test_the_two_families_do_not_touch_each_other(sandbox):
    lasting = stable(sandbox)["access_token"]
    sandbox.settings(token_overlap_s=0)

    classic(sandbox)
    classic(sandbox)

    assert works(sandbox, lasting) == 0


def test_a_forced_refresh_kills_the_old_token_at_once_and_then_has_to_wait(sandbox):
    old = stable(sandbox)["access_token"]

    new = stable(sandbox, force_refresh=True)["access_token"]

    assert new != old
    assert works(sandbox, old) == 40001
    assert stable(sandbox, force_refresh=True)["access_token"] == new
    assert works(sandbox, new) == 0


def test_twenty_forced_refreshes_a_day_are_all(sandbox):
    sandbox.settings(forced_gap_s=0)
    first = stable(sandbox)["access_token"]

    tokens = {stable(sandbox, force_refresh=True)["access_token"] for _ in range(25)}

    assert len(tokens - {first}) == 20


@pytest.mark.parametrize(
    ("changed", "errcode"),
    [
        ({"grant_type": "password"}, 40002),
        ({"appid": "wx0000000000000000"}, 40013),
        ({"secret": "f" * 32}, 40125),
        ({"appid": ""}, 41002),
        ({"secret": ""}, 41004),
    ],
)
def test_wrong_credentials_are_refused_with_a_rid(sandbox, changed, errcode):
    for ask in (classic, stable):
        answer = ask(sandbox, **changed)
        assert answer["errcode"] == errcode
        assert RID.search(answer["errmsg"])


def test_an_address_outside_the_whitelist_is_named(sandbox):
    sandbox.settings(caller_ip="203.0.113.9")

    answer = stable(sandbox)

    assert answer["errcode"] == 40164
    assert answer["errmsg"].startswith(
        "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist rid: "
    )


@pytest.mark.parametrize(
    ("errcode", "answered"), [(40243, 40243), (89503, 89503), (48001, None)]
)
def test_an_account_is_refused_its_token_where_wechat_does(sandbox, errcode, answered):
    sandbox.change_account(refuses=errcode)

    assert stable(sandbox).get("errcode") == answered


def test_a_test_account_has_no_whitelist(sandbox):
    account = sandbox.add_account(kind="test", ip_whitelist=["198.51.100.1"])
    assert stable(sandbox, appid=account["appid"], secret=account["secret"])[
        "access_token"
    ]


@pytest.mark.parametrize(
    ("token", "errcode"), [("", 41001), ("short", 40014), ("92_" + "x" * 128, 40001)]
)
def test_tokens_we_never_gave_out(sandbox, token, errcode):
    assert works(sandbox, token) == errcode


def test_token_calls_have_a_daily_limit(sandbox):
    sandbox.change_account(limits={"/cgi-bin/token": 2})

    codes = [classic(sandbox).get("errcode", 0) for _ in range(3)]

    assert codes == [0, 0, 45009]
