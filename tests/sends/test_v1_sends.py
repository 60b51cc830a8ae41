"""/v1/sent and /v1/broadcast: chapter 5.2 of the JUMS API."""

import re

import pytest
from django.utils import timezone

from channels_wechat.models import Channel
from sends.models import CallbackURL, Send, Strategy
from templates_mgmt.models import Template
from tests.factories import ChannelFactory, UserFactory
from tests.jums_fixture import refusal, sent, targets
from users.models import UserList, UserListEntry

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]

PROGRAM = {"appid": "wx5a0db0c5e7000001", "pagepath": "index?foo=bar"}
NO_PROGRAM = {"miniprogram_appid": "", "miniprogram_path": ""}
A_PROGRAM = {
    "miniprogram_appid": "wx5a0db0c5e7000001",
    "miniprogram_path": "index?foo=bar",
}


# -- the answer ------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["sent", "broadcast"])
def test_the_answer_is_a_msgid_once_the_send_is_stored(shop, path):
    answers = [shop.post(path, shop.body()) for _ in range(3)]

    for answer in answers:
        body = answer.json()
        assert set(body) == {"code", "message", "msgid"}
        assert (answer.status_code, body["code"], body["message"]) == (
            200,
            0,
            "success",
        )
        assert re.fullmatch(r"v:1t:[0-9]+p:[0-9]+n:[0-9]+", body["msgid"])
        send = sent(answer)
        assert (send.business_channel, send.source) == (shop.row, "api")
        assert (send.status, send.broadcast) == ("preparing", path == "broadcast")
    assert len({answer.json()["msgid"] for answer in answers}) == 3


def test_a_thousand_people_cost_as_few_statements_as_one(
    shop, django_assert_max_num_queries
):
    shop.post("sent", shop.body())  # somebody was there within this minute
    body = shop.body(aud_userid=[f"user{number}" for number in range(1000)])

    # The caller; its channels, their template, the send, its lines; a savepoint.
    with django_assert_max_num_queries(1 + 4 + 2):
        answer = shop.post("sent", body)

    assert len(targets(answer)) == 1000


@pytest.mark.parametrize(
    ("sendno", "echoed"),
    [("test", "test"), (42, "42"), ("x" * 100, "x" * 100), ("", None), (None, None)],
)
def test_sendno_is_echoed_if_it_was_given(shop, sendno, echoed):
    answer = shop.post("sent", shop.body(option={"sendno": sendno}))

    assert answer.json().get("sendno") == echoed
    assert sent(answer).sendno == (echoed or "")


def test_sendno_is_no_idempotency_key(shop):
    body = shop.body(option={"sendno": "7"})

    assert sent(shop.post("sent", body)) != sent(shop.post("sent", body))


def test_the_reference_example_is_taken_whole(shop):
    black = UserList.objects.create(kind="black", name="b")
    CallbackURL.objects.create(
        business_channel=shop.row,
        url="https://crm.example.com/",
        verified_at=timezone.now(),
    )
    shop.template.fields = [
        {"key": key, "label": key, "type": ""} for key in ("first", "keyword1")
    ]
    shop.template.save()
    body = {
        "aud_userid": ["user1", "user2"],
        "msg_wechatoa": [
            {
                "type": 0,
                "template_id": shop.template.template_id,
                "url": "https://example.com",
                "miniprogram": PROGRAM,
                "data": {
                    "first": {"value": "您好", "color": "#173177"},
                    "keyword1": {"value": "周会"},
                },
            }
        ],
        "option": {
            "sendno": "test",
            "owner": "admin",
            "black_id": black.pk,
            "priority": 2,
        },
        "callback": {
            "url": "https://crm.example.com/",
            "params": {"name": "joe", "age": 26},
        },
    }

    send = sent(shop.post("sent", body))

    assert send.data == {"first": "您好", "keyword1": "周会"}
    assert (send.owner, send.blacklist, send.priority) == ("admin", black, 2)
    assert send.callback_url == "https://crm.example.com/"
    assert send.callback_params == {"name": "joe", "age": 26}


