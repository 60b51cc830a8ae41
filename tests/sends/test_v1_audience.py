"""Whom /v1/sent reaches: chapter 5.1 of the JUMS API."""

import pytest
from django.utils import timezone

from channels_wechat.models import Channel
from sends.models import Send
from templates_mgmt.models import Template
from tests.factories import (
    ChannelFactory,
    OpenIDFactory,
    RecipientFactory,
    TagFactory,
    TemplateFactory,
)
from tests.jums_fixture import refusal, sent, targets
from users.models import Segment, SegmentUser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]

OPENID = "oRcf0w_yHT-1F_pioV1cHbf7ghFI"
SPECIALS = "_@!#$&*+=.|￥"


def openids(count, first=0):
    return [f"o{n:027d}" for n in range(first, first + count)]


@pytest.fixture
def second(shop):
    """Another channel of the shop, with the same template."""
    channel = ChannelFactory(code="second", templates_refreshed_at=timezone.now())
    TemplateFactory(channel=channel, template_id=shop.template.template_id)
    shop.row.channels.add(channel)
    return channel


@pytest.fixture
def ask(shop):
    """Send the shop's message to an audience."""

    def call(**audience):
        return shop.post("sent", {"msg_wechatoa": [shop.message()], **audience})

    return call


# -- limits ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "audience",
    [
        {"aud_userid": [f"u{n}" for n in range(1000)]},
        {"aud_userid": ["x" * 64, "张三", f"a{SPECIALS}", 17]},
        {"aud_tag": [f"t{n}" for n in range(20)]},
        {"aud_tag": ["x" * 40, "十" * 13, SPECIALS]},
        {"aud_wechatoa": [{"data": openids(1000)}]},
        {"aud_wechatoa": [{"instance": "wechatoa", "data": [OPENID]}]},
        {"aud_wechatoa": [{"instance": 5, "data": [OPENID]}]},
        {"aud_wechatoa": [{"instance": None, "data": [OPENID]}]},
        {"aud_userid": ["a"], "aud_tag": None, "aud_segment": []},
        {"aud_userid": ["a"], "aud_wechatoa": []},
        {"aud_userid": ["a"], "aud_email": [], "aud_app": None},
        {"aud_userid": ["a", "a"], "aud_tag": ["t", "t"]},
    ],
    ids=lambda audience: str(audience)[:60],
)
def test_an_audience_within_the_limits_is_taken(ask, audience):
    assert ask(**audience).json()["code"] == 0


