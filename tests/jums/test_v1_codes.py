"""Every code of JUMS' table that this system needs, provoked; none besides."""

from pathlib import Path

import pytest

from channels_wechat import refusals
from tests.jums_fixture import Caller, refusal
from users.models import UserList

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]


def under(call, **fields):
    """Make the call with the business channel changed before."""

    def changed(shop):
        shop.set(**fields)
        return call(shop)

    return changed


def send(**changes):
    return lambda shop: shop.post("sent", shop.body(**changes))


def send_general(**changes):
    return lambda shop: shop.post("template/sent", shop.general_body(**changes))


def broadcast(shop):
    return shop.post("broadcast", shop.body())


def without_channels(shop):
    shop.row.channels.clear()
    return send()(shop)


def console_only(shop):
    shop.general.general = False
    shop.general.save()
    return send_general()(shop)


def retract_twice(shop):
    path = f"retract/{send()(shop).json()['msgid']}"
    shop.post(path)
    return shop.post(path)


def both_lists(shop):
    lists = {
        f"{kind}_id": UserList.objects.create(kind=kind, name=kind).pk
        for kind in ("black", "white")
    }
    return send(option=lists)(shop)


PROVOKED = {
    4004: (400, send(msg_wechatoa=[])),
    4005: (401, lambda shop: Caller(shop.row.key, "wrong").post("sent", shop.body())),
    5000: (500, lambda shop: shop.get("token?type=wechatoa")),
    1015004: (400, send(aud_userid=[f"u{n}" for n in range(1001)])),
    1015005: (400, under(send(), enabled=False)),
    1015006: (400, send(msg_app=[{"x": 1}])),
    1015007: (400, send(msg_sms=[{"x": 1}])),
    1015008: (400, without_channels),
    1015009: (400, send(msg_wechatmp=[{"x": 1}])),
    1015010: (400, send(msg_email=[{"x": 1}])),
    1015011: (400, send(msg_alipay_life=[{"x": 1}])),
    1015012: (400, send(msg_dingtalk_cc=[{"x": 1}])),
    1015023: (400, under(send(), review=True)),
    1015026: (400, send(rule_id=9)),
    1015029: (400, under(broadcast, broadcasts_per_day=0)),
    1015030: (
        400,
        under(lambda shop: [send()(shop), send()(shop)][1], calls_per_minute=1),
    ),
    1015031: (400, send_general(template_id=9)),
    1015032: (400, console_only),
    1015034: (400, under(send(), sensitive_words=["周会"])),
    1015038: (400, under(send(), quiet_hours="00:00-23:59")),
    1015046: (400, send(option={"black_id": 9})),
    1015055: (400, retract_twice),
    1015094: (400, send_general(msg_wechatoa=[{}])),
    1015097: (400, both_lists),
}
USED = {value for value in vars(refusals).values() if isinstance(value, int)}


@pytest.mark.parametrize("code", PROVOKED)
def test_it_is_answered_with_its_status_and_a_sentence(shop, code):
    status, call = PROVOKED[code]

    assert refusal(call(shop)) == (status, code)


def test_these_are_all():
    assert set(PROVOKED) == USED


@pytest.mark.parametrize("guide", ["jums-api.md", "jums-api.zh-CN.md"])
def test_the_guide_says_what_to_do_about_each(guide):
    rows = [
        line
        for line in (ROOT / "docs" / guide).read_text().splitlines()
        if line.startswith("| ") and line.count("|") == 4
    ]

    for code in USED - {1015009, 1015010, 1015011, 1015012}:  # "1015009 to 1015012"
        assert any(str(code) in row.split("|")[1] for row in rows), code