# -- msg_wechatoa ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "stored"),
    [
        ({}, {"data": {"thing1": "周会", "time2": "10:00"}, "url": "", **NO_PROGRAM}),
        ({"type": None}, {}),
        ({"type": "0"}, {}),
        (
            {"data": {"thing1": {"value": "a"}, "time2": {"value": "10:00"}}},
            {"data": {"thing1": "a", "time2": "10:00"}},
        ),
        (
            {"data": {"thing1": {"value": 7, "color": "#173177"}, "time2": "10:00"}},
            {"data": {"thing1": "7", "time2": "10:00"}},
        ),
        (
            {"data": {"thing1": 1.5, "time2": "10:00"}},
            {"data": {"thing1": "1.5", "time2": "10:00"}},
        ),
        (
            {"data": {"thing1": {"value": True}, "time2": "10:00"}},
            {"data": {"thing1": "true", "time2": "10:00"}},
        ),
        ({"url": "https://example.com/?a=b"}, {"url": "https://example.com/?a=b"}),
        ({"url": "http://example.com"}, {"url": "http://example.com"}),
        ({"url": ""}, {"url": ""}),
        ({"url": None}, {"url": ""}),
        ({"color": ""}, {}),
        ({"color": "#173177"}, {}),
        ({"miniprogram": PROGRAM}, A_PROGRAM),
        (
            {"miniprogram": {"app_id": PROGRAM["appid"], "page_path": "index?foo=bar"}},
            A_PROGRAM,
        ),
        (PROGRAM, A_PROGRAM),
        (
            {"miniprogram": PROGRAM, "url": "https://example.com"},
            {"url": "https://example.com", **A_PROGRAM},
        ),
        ({"miniprogram": {}}, NO_PROGRAM),
        ({"miniprogram": ""}, NO_PROGRAM),
        ({"miniprogram": None}, NO_PROGRAM),
        ({"miniprogram": {"appid": "", "pagepath": "x"}}, NO_PROGRAM),
        ({"miniprogram": {"app_id": "", "page_path": ""}}, NO_PROGRAM),
        ({"touser": "o" + "x" * 27, "client_msg_id": "theirs", "topcolor": "#fff"}, {}),
    ],
    ids=str,
)
def test_what_a_message_may_say(shop, changes, stored):
    send = sent(shop.post("sent", shop.body(msg_wechatoa=[shop.message(**changes)])))

    assert {name: getattr(send, name) for name in stored} == stored


def test_type_may_be_absent(shop):
    message = shop.message()
    del message["type"]

    assert shop.post("sent", shop.body(msg_wechatoa=[message])).json()["code"] == 0


def test_each_target_gets_each_message(shop):
    messages = [shop.message(data={**shop.data, "thing1": text}) for text in "ab"]

    send = sent(shop.post("sent", shop.body(msg_wechatoa=messages)))

    (part,) = send.parts.all()
    assert [send.data["thing1"], part.data["thing1"]] == ["a", "b"]
    assert [one.given_ids.ids for one in (send, part)] == [f'["{shop.userid}"]'] * 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"type": 9}, "type"),
        ({"type": "x"}, "type"),
        ({"type": []}, "type"),
        ({"template_id": ""}, "template_id"),
        ({"template_id": None}, "template_id"),
        ({"template_id": "unknown"}, "template_id"),
        ({"template_id": "x" * 65}, "template_id"),
        ({"template_id": {}}, "template_id"),
        ({"data": None}, "data"),
        ({"data": {}}, "data"),
        ({"data": "x"}, "data"),
        ({"data": []}, "data"),
        ({"data": {"thing1": "Weekly"}}, "data"),
        ({"data": {"thing1": "", "time2": "10:00"}}, "data"),
        ({"data": {"thing1": {"value": None}, "time2": "10:00"}}, "data"),
        ({"data": {"thing1": {}, "time2": "10:00"}}, "data"),
        ({"data": {"thing1": "x" * 21, "time2": "10:00"}}, "data"),
        ({"data": {"thing1": "x", "time2": "soon"}}, "data"),
        ({"data": {"thing1": ["x"], "time2": "10:00"}}, "data.thing1"),
        ({"data": {"thing1": {"value": {}}, "time2": "10:00"}}, "data.thing1"),
        ({"data": {"thing1": "a\0b", "time2": "10:00"}}, "data.thing1"),
        ({"data": {"thing1": "{{column}}", "time2": "10:00"}}, "data"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": "example.com"}, "url"),
        ({"url": "https://example.com/" + "x" * 1000}, "url"),
        ({"url": ["x"]}, "url"),
        ({"miniprogram": "x"}, "miniprogram"),
        ({"miniprogram": {"appid": "x" * 33}}, "miniprogram.appid"),
        ({"miniprogram": {**PROGRAM, "pagepath": "x" * 1001}}, "miniprogram.pagepath"),
    ],
    ids=lambda given: str(given)[:60],
)
def test_a_message_that_cannot_work_is_4004_and_named(shop, changes, named):
    messages = [shop.message(), shop.message(**changes)]

    answer = shop.post("sent", shop.body(msg_wechatoa=messages))

    assert refusal(answer) == (400, 4004)
    assert answer.json()["message"].startswith(f"msg_wechatoa[1].{named}: ")
    assert not Send.objects.exists()


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ({"msg_wechatoa": None}, 4004),
        ({"msg_wechatoa": []}, 4004),
        ({"msg_wechatoa": "x"}, 4004),
        ({"msg_wechatoa": ["x"]}, 4004),
        ({"msg_wechatoa": [None]}, 4004),
        ({"msg_app": {"x": 1}}, 1015006),
        ({"msg_sms": [{"x": 1}]}, 1015007),
        ({"msg_wechatmp": [{"x": 1}]}, 1015009),
        ({"msg_email": [{"x": 1}]}, 1015010),
        ({"msg_alipay_life": [{"x": 1}]}, 1015011),
        ({"msg_dingtalk_cc": [{"x": 1}]}, 1015012),
        ({"msg_wechatwk": [{"x": 1}]}, 4004),
        ({"msg_fax": [{"x": 1}]}, 4004),
        ({"msg_tag": ["x"]}, 4004),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["sent", "broadcast"])
