"""Faults on demand: each kind, and for which calls it holds."""

import pytest
import requests

from tests.sandbox_fixture import SEND, Refused


@pytest.mark.parametrize(
    ("kind", "errcode", "shown"),
    [
        ("busy", -1, 0),
        ("busy_after", -1, 1),
        ("daily_quota", 45009, 0),
        ("rate_limit", 45011, 0),
        ("token_dies", 40001, 0),
    ],
)
def test_faults_that_answer_with_an_errcode(sandbox, send, kind, errcode, shown):
    sandbox.faults(kind, calls=1)

    answer = send(1)

    assert answer["errcode"] == errcode
    assert " rid: " in answer["errmsg"]
    assert sandbox.shown()["total"] == shown


def test_a_dead_token_stays_dead(sandbox, send):
    sandbox.faults("token_dies", calls=1)
    send(1)

    assert send(1)["errcode"] == 40001
    assert sandbox.token() != send.token


@pytest.mark.parametrize(("kind", "shown"), [("close", 1), ("close_before", 0)])
def test_the_connection_closes_without_a_reply(sandbox, send, kind, shown):
    sandbox.faults(kind, calls=1)

    with pytest.raises(requests.ConnectionError):
        send(1)

    assert sandbox.shown()["total"] == shown


def raw(sandbox, send):
    body = {
        "touser": sandbox.openid(1),
        "template_id": send.template_id,
        "data": {
            k: {"value": v}
            for k, v in {"thing1": "a", "time2": "10:00", "thing3": "b"}.items()
        },
    }
    return requests.post(
        f"{sandbox.url}{SEND}?access_token={send.token}", json=body, timeout=10
    )


@pytest.mark.parametrize(
    ("kind", "shown"), [("bad_gateway", 0), ("bad_gateway_after", 1)]
)
def test_an_html_page_instead_of_json(sandbox, send, kind, shown):
    sandbox.faults(kind, calls=1)

    answer = raw(sandbox, send)

    assert answer.status_code == 502
    assert "<html>" in answer.text
    assert sandbox.shown()["total"] == shown


def test_a_body_that_ends_early(sandbox, send):
    sandbox.faults("truncated", calls=1)

    with pytest.raises(requests.RequestException):
        raw(sandbox, send)

    assert sandbox.shown()["total"] == 1


def test_a_missing_msgid_and_an_errcode_as_text(sandbox, send):
    sandbox.faults("no_msgid", calls=1)
    assert send(1) == {"errcode": 0, "errmsg": "ok"}

    sandbox.faults("errcode_string", calls=1)
    assert send(2)["errcode"] == "0"


def test_a_slow_reply_comes_all_the_same(sandbox, send):
    sandbox.faults("slow", calls=1, delay_s=0.4)

    answer = raw(sandbox, send)

    assert answer.elapsed.total_seconds() >= 0.4
    assert answer.json()["errcode"] == 0


def test_any_errcode_for_one_openid_until_cleared(sandbox, send):
    sandbox.faults("errcode", errcode=43117, openid=sandbox.openid(2))

    assert [send(n)["errcode"] for n in (1, 2, 2, 3)] == [0, 43117, 43117, 0]
    sandbox.clear_faults()
    assert send(2)["errcode"] == 0


def test_a_fault_of_another_path_or_account_leaves_the_rest_alone(sandbox, send):
    sandbox.faults("busy", path="/cgi-bin/user/get")
    sandbox.faults("busy", appid="wx0000000000000000")

    assert send(1)["errcode"] == 0
    assert sandbox.get("/cgi-bin/user/get", access_token=send.token)["errcode"] == -1


def test_a_share_of_the_calls(sandbox, send):
    sandbox.faults("busy", share=0.5)

    failed = sum(send(1)["errcode"] == -1 for _ in range(100))

    assert 20 < failed < 80


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "nonsense"}, {"kind": "busy", "share": 2}, {"kind": "busy", "what": 1}],
)
def test_a_fault_that_makes_no_sense_is_refused(sandbox, wrong):
    with pytest.raises(Refused, match="422"):
        sandbox.faults(**wrong)


def test_an_errcode_fault_needs_a_code(sandbox):
    with pytest.raises(Refused, match="errcode"):
        sandbox.faults("errcode")
