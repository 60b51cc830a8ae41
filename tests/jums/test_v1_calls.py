"""What every call of /v1 keeps to: transport, keys, envelope, statuses, bad bodies.

Chapters 1 to 3 of the JUMS API: each row goes to each of the nine calls.
"""

import json
from datetime import timedelta

import pytest
import time_machine
from django.db import DatabaseError, connection
from django.test import Client
from django.utils import timezone

from channels_wechat.business_channels import create_business_channel, rotate_secret
from tests.api_fixture import basic
from tests.jums_fixture import Caller, refusal

pytestmark = pytest.mark.django_db

BUSINESS, ACCESS = "business", "access"
CALLS = {
    "sent": ("POST", "sent", {BUSINESS}),
    "broadcast": ("POST", "broadcast", {BUSINESS}),
    "template/sent": ("POST", "template/sent", {BUSINESS}),
    "template/broadcast": ("POST", "template/broadcast", {BUSINESS}),
    "retract": ("POST", "retract/v:1t:1603707455p:27133n:2", {BUSINESS}),
    "user/opt": ("POST", "user/opt", {BUSINESS, ACCESS}),
    "user/delete": ("POST", "user/delete", {ACCESS}),
    "material": ("POST", "material", {BUSINESS}),
    "token": ("GET", "token?type=wechatmp", {BUSINESS}),
}
READ_A_BODY = sorted(set(CALLS) - {"retract", "material", "token"})
JSON = "application/json; charset=utf-8"

every_call = pytest.mark.parametrize("name", CALLS)
every_body = pytest.mark.parametrize("name", READ_A_BODY)


@pytest.fixture
def ask(shop, crm):
    """Make a call with nothing in it, with a pair that it takes or with another one."""

    def call(name, caller=None, **options):
        method, path, takes = CALLS[name]
        caller = caller or (shop if BUSINESS in takes else crm)
        body = options.pop("body", "")
        return caller.call(options.pop("method", method), path, body, **options)

    return call


# -- keys ------------------------------------------------------------------------------
@every_call
@pytest.mark.parametrize(
    "spoil",
    [
        lambda key, secret: (key, secret[:-1] + "g"),
        lambda key, secret: (key, ""),
        lambda key, secret: (key, secret.upper()),
        lambda key, secret: (key.upper(), secret),
        lambda key, secret: ("f" * 24, secret),
        lambda key, secret: ("", ""),
        lambda key, secret: (key + ":", secret),
        lambda key, secret: (f" {key}", secret),
        lambda key, secret: ("\0", "\0"),
        lambda key, secret: ("渠道", "密钥"),
    ],
    ids=[
        "wrong secret",
        "no secret",
        "secret in capitals",
        "key in capitals",
        "unknown key",
        "empty",
        "a colon too much",
        "a space before",
        "NUL",
        "Chinese",
    ],
)
def test_a_wrong_pair_is_4005_and_401(ask, shop, crm, name, spoil):
    right = shop.pair if BUSINESS in CALLS[name][2] else crm.pair

    answer = ask(name, Caller(*spoil(*right)))

    assert refusal(answer) == (401, 4005)
    assert answer["WWW-Authenticate"].startswith("Basic ")
    assert answer["Content-Type"] == JSON


@every_call
@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic !", "Basic bm8gY29sb24=", "Basic //4=", "Bearer x", "a b c"],
)
def test_what_is_no_pair_is_4005_and_401(ask, name, header):
    answer = ask(name, headers={"authorization": header})

    assert refusal(answer) == (401, 4005)
    assert answer["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name, (_method, _path, takes) in CALLS.items()
        for kind in (BUSINESS, ACCESS)
        if kind not in takes
    ],
)
def test_the_other_kind_of_key_is_4005_and_403(ask, shop, crm, name, kind):
    answer = ask(name, shop if kind == BUSINESS else crm)

    assert refusal(answer) == (403, 4005)
    assert "WWW-Authenticate" not in answer


def test_keys_are_24_lower_case_hex_digits(db):
    row, secret = create_business_channel("shop")

    for text in (row.key, secret):
        assert len(text) == 24
        assert set(text) <= set("0123456789abcdef")


# -- envelope and statuses -------------------------------------------------------------
@every_call
def test_every_failure_is_flat_json_with_an_integer_and_a_sentence(ask, name):
    answer = ask(name)
    if answer.status_code == 415:  # material takes a form
        answer = ask(name, content_type="multipart/form-data; boundary=x")

    status, code = refusal(answer)

    assert (status, type(code)) == (400, int)
    assert answer["Content-Type"] == JSON


@every_call
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_wrong_method_is_405_and_4004(ask, name, method):
    if method == CALLS[name][0]:
        return

    assert refusal(ask(name, method=method)) == (405, 4004)


@pytest.mark.parametrize(
    "path", ["", "nothing", "sent/", "sent/user/opt", "%s/sent", "user", "retract/"]
)
def test_an_unknown_path_is_404_and_4004(shop, path):
    assert refusal(shop.post(path, "{}")) == (404, 4004)