def test_messages_of_no_channel_of_ours_have_their_own_code(shop, path, messages, code):
    assert refusal(shop.post(path, shop.body(**messages))) == (400, code)
    assert not Send.objects.exists()


def test_empty_messages_of_other_channels_say_nothing(shop):
    body = shop.body(msg_app={}, msg_sms=[], msg_email=None)

    assert shop.post("sent", body).json()["code"] == 0


def test_the_first_message_finds_its_template_without_a_refresh_before(
    shop, sandbox, settings
):
    settings.WECHAT_API_BASE = sandbox.url
    Channel.objects.update(
        appid=sandbox.appid,
        app_secret=sandbox.secret,
        templates_refreshed_at=None,
    )
    wechats = next(iter(sandbox.templates().values()))
    message = shop.message(template_id=wechats["template_id"])

    answer = shop.post("sent", shop.body(msg_wechatoa=[message]))

    # Its values are another template's: what counts is that it was found.
    assert answer.json()["message"].startswith("msg_wechatoa[0].data: ")
    assert Template.objects.filter(template_id=wechats["template_id"]).exists()


def test_a_channel_that_cannot_be_refreshed_has_no_templates(shop):
    Channel.objects.update(templates_refreshed_at=None)  # and nobody listens there
    message = shop.message(template_id="new at WeChat")

    answer = shop.post("sent", shop.body(msg_wechatoa=[message]))

    assert refusal(answer) == (400, 4004)


# -- option ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("option", "stored"),
    [
        (None, {"priority": 2, "owner": "", "sendno": ""}),
        ("", {"priority": 2}),
        ({}, {"priority": 2}),
        ({"priority": 1}, {"priority": 1}),
        ({"priority": "3"}, {"priority": 3}),
        ({"priority": ""}, {"priority": 2}),
        ({"owner": "admin"}, {"owner": "admin"}),
        ({"owner": 7}, {"owner": "7"}),
        ({"black_id": None, "white_id": ""}, {"blacklist": None, "whitelist": None}),
        ({"canary": True}, {"canary": "waiting"}),
        ({"canary": False}, {"canary": ""}),
        ({"unknown": "x"}, {}),
    ],
    ids=str,
)
def test_what_an_option_may_say(shop, option, stored):
    send = sent(shop.post("sent", shop.body(option=option)))

    assert {name: getattr(send, name) for name in stored} == stored