@pytest.mark.parametrize(
    ("audience", "code"),
    [
        ({}, 4004),
        ({"aud_userid": []}, 4004),
        ({"aud_userid": None, "aud_tag": [], "aud_segment": []}, 4004),
        ({"aud_wechatoa": [{"data": []}]}, 4004),
        ({"aud_userid": [f"u{n}" for n in range(1001)]}, 1015004),
        ({"aud_userid": "zhangsan"}, 4004),
        ({"aud_userid": {"0": "a"}}, 4004),
        ({"aud_userid": ["x" * 65]}, 4004),
        ({"aud_userid": ["a b"]}, 4004),
        ({"aud_userid": ["a/b"]}, 4004),
        ({"aud_userid": [""]}, 4004),
        ({"aud_userid": ["a\0"]}, 4004),
        ({"aud_userid": [None]}, 4004),
        ({"aud_userid": [True]}, 4004),
        ({"aud_userid": [1.5]}, 4004),
        ({"aud_userid": [["a"]]}, 4004),
        ({"aud_tag": [f"t{n}" for n in range(21)]}, 4004),
        ({"aud_tag": "vip"}, 4004),
        ({"aud_tag": ["x" * 41]}, 4004),
        ({"aud_tag": ["十" * 14]}, 4004),
        ({"aud_tag": ["a,b"]}, 4004),
        ({"aud_segment": "1"}, 4004),
        ({"aud_segment": 1}, 4004),
        ({"aud_segment": ["1", "2"]}, 4004),
        ({"aud_segment": ["x"]}, 4004),
        ({"aud_segment": [999]}, 4004),
        ({"aud_wechatoa": [{"data": openids(1001)}]}, 4004),
        (
            {
                "aud_wechatoa": [
                    {"data": openids(600)},
                    {"instance": "shop", "data": openids(600, first=600)},
                ]
            },
            4004,
        ),
        ({"aud_wechatoa": [OPENID]}, 4004),
        ({"aud_wechatoa": {"data": [OPENID]}}, 4004),
        ({"aud_wechatoa": [{"data": OPENID}]}, 4004),
        ({"aud_wechatoa": [{}]}, 4004),
        ({"aud_wechatoa": [{"data": ["short"]}]}, 4004),
        ({"aud_wechatoa": [{"data": [OPENID], "instance": []}]}, 4004),
        ({"aud_wechatoa": [{"data": [OPENID]}], "aud_userid": ["a"]}, 4004),
        ({"aud_wechatoa": [{"data": [OPENID]}], "aud_tag": ["a"]}, 4004),
        ({"aud_wechatoa": [{"data": [OPENID]}], "aud_segment": ["1"]}, 4004),
        ({"aud_userid": ["a"], "aud_app": [{"data": ["x"]}]}, 1015006),
        ({"aud_userid": ["a"], "aud_sms": [{"data": ["x"]}]}, 1015007),
        ({"aud_userid": ["a"], "aud_wechatmp": [{"data": ["x"]}]}, 1015009),
        ({"aud_userid": ["a"], "aud_email": [{"data": ["x"]}]}, 1015010),
        ({"aud_userid": ["a"], "aud_alipay_life": [{"data": ["x"]}]}, 1015011),
        ({"aud_userid": ["a"], "aud_dingtalk_cc": [{"data": ["x"]}]}, 1015012),
        ({"aud_userid": ["a"], "aud_wechatwk": [{"data": ["x"]}]}, 4004),
        ({"aud_userid": ["a"], "aud_wechatwk_linkedcorp": [{"data": ["x"]}]}, 4004),
        ({"aud_userid": ["a"], "aud_fax": ["x"]}, 4004),
    ],
    ids=lambda given: str(given)[:60],
)
def test_what_is_wrong_has_its_code_and_nothing_is_stored(ask, audience, code):
    assert refusal(ask(**audience)) == (400, code)
    assert not Send.objects.exists()


@pytest.mark.parametrize(
    ("audience", "named"),
    [
        ({"aud_userid": ["a", "b c"]}, "aud_userid[1]: "),
        ({"aud_tag": "x"}, "aud_tag: "),
        ({"aud_wechatoa": [{"data": [OPENID, "x"]}]}, "aud_wechatoa[0].data[1]: "),
        ({"aud_fax": ["x"]}, "aud_fax: "),
    ],
)
def test_the_sentence_names_the_field_and_item(ask, audience, named):
    assert ask(**audience).json()["message"].startswith(named)


@pytest.mark.parametrize(
    "audience",
    [{}, {"aud_userid": "x"}, {"aud_tag": [None]}, {"aud_email": [1], "aud_fax": 1}],
    ids=str,
)
def test_a_broadcast_goes_to_everyone_and_ignores_what_is_aud(shop, audience):
    shop.bind("other")
    OpenIDFactory(recipient__userid="elsewhere")  # at another channel

    answer = shop.post("broadcast", {"msg_wechatoa": [shop.message()], **audience})

    assert targets(answer) == {shop.userid: "", "other": ""}


# -- resolution ------------------------------------------------------------------------
def test_userids_are_told_apart(shop, ask):
    RecipientFactory(userid="unbound")

    assert targets(ask(aud_userid=[shop.userid, "unbound", "unknown"])) == {
        shop.userid: "",
        "unbound": "no_openid",
        "unknown": "no_recipient",
    }


def test_a_tag_means_the_callers_own_and_only_without_any_that_of_all(shop, rival, ask):
    people = {
        name: shop.bind(name).recipient
        for name in ("own", "everyones", "new", "rivals")
    }
    TagFactory(recipient=people["own"], name="vip", bind=shop.row.key)
    TagFactory(recipient=people["everyones"], name="vip")
    TagFactory(recipient=people["new"], name="new")
    TagFactory(recipient=people["rivals"], name="new", bind=rival.row.key)

    assert set(targets(ask(aud_tag=["vip"]))) == {"own"}
    assert set(targets(ask(aud_tag=["vip", "new"]))) == {"own", "new"}
    assert targets(ask(aud_tag=["nobody"])) == {}