@every_call
def test_every_authenticated_answer_tells_the_rate(ask, name):
    answer = ask(name)

    told = [int(answer[f"X-Rate-Limit-{n}"]) for n in ("Limit", "Remaining", "Reset")]
    assert told == [2**31 - 1, 2**31 - 1, 0]  # no limit: as many as an int holds


@every_call
def test_no_answer_tells_a_rate_to_strangers(ask, name):
    answer = ask(name, Caller("f" * 24, "x"))

    assert not [header for header in answer.headers if header.startswith("X-Rate")]


@pytest.mark.parametrize("name", [n for n in CALLS if BUSINESS in CALLS[n][2]])
@pytest.mark.parametrize(("configured", "status"), [(None, 400), (429, 429)])
def test_one_call_too_many_is_1015030(ask, shop, settings, name, configured, status):
    shop.set(calls_per_minute=1)
    if configured:
        settings.RATE_LIMIT_STATUS = configured
    ask(name)

    answer = ask(name)

    assert refusal(answer) == (status, 1015030)
    assert (answer["X-Rate-Limit-Limit"], answer["X-Rate-Limit-Remaining"]) == (
        "1",
        "0",
    )
    assert 0 < int(answer["X-Rate-Limit-Reset"]) <= 60


@pytest.mark.parametrize("name", [n for n in CALLS if BUSINESS in CALLS[n][2]])
def test_a_switched_off_business_channel_is_1015005(ask, shop, name):
    shop.set(enabled=False)

    assert refusal(ask(name)) == (400, 1015005)


@every_call
@pytest.mark.parametrize("query", ["format=xml", "format=api", "callback=x"])
def test_answers_are_json_whatever_is_asked_for(ask, shop, name, query):
    method, path, takes = CALLS[name]
    path += ("&" if "?" in path else "?") + query

    answer = shop.call(method, path, headers={"accept": "text/csv"})

    assert answer["Content-Type"] == JSON
    assert answer.status_code in ({400, 415} if BUSINESS in takes else {403})


# -- bodies ----------------------------------------------------------------------------
@every_body
@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/html",
        "text/plain; charset=gbk",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json;charset=UTF-8",
        "nonsense",
    ],
)
def test_any_content_type_is_read_as_json(ask, shop, name, content_type):
    body = {"user/opt": [], "user/delete": []}.get(
        name, shop.general_body() if "template" in name else shop.body()
    )

    answer = ask(name, body=body, content_type=content_type)

    assert (answer.status_code, answer.json()["code"]) == (200, 0)
    assert answer.json()["message"] == "success"


@every_body
@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "{",
        "null",
        "true",
        "7.5",
        "\0",
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        '["\\udfff"]',
        b"\xff\xfe[]",
        "[" * 100_000,
    ],
    ids=[
        "none",
        "blank",
        "broken",
        "null",
        "boolean",
        "number",
        "NUL",
        "single quotes",
        "NaN",
        "half a pair in an object",
        "half a pair in a list",
        "UTF-16",
        "deep",
    ],
)
def test_a_bad_body_is_4004_with_a_sentence(ask, name, body):
    assert refusal(ask(name, body=body)) == (400, 4004)


@every_body
def test_a_body_that_is_too_large_is_4004(ask, settings, name):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

    assert refusal(ask(name, body=[{"userid": "x" * 1000}])) == (413, 4004)


@pytest.mark.parametrize(
    ("path", "told"), [("/v1/sent", {"code": 5000}), ("/api/lists/", {"code": "error"})]
)
def test_our_own_fault_has_the_callers_own_envelope(shop, crm, path, told):
    def no_database(*_):
        raise DatabaseError

    client = Client(
        raise_request_exception=False,
        headers={"authorization": basic(*(shop if "v1" in path else crm).pair)},
    )
    with connection.execute_wrapper(no_database):
        answer = client.post(path, shop.body(), content_type="application/json")

    assert answer.status_code == 500
    assert answer.json().items() > told.items()


def test_the_body_is_utf_8_whatever_its_charset_says(shop):
    name = "张三"
    body = json.dumps([{"userid": name}], ensure_ascii=False).encode()

    answer = shop.post("user/opt", body, content_type="text/html; charset=gbk")

    assert answer.json()["data"]["success"] == [name]


# -- rotation --------------------------------------------------------------------------
def test_after_a_rotation_the_old_secret_works_as_long_as_was_said(shop):
    rotate_secret(shop.row, timedelta(hours=1))
    shop.row.refresh_from_db()
    new = Caller(shop.row.key, shop.row.master_secret)
    hour = timezone.now() + timedelta(hours=1)

    assert new.pair != shop.pair
    assert [c.post("user/opt", []).status_code for c in (shop, new)] == [200, 200]
    with time_machine.travel(hour + timedelta(seconds=1)):
        assert [c.post("user/opt", []).status_code for c in (shop, new)] == [401, 200]