@pytest.mark.parametrize(("people", "canary"), [(1, ""), (60, "waiting")])
def test_a_few_go_first_where_there_are_enough(shop, people, canary):
    audience = {"aud_wechatoa": [{"data": [f"o{n:027}" for n in range(people)]}]}
    body = {"msg_wechatoa": [shop.message()], "option": {"canary": True}, **audience}

    answer = shop.post("sent", body)

    assert len(targets(answer)) == people
    assert sent(answer).canary == canary


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"option": "x"}, 4004),
        ({"option": []}, 4004),
        ({"option": {"priority": 0}}, 4004),
        ({"option": {"priority": 4}}, 4004),
        ({"option": {"priority": "high"}}, 4004),
        ({"option": {"priority": True}}, 4004),
        ({"option": {"sendno": "x" * 101}}, 4004),
        ({"option": {"sendno": {}}}, 4004),
        ({"option": {"sendno": "a\0b"}}, 4004),
        ({"option": {"owner": ["x"]}}, 4004),
        ({"option": {"canary": "yes"}}, 4004),
        ({"option": {"black_id": 9}}, 1015046),
        ({"option": {"black_id": 0}}, 1015046),
        ({"option": {"black_id": -1}}, 4004),
        ({"option": {"black_id": "x"}}, 4004),
        ({"option": {"black_id": 2**80}}, 4004),
        ({"option": {"white_id": 9}}, 4004),
        ({"option": {"black_id": 9, "white_id": 9}}, 1015097),
        ({"callback": "x"}, 4004),
        ({"callback": {"url": "https://unverified.example.com/"}}, 4004),
        ({"callback": {"url": ["x"]}}, 4004),
        ({"callback": {"params": []}}, 4004),
        ({"callback": {"params": "x"}}, 4004),
        ({"rule_id": 9}, 1015026),
        ({"rule_id": "x"}, 4004),
        ({"rule_id": 1.5}, 4004),
    ],
    ids=str,
)
def test_what_is_wrong_beside_the_message_has_its_code(shop, more, code):
    assert refusal(shop.post("sent", shop.body(**more))) == (400, code)
    assert not Send.objects.exists()


@pytest.mark.parametrize(
    ("kind", "option", "reason"),
    [("black", "black_id", "blacklisted"), ("white", "white_id", "not_listed")],
)
@pytest.mark.parametrize("as_", [int, str])
def test_a_list_leaves_people_out_after_they_were_found(
    shop, kind, option, reason, as_
):
    shop.bind("other")
    one = UserList.objects.create(kind=kind, name=kind)
    UserListEntry.objects.create(list=one, userid=shop.userid)
    body = shop.body(aud_userid=[shop.userid, "other"], option={option: as_(one.pk)})

    listed, other = targets(shop.post("sent", body)).values()

    assert (listed, other) == ((reason, "") if kind == "black" else ("", reason))


@pytest.mark.parametrize("kind", ["black", "white"])
def test_a_list_matches_custom_openids(shop, kind):
    listed, other = "o" + "x" * 27, "o" + "y" * 27
    one = UserList.objects.create(kind=kind, name=kind)
    UserListEntry.objects.create(list=one, userid=listed)
    body = {
        "aud_wechatoa": [{"data": [listed, other]}],
        "msg_wechatoa": [shop.message()],
        "option": {f"{kind}_id": one.pk},
    }

    assert targets(shop.post("sent", body)) == (
        {listed: "blacklisted", other: ""}
        if kind == "black"
        else {listed: "", other: "not_listed"}
    )


def test_a_list_of_the_other_kind_is_not_there(shop):
    white = UserList.objects.create(kind="white", name="w")
    black = UserList.objects.create(kind="black", name="b")

    def code(option):
        return refusal(shop.post("sent", shop.body(option=option)))[1]

    assert code({"black_id": white.pk}) == 1015046
    assert code({"white_id": black.pk}) == 4004


# -- callback and rule_id --------------------------------------------------------------
@pytest.mark.parametrize(
    ("callback", "url", "params"),
    [
        (None, "", None),
        ({}, "", None),
        ({"url": "", "params": None}, "", None),
        ({"params": {}}, "", {}),
        ({"params": {"a": [1, {"b": None}]}}, "", {"a": [1, {"b": None}]}),
        ({"url": "https://crm.example.com/"}, "https://crm.example.com/", None),
    ],
    ids=str,
)
def test_a_callback_names_a_verified_url_and_values(shop, callback, url, params):
    CallbackURL.objects.create(
        business_channel=shop.row,
        url="https://crm.example.com/",
        verified_at=timezone.now(),
    )

    send = sent(shop.post("sent", shop.body(callback=callback)))

    assert (send.callback_url, send.callback_params) == (url, params)