def test_a_segment_is_tags_or_a_list(shop, ask):
    people = {name: shop.bind(name).recipient for name in "abc"}
    for name in "ab":
        TagFactory(recipient=people[name], name="vip")
    TagFactory(recipient=people["b"], name="left")
    by_tags = Segment.objects.create(name="t", all_tags=["vip"], none_tags=["left"])
    fixed = Segment.objects.create(name="f")
    SegmentUser.objects.create(segment=fixed, userid="c")

    assert targets(ask(aud_segment=[str(by_tags.pk)])) == {"a": ""}
    assert targets(ask(aud_segment=[fixed.pk])) == {"c": ""}


def test_userids_tags_and_a_segment_are_one_union_without_doubles(shop, ask):
    people = {name: shop.bind(name) for name in "abcd"}
    shop.bind("again", openid=people["a"].openid)
    for name in "bc":
        TagFactory(recipient=people[name].recipient, name="vip")
    fixed = Segment.objects.create(name="f")
    for name in ("b", "d"):
        SegmentUser.objects.create(segment=fixed, userid=name)

    assert targets(
        ask(aud_userid=["a", "b", "again"], aud_tag=["vip"], aud_segment=[fixed.pk])
    ) == {"a": "", "b": "", "c": "", "d": "", "again": "duplicate"}


def test_custom_openids_go_to_the_channel_that_owns_the_template(shop, ask):
    shop.row.channels.add(ChannelFactory(templates_refreshed_at=timezone.now()))

    answer = ask(aud_wechatoa=[{"instance": "wechatoa", "data": [OPENID, OPENID]}])

    assert targets(answer) == {OPENID: ""}
    assert Send.objects.get().channel == shop.channel


# -- several Official Accounts ---------------------------------------------------------
def channels_of(answer):
    send = sent(answer)
    return [one.channel.code for one in [send, *send.parts.order_by("pk")]]


def test_every_channel_with_the_template_sends_to_its_own_people(shop, second, ask):
    OpenIDFactory(channel=second, recipient__userid="b")
    both = shop.bind("both").recipient
    OpenIDFactory(channel=second, recipient=both)
    answer = ask(aud_userid=[shop.userid, "b", "both"])

    assert channels_of(answer) == ["shop", "second"]
    targets(answer)
    for code, reached in [("shop", {shop.userid, "both"}), ("second", {"b", "both"})]:
        rows = Send.objects.get(channel__code=code).deliveries.filter(reason="")
        assert set(rows.values_list("userid", flat=True)) == reached


@pytest.mark.parametrize("spoil", ["disabled", "removed", "not authorised"])
def test_a_channel_that_cannot_send_it_is_left_out(shop, second, ask, spoil):
    if spoil == "disabled":
        Channel.objects.filter(pk=second.pk).update(enabled=False)
    elif spoil == "removed":
        Template.objects.filter(channel=second).update(removed_at=timezone.now())
    else:
        shop.row.channels.remove(second)

    assert channels_of(ask(aud_userid=[shop.userid])) == ["shop"]


def test_without_any_channel_that_has_the_template_it_is_4004(shop, second):
    answer = shop.post("sent", shop.body(msg_wechatoa=[shop.message(template_id="no")]))

    assert refusal(answer) == (400, 4004)
    assert answer.json()["message"].startswith("msg_wechatoa[0].template_id: ")


def test_an_instance_that_is_a_code_chooses_its_channel(shop, second, ask):
    one = ask(aud_wechatoa=[{"instance": "second", "data": [OPENID]}])
    both = ask(
        aud_wechatoa=[
            {"instance": "second", "data": openids(1000)},
            {"instance": "shop", "data": openids(1000, first=1000)},
        ]
    )

    assert channels_of(one) == ["second"]
    assert channels_of(both) == ["shop", "second"]
    assert [*targets(both)] == openids(1000, first=1000) + openids(1000)


def test_openids_for_a_channel_that_no_message_goes_through_are_4004(shop, second):
    Template.objects.filter(channel=second).delete()
    audience = [
        {"instance": "shop", "data": [OPENID]},
        {"instance": "second", "data": openids(1)},
    ]
    body = {"aud_wechatoa": audience, "msg_wechatoa": [shop.message()]}

    assert refusal(shop.post("sent", body)) == (400, 4004)
    assert not Send.objects.exists()
