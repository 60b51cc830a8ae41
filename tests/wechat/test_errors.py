import pickle

import pytest

from channels_wechat.wechat import errors
from channels_wechat.wechat.errors import (
    CODES,
    ChannelRefused,
    RateLimited,
    WeChatError,
    WeChatUnavailable,
    error_for,
    explain,
    requested_ip,
)


@pytest.mark.parametrize(
    ("errcode", "name"),
    [
        (-1, "WeChatUnavailable"),
        (20001, "WeChatUnavailable"),
        (45011, "RateLimited"),
        (45009, "QuotaUsedUp"),
        (40001, "TokenRefused"),
        (40014, "TokenRefused"),
        (42001, "TokenRefused"),
        (40164, "ChannelRefused"),
        (40243, "ChannelRefused"),
        (48001, "ChannelRefused"),
        (89503, "ChannelRefused"),
        (40037, "TemplateRefused"),
        (40249, "TemplateRefused"),
        (40003, "RecipientRefused"),
        (43004, "RecipientRefused"),
        (43101, "RecipientRefused"),
        (47003, "MessageRefused"),
        (40241, "AlreadyAccepted"),
    ],
)
def test_a_code_says_whose_move_is_next(errcode, name):
    assert type(error_for(errcode, "…")).__name__ == name


def test_every_code_is_listed_under_itself_and_says_what_it_means():
    for errcode, code in CODES.items():
        assert code.errcode == errcode
        assert code.meaning.endswith(".")
        assert code.advice == "" or code.advice.endswith(".")


def test_an_unknown_code_keeps_wechats_words():
    error = error_for(12345, "brand new trouble rid: 611740a4-27f9a8ba-065da01b")

    assert type(error) is WeChatError
    assert (error.errcode, error.errmsg) == (12345, "brand new trouble")
    assert error.rid == "611740a4-27f9a8ba-065da01b"
    assert explain(12345) is None
    assert explain(None) is None


@pytest.mark.parametrize(
    ("errmsg", "text", "rid"),
    [
        (
            "invalid ip 1.2.3.4, not in whitelist rid: 611740a4-27f9a8ba-065da01b",
            "invalid ip 1.2.3.4, not in whitelist",
            "611740a4-27f9a8ba-065da01b",
        ),
        (
            "not in whitelist hint: [KJZfAa0644e575]",
            "not in whitelist",
            "KJZfAa0644e575",
        ),
        ("invalid code, hints: [ req_id: XXXX ]", "invalid code", "XXXX"),
        ("a rid: in the middle rid", "a rid: in the middle rid", ""),
        ("", "", ""),
    ],
)
def test_the_request_id_is_split_from_the_text(errmsg, text, rid):
    assert errors.without_rid(errmsg) == (text, rid)


@pytest.mark.parametrize(
    ("errmsg", "ip"),
    [
        (
            "invalid ip 218.58.124.130 ipv6 ::ffff:218.58.124.130, not in whitelist "
            "rid: 611740a4-27f9a8ba-065da01b",
            "218.58.124.130",
        ),
        ("invalid ip 61.172.68.219, not in whitelist hint: [K]", "61.172.68.219"),
        (
            "access clientip is not registered requestIP: 14.145.194.154",
            "14.145.194.154",
        ),
        ("invalid ip 2408:8207::1, not in whitelist", "2408:8207::1"),
        ("invalid credential", None),
    ],
)
def test_the_address_to_whitelist_is_found(errmsg, ip):
    assert requested_ip(errmsg) == ip


def test_errors_survive_the_way_through_a_worker():
    error = error_for(40164, "invalid ip 1.2.3.4 rid: 611740a4-27f9a8ba-065da01b")

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is ChannelRefused
    assert (copy.errmsg, copy.errcode, copy.rid) == (
        error.errmsg,
        error.errcode,
        error.rid,
    )
    assert str(copy) == "invalid ip 1.2.3.4 (errcode 40164)"


def test_only_time_heals_the_unavailable():
    assert WeChatError("x").retry_after_s is None
    assert WeChatUnavailable("x").retry_after_s == 10
    assert RateLimited("x").retry_after_s == 60