@pytest.mark.parametrize("spoil", ["rival's", "unverified"])
def test_a_url_that_is_not_verified_for_this_sender_is_4004(shop, rival, spoil):
    CallbackURL.objects.create(
        business_channel=rival.row if spoil == "rival's" else shop.row,
        url="https://crm.example.com/",
        verified_at=timezone.now() if spoil == "rival's" else None,
    )
    body = shop.body(callback={"url": "https://crm.example.com/"})

    assert refusal(shop.post("sent", body)) == (400, 4004)


@pytest.fixture
def strategy(shop):
    step = {"channel": shop.channel.code, "wait_s": 0, "trigger": "refused"}
    return Strategy.objects.create(name="s", business_channel=shop.row, steps=[step])


@pytest.mark.parametrize("as_", [int, str])
def test_rule_id_names_a_strategy(shop, strategy, as_):
    send = sent(shop.post("sent", shop.body(rule_id=as_(strategy.pk))))

    assert send.strategy == strategy


@pytest.mark.parametrize("none", [0, "0", None, ""])
def test_no_rule_id_is_no_strategy(shop, strategy, none):
    assert sent(shop.post("sent", shop.body(rule_id=none))).strategy is None


@pytest.mark.parametrize("spoil", ["off", "rival's", "of channels without it"])
def test_a_strategy_that_is_not_valid_is_1015026(shop, rival, strategy, spoil):
    if spoil == "off":
        strategy.enabled = False
    elif spoil == "rival's":
        strategy.business_channel = rival.row
    else:
        strategy.steps = [{"channel": ChannelFactory().code, "wait_s": 0}]
    strategy.save()

    assert refusal(shop.post("sent", shop.body(rule_id=strategy.pk))) == (400, 1015026)


def test_with_custom_openids_rule_id_has_no_effect(shop, strategy):
    body = {
        "aud_wechatoa": [{"data": ["o" + "x" * 27]}],
        "msg_wechatoa": [shop.message()],
    }

    for rule_id in (strategy.pk, 9):
        assert sent(shop.post("sent", body | {"rule_id": rule_id})).strategy is None


# -- Idempotency-Key, beyond JUMS ------------------------------------------------------
def test_an_idempotency_key_makes_two_calls_one_send(shop):
    key = {"headers": {"idempotency-key": "k1"}}

    first, again = (shop.post("sent", shop.body(), **key) for _ in range(2))

    assert first.json() == again.json()
    assert Send.objects.count() == 1
    for path, body in [
        ("sent", shop.body(option={"priority": 1})),
        ("broadcast", shop.body()),
    ]:
        assert refusal(shop.post(path, body, **key)) == (409, 4004)
    assert Send.objects.count() == 1


def test_a_key_is_the_business_channels_own(shop, rival):
    key = {"headers": {"idempotency-key": "k1"}}

    mine = sent(shop.post("sent", shop.body(), **key))
    theirs = sent(rival.post("sent", rival.body(), **key))

    assert mine != theirs


def test_a_refused_call_does_not_use_up_its_key(shop):
    key = {"headers": {"idempotency-key": "k1"}}
    assert refusal(shop.post("sent", {"aud_userid": [shop.userid]}, **key))
    assert refusal(shop.post("sent", shop.body(rule_id=9), **key))

    assert shop.post("sent", shop.body(), **key).json()["code"] == 0


def test_a_key_that_is_too_long_is_4004(shop):
    key = {"headers": {"idempotency-key": "k" * 256}}

    assert refusal(shop.post("sent", shop.body(), **key)) == (400, 4004)


# -- review ----------------------------------------------------------------------------
@pytest.mark.parametrize("owner", [None, "", "nobody", "left", "customer"])
def test_under_review_the_owner_is_a_console_user_or_1015023(shop, owner):
    shop.set(review=True)
    UserFactory(username="left", is_active=False)
    UserFactory(username="customer", is_staff=False)

    answer = shop.post("sent", shop.body(option={"owner": owner}))

    assert refusal(answer) == (400, 1015023)
    assert not Send.objects.exists()


def test_held_for_review_is_a_success_with_a_msgid(shop):
    shop.set(review=True)
    UserFactory(username="li")

    send = sent(shop.post("sent", shop.body(option={"owner": "li"})))

    assert (send.status, send.owner) == ("in_review", "li")
