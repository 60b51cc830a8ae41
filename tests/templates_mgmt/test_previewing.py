import pytest

from channels_wechat.wechat.limits import TYPES, parse_fields
from templates_mgmt.hints import HINTS, hint
from templates_mgmt.previewing import Line, example_values, lines

ORDER = (
    "{{first.DATA}}\n订单编号：{{keyword1.DATA}}\n"
    "快递公司：{{ keyword2.DATA }}\n{{remark.DATA}}"
)
MEETING = "会议主题:{{thing1.DATA}}\n会议时间:{{time2.DATA}}"


@pytest.mark.parametrize(
    ("content", "example", "values"),
    [
        (
            MEETING,
            "会议主题:周会\n会议时间:2024年5月8日 10:00",
            {"thing1": "周会", "time2": "2024年5月8日 10:00"},
        ),
        (
            ORDER,
            "您好\n订单编号：20240508001\n快递公司：顺丰\n请查收\n谢谢",
            {
                "first": "您好",
                "keyword1": "20240508001",
                "keyword2": "顺丰",
                "remark": "请查收\n谢谢",
            },
        ),
        # The example has other colons, another order and no line for the time.
        (MEETING, "会议主题：周会: 二", {"thing1": "周会: 二"}),
        (MEETING, "", {}),
        # Texts that look like patterns are only texts.
        ("(a+)?: {{thing1.DATA}}", "(a+)?: x", {"thing1": "x"}),
        ("no field", "no field", {}),
    ],
)
def test_example_values_are_found(content, example, values):
    assert example_values(content, example) == values


def test_the_card_leaves_out_what_wechat_no_longer_shows():
    fields = [field._asdict() for field in parse_fields(ORDER)]

    shown = lines(fields, {"first": "hello", "keyword1": "1", "keyword2": "x" * 21})

    assert shown == [Line("订单编号", "1"), Line("快递公司", "x" * 20 + "…")]


def test_typed_values_are_shown_whole_with_their_problem():
    fields = [field._asdict() for field in parse_fields(MEETING)]

    shown = lines(fields, {"thing1": "x" * 30}, {"thing1": "too long"})

    assert shown == [Line("会议主题", "x" * 30, "too long"), Line("会议时间", "")]


def test_every_type_has_a_hint():
    assert set(HINTS) == {*TYPES, ""}
    assert hint({"type": "thing"}, "template") == "Up to 20 characters."
    assert hint({"type": "newer_type"}, "template") == ""


def test_a_hint_knows_the_kind_and_the_listed_values():
    assert "12 digits" in hint({"type": "amount"}, "template")
    assert "10 digits" in hint({"type": "amount"}, "subscribe")
    listed = {"type": "enum_string", "values": ["有效", "失效"]}
    assert hint(listed, "subscribe") == "One of: 有效 · 失效"
