import pytest

from channels_wechat.wechat.limits import (
    PROBLEMS,
    Field,
    Problem,
    check_value,
    field_type,
    parse_fields,
    utf16_length,
)


@pytest.mark.parametrize(
    ("key", "type_"),
    [
        ("thing1", "thing"),
        ("thing12", "thing"),
        ("short_thing3", "short_thing"),
        ("character_string2", "character_string"),
        ("phone_number4", "phone_number"),
        ("number5", "number"),
        ("car_number6", "car_number"),
        ("enum_string2", "enum_string"),
        ("enum2", "enum"),
        ("const1", "const"),
        # Historical and free keys.
        ("first", ""),
        ("remark", ""),
        ("keyword1", ""),
        ("thing", ""),
        ("name", ""),
        ("thing1x", ""),
        ("orderthing1", ""),
        ("", ""),
    ],
)
def test_the_type_is_the_beginning_of_the_key(key, type_):
    assert field_type(key) == type_


def test_fields_come_in_order_with_their_labels():
    content = (
        "{{first.DATA}}\n会议主题:{{thing1.DATA}}\n会议时间：{{ time2.DATA }}\n"
        "Amount: {{amount3.DATA}}{{phrase4.DATA}}\n又一次:{{thing1.DATA}}\n"
        "{{remark.DATA}}"
    )

    assert parse_fields(content) == [
        Field("first", "", ""),
        Field("thing1", "会议主题", "thing"),
        Field("time2", "会议时间", "time"),
        Field("amount3", "Amount", "amount"),
        Field("phrase4", "", "phrase"),
        Field("remark", "", ""),
    ]
    assert parse_fields("no field {{x}} {{.DATA}}") == []


FITS = {
    "thing1": ["x", "字" * 20, "a b-c，d", "😀" * 10, "100.00"],
    "short_thing1": ["短"],
    "number1": ["0", "-1.50", "9" * 32],
    "letter1": ["aZ", "x" * 32],
    "symbol1": ["!", "……", "%$#@!"],
    "character_string1": ["A-1_#é", "9" * 32, "No.7 (b)"],
    "time1": [
        "15:01",
        "9:05",
        "23:59:59",
        "2019年10月1日 15:01",
        "2026-10-01 15:01",
        "2026/10/1 15:01:00",
        "2019年10月1日15:01",
        "15:01~16:01",
        "2019年10月1日 15:01~2019年10月2日 16:01",
        "2026-10-01",
        "15：01",
    ],
    "date1": ["2019年10月1日", "2019年10月01日", "2026-10-01", "2026-10-01 15:01"],
    "amount1": ["¥100", "￥1,234.56", "100元", "100.5", "$9", "CNY 12.00", "¥-3"],
    "phone_number1": ["13800138000", "+86-0766-66888866", "010 8888 8888", "95555"],
    "car_number1": ["粤A8Z888挂", "粤A88888"],
    "name1": ["王小明", "张" * 10, "John Smith", "x" * 20],
    "phrase1": ["已发货", "配送中", "一二三四五"],
    "const1": ["任意"],
    "enum1": ["有效"],
    "enum_string2": ["失效"],
}


