"""The sandbox's checks and the product's own were written apart. They must agree."""

import pytest

from channels_wechat.wechat.limits import check_value
from sandbox import values

GOOD = [
    ("thing1", "云杉手冲咖啡豆 250g"),
    ("thing1", "字" * 20),
    ("character_string2", "SP-2026/05#08"),
    ("time3", "15:01"),
    ("time3", "2026年5月8日 10:00"),
    ("time3", "2026-05-08 10:00:59"),
    ("time3", "2026年5月8日 10:00~2026年5月8日 11:00"),
    ("date4", "2026年5月8日"),
    ("date4", "2026-05-08"),
    ("amount5", "¥128.00"),
    ("amount5", "128元"),
    ("phone_number6", "+86-0766-66888866"),
    ("car_number7", "粤B12345"),
    ("phrase8", "顺丰速运"),
    ("name9", "林晓"),
    ("number10", "42.5"),
    ("letter11", "abcDEF"),
    ("const12", "待缴费"),
]
BAD = [
    ("thing1", "字" * 21),
    ("thing1", "😀" * 11),
    ("thing1", ""),
    ("thing1", " "),
    ("thing1", "two\nlines"),
    ("character_string2", "中文"),
    ("character_string2", "x" * 33),
    ("time3", "tomorrow"),
    ("time3", "25:99"),
    ("date4", "08.05."),
    ("amount5", "a lot"),
    ("amount5", "¥1234567890123"),
    ("phone_number6", "1" * 18),
    ("car_number7", "粤B1234567"),
    ("phrase8", "六个汉字太长"),
    ("phrase8", "abc"),
    ("name9", "名" * 11),
    ("number10", "forty"),
    ("letter11", "abc1"),
    ("const12", "值" * 21),
]


def refused_here(key, value):
    check = values.CHECKS[values.value_type(key)]
    return bool(values.problem(check, value))


def refused_by_the_product(key, value):
    problem = check_value(key, value, "template")
    return problem is not None and problem.blocks


@pytest.mark.parametrize(("key", "value"), GOOD)
def test_both_take_a_good_value(key, value):
    assert not refused_here(key, value)
    assert not refused_by_the_product(key, value)


@pytest.mark.parametrize(("key", "value"), BAD)
def test_both_refuse_a_bad_value(key, value):
    assert refused_here(key, value)
    assert refused_by_the_product(key, value)


def test_a_listed_value_is_needed_where_wechat_has_a_list():
    check = values.CHECKS["const"]
    assert values.problem(check, "待缴费", ("待缴费", "已缴费")) == ""
    assert values.problem(check, "别的", ("待缴费", "已缴费")) == "invalid"


@pytest.mark.parametrize("key", ["first", "keyword1", "remark", "content", "thingy"])
def test_historical_keys_have_no_type(key):
    assert values.value_type(key) == ""
