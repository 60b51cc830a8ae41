import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_wechat.wechat.messages import CompiledMessage, fill, placeholders

TEMPLATE = "kO1x43"


def rendered(message, variables=None, openid="o1", client_msg_id="c1"):
    return json.loads(message.render(openid, client_msg_id, variables or {}))


def test_a_message_has_wechats_shape():
    message = CompiledMessage(
        TEMPLATE,
        {"thing1": "会议：{{ topic }}", "time2": "{{when}}"},
        url="https://example.com/?id={{id}}",
        miniprogram_appid="wx1",
        miniprogram_path="pages/index?x={{id}}",
    )

    assert rendered(message, {"topic": "周会", "when": "15:01", "id": "7"}) == {
        "touser": "o1",
        "client_msg_id": "c1",
        "template_id": TEMPLATE,
        "url": "https://example.com/?id=7",
        "miniprogram": {"appid": "wx1", "pagepath": "pages/index?x=7"},
        "data": {"thing1": {"value": "会议：周会"}, "time2": {"value": "15:01"}},
    }
    assert message.names == ["id", "topic", "when"]


def test_what_is_empty_is_left_out():
    message = CompiledMessage(TEMPLATE, {})

    assert rendered(message, client_msg_id="") == {
        "touser": "o1",
        "template_id": TEMPLATE,
        "data": {},
    }
    with_program = CompiledMessage(TEMPLATE, {}, miniprogram_appid="wx1")
    assert rendered(with_program)["miniprogram"] == {"appid": "wx1"}


def test_the_link_of_a_subscribe_notification_is_a_page():
    message = CompiledMessage(
        TEMPLATE,
        {"thing1": "{{topic}}"},
        url="https://example.com/?id={{id}}",
        kind="subscribe",
    )

    assert rendered(message, {"topic": "周会", "id": "7"}, client_msg_id="") == {
        "touser": "o1",
        "template_id": TEMPLATE,
        "page": "https://example.com/?id=7",
        "data": {"thing1": {"value": "周会"}},
    }


def test_text_goes_out_as_raw_utf_8():
    body = CompiledMessage(TEMPLATE, {"a": "你{{x}}"}).render("o1", "", {"x": "好😀"})

    assert '"value":"你好😀"'.encode() in body
    assert b"\\u" not in body


def test_a_variable_that_is_absent_is_empty():
    assert rendered(CompiledMessage(TEMPLATE, {"a": "-{{x}}-"}))["data"] == {
        "a": {"value": "--"}
    }


def test_a_name_may_hold_anything_but_braces():
    message = CompiledMessage(TEMPLATE, {"a": '{{he said "x\\y"}}{{ 姓 名 }}'})

    assert message.names == ['he said "x\\y"', "姓 名"]
    assert rendered(message, {"姓 名": "z", 'he said "x\\y"': "1"})["data"]["a"] == {
        "value": "1z"
    }


@given(
    st.dictionaries(st.text(max_size=8), st.text(max_size=30), max_size=4),
    st.text(max_size=30),
    st.text(max_size=30),
)
def test_any_text_comes_through_unchanged(data, openid, value):
    data = {key: text.replace("{", "(") for key, text in data.items()}

    message = CompiledMessage(TEMPLATE, {**data, "slot": "{{v}}"})

    assert rendered(message, {"v": value}, openid=openid) == {
        "touser": openid,
        "client_msg_id": "c1",
        "template_id": TEMPLATE,
        "data": {
            **{key: {"value": text} for key, text in data.items()},
            "slot": {"value": value},
        },
    }


def test_a_value_is_never_read_as_a_placeholder():
    message = CompiledMessage(TEMPLATE, {"a": "{{x}} {{y}}"})

    assert message.values({"x": "{{y}}", "y": "1"}) == {"a": "{{y}} 1"}
    assert rendered(message, {"x": "{{y}}", "y": "1"})["data"]["a"]["value"] == (
        "{{y}} 1"
    )


def test_half_a_surrogate_pair_does_not_stop_a_send():
    body = CompiledMessage(TEMPLATE, {"a": "{{x}}"}).render("o1", "", {"x": "a\ud800b"})

    assert json.loads(body)["data"]["a"]["value"] == "a?b"


def test_the_preview_shows_what_is_sent():
    message = CompiledMessage(TEMPLATE, {"a": "{{x}}, {{ x }}", "b": "c"})

    values = message.values({"x": "1"})

    assert values == {"a": "1, 1", "b": "c"}
    sent = rendered(message, {"x": "1"})["data"]
    assert {key: field["value"] for key, field in sent.items()} == values


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{{a}} {{ b }} {{a}}", ["a", "b"]),
        ("{{}} {{ }} { {a}} {a}", []),
        ("{{a}", []),
        ("{{a b}}", ["a b"]),
        ("{{{a}}}", ["a"]),
        ("", []),
    ],
)
def test_placeholders_are_found_in_order(text, names):
    assert placeholders(text) == names


def test_filling_replaces_each():
    assert fill("{{a}}/{{b}}/{{a}}", {"a": "1"}) == "1//1"