@pytest.mark.parametrize("kind", ["template", "subscribe"])
@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in FITS.items() for value in values]
)
def test_a_value_that_wechat_takes_passes(key, value, kind):
    assert check_value(key, value, kind) is None


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("thing1", "字" * 21, Problem("too_long", "thing1", 20, 21)),
        # How WeChat counts an emoji is not known: two is the careful reading.
        ("thing1", "😀" * 11, Problem("too_long", "thing1", 20, 22)),
        ("thing1", "", Problem("empty", "thing1")),
        ("thing1", " \u3000", Problem("empty", "thing1")),
        ("thing1", "a\nb", Problem("control_characters", "thing1")),
        ("thing1", "a\tb", Problem("control_characters", "thing1")),
        ("thing1", "a\u2028b", Problem("control_characters", "thing1")),
        ("number1", "1e5", Problem("not_a_number", "number1")),
        ("number1", "１２", Problem("not_a_number", "number1")),
        ("number1", "9" * 33, Problem("too_long", "number1", 32, 33)),
        ("letter1", "a1", Problem("not_letters", "letter1")),
        ("letter1", "a" * 33, Problem("too_long", "letter1", 32, 33)),
        ("symbol1", "!a", Problem("not_symbols", "symbol1")),
        ("symbol1", "!!!!!!", Problem("too_long", "symbol1", 5, 6)),
        (
            "character_string1",
            "单号1",
            Problem("not_character_string", "character_string1"),
        ),
        (
            "character_string1",
            "9" * 33,
            Problem("too_long", "character_string1", 32, 33),
        ),
        ("time1", "25:00", Problem("not_a_time", "time1")),
        ("time1", "soon", Problem("not_a_time", "time1")),
        ("time1", "下午3点", Problem("not_a_time", "time1")),
        ("date1", "2026-13-01", Problem("not_a_date", "date1")),
        ("date1", "10月1日", Problem("not_a_date", "date1")),
        ("amount1", "free", Problem("not_an_amount", "amount1")),
        ("amount1", "一百元", Problem("not_an_amount", "amount1")),
        ("phone_number1", "none", Problem("not_a_phone_number", "phone_number1")),
        ("phone_number1", "---", Problem("not_a_phone_number", "phone_number1")),
        ("phone_number1", "1" * 18, Problem("too_long", "phone_number1", 17, 18)),
        ("car_number1", "x" * 9, Problem("too_long", "car_number1", 8, 9)),
        ("name1", "张" * 11, Problem("too_long", "name1", 10, 11)),
        ("name1", "张" + "x" * 10, Problem("too_long", "name1", 10, 11)),
        ("name1", "x" * 21, Problem("too_long", "name1", 20, 21)),
        ("phrase1", "shipped", Problem("not_a_phrase", "phrase1")),
        ("phrase1", "一二三四五六", Problem("too_long", "phrase1", 5, 6)),
    ],
)
def test_a_value_that_wechat_refuses_is_named(key, value, problem):
    assert check_value(key, value, "template") == problem
    assert check_value(key, value, "subscribe") == problem
    assert problem.blocks


def test_historical_keys_are_cut_or_dropped_but_never_refused():
    def problem(key, value):
        return check_value(key, value, "template")

    assert problem("keyword1", "x" * 20) is None
    assert problem("keyword1", "") is None
    assert problem("keyword1", "x" * 21) == Problem("will_be_cut", "keyword1", 20, 21)
    assert problem("keyword1", "ab\ncd") == Problem("will_be_cut", "keyword1", 2, 5)
    assert problem("keyword1", "\nab").code == "will_be_cut"
    assert problem("first", "hello") == Problem("not_shown", "first")
    assert problem("remark", "hello") == Problem("not_shown", "remark")
    assert not problem("first", "hello").blocks
    assert not problem("keyword1", "x" * 21).blocks


def test_an_untyped_key_of_a_subscribe_notification_must_hold_something():
    assert check_value("content", "", "subscribe") == Problem("empty", "content")
    assert check_value("content", "a\nb", "subscribe").code == "control_characters"
    assert check_value("content", "x" * 100, "subscribe") is None


def test_every_problem_has_a_sentence_that_can_be_filled():
    for code, sentence in PROBLEMS.items():
        filled = sentence % Problem(code, "thing1", 20, 21)._asdict()
        assert filled.endswith(".")
        assert "%" not in filled


def test_length_is_counted_as_javascript_does():
    assert [utf16_length(text) for text in ("", "字", "😀", "👨‍👩‍👧")] == [0, 1, 2, 8]


def test_a_hostile_value_costs_no_time():
    for key in FITS:
        check_value(key, "1" * 200_000 + "!", "template")
        check_value(key, ("2026-10-01 " * 20_000), "template")
        check_value(key, "1," * 100_000, "template")


def test_an_amount_is_shorter_in_a_subscribe_notification():
    too_long = Problem("too_long", "amount1", 10, 11)

    assert check_value("amount1", "¥" + "1" * 11, "template") is None
    assert check_value("amount1", "¥" + "1" * 11, "subscribe") == too_long
    assert check_value("amount1", "¥" + "1" * 10, "subscribe") is None
    too_long = Problem("too_long", "amount1", 12, 13)
    assert check_value("amount1", "1" * 13, "template") == too_long


def test_an_enumerated_field_takes_only_what_is_listed():
    listed = ["有效", "失效"]

    assert check_value("enum_string2", "失效", "subscribe", listed) is None
    problem = check_value("enum_string2", "过期", "subscribe", listed)
    assert problem == Problem("not_listed", "enum_string2")
    assert problem.blocks
