"""/v1/sent, broadcast, template/…, retract, as clients of the commercial JUMS call."""

import base64
import json
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.utils import timezone

from channels_wechat import access_keys, business_channels
from channels_wechat.models import BusinessChannel
from sends import control, preparing
from sends.models import CallbackURL, Delivery, Send, Strategy
from templates_mgmt.models import GeneralTemplate
from tests.factories import (
    ChannelFactory,
    OpenIDFactory,
    TagFactory,
    TemplateFactory,
    UserFactory,
)
from users.models import Segment, SegmentUser, UserList, UserListEntry

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]

OPENID = "oRcf0w_yHT-1F_pioV1cHbf7ghFI"


@pytest.fixture
def channel():
    return ChannelFactory(templates_refreshed_at=timezone.now())


@pytest.fixture
def template(channel):
    return TemplateFactory(channel=channel)


@pytest.fixture
def sender(channel):
    row, _secret = business_channels.create_business_channel("shop", [channel])
    return row


@pytest.fixture
def zhang(channel):
    return OpenIDFactory(channel=channel, recipient__userid="zhangsan", openid=OPENID)


@pytest.fixture
def post(client, sender):
    def call(path, body, content_type="application/json", key=None, **headers):
        pair = key or (sender.key, sender.master_secret)
        token = base64.b64encode(":".join(pair).encode()).decode()
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        return client.post(
            f"/v1/{path}",
            data=data,
            content_type=content_type,
            headers={"authorization": f"Basic {token}", **headers},
        )

    return call


@pytest.fixture
def message(template):
    return {
        "type": 0,
        "template_id": template.template_id,
        "data": {"thing1": {"value": "周会", "color": "#173177"}, "time2": "10:00"},
    }


def prepared(answer):
    body = answer.json()
    assert (answer.status_code, body["code"]) == (200, 0), body
    send = Send.objects.get(msgid=body["msgid"])
    for part in [send, *send.parts.all()]:
        preparing.prepare(part.pk)
    send.refresh_from_db()
    return send


def refusal(answer):
    body = answer.json()
    assert "msgid" not in body
    return answer.status_code, body["code"]


def reasons(send):
    return {
        delivery.userid or delivery.openid: delivery.reason
        for delivery in Delivery.objects.filter(send=send)
    }


# -- ordinary messages -----------------------------------------------------------------
def test_a_few_may_go_first(post, message):
    audience = {"aud_wechatoa": [{"data": [f"o{n:027}" for n in range(60)]}]}

    answer = post(
        "sent",
        {**audience, "msg_wechatoa": [message], "option": {"canary": True}},
    )

    assert prepared(answer).canary == "waiting"


def test_a_send_to_userids_is_stored_before_it_is_answered(
    post, message, zhang, sender
):
    answer = post(
        "sent",
        {
            "aud_userid": ["zhangsan", "nobody"],
            "msg_wechatoa": [{**message, "url": "https://example.com"}],
            "option": {"sendno": 42, "priority": 1, "canary": True},
            "callback": {"params": {"name": "joe", "age": 26}},
        },
    )

    assert answer.json()["sendno"] == "42"
    assert answer.json()["message"] == "success"
    send = prepared(answer)
    assert (send.business_channel, send.source, send.priority) == (sender, "api", 1)
    assert send.canary == ""  # one person is nobody's canary
    assert send.data == {"thing1": "周会", "time2": "10:00"}
    assert send.url == "https://example.com"
    assert send.callback_params == {"name": "joe", "age": 26}
    assert reasons(send) == {"zhangsan": "", "nobody": "no_recipient"}


@pytest.mark.parametrize("content_type", ["", "text/html", "application/octet-stream"])
def test_any_content_type_is_read_as_json(post, message, zhang, content_type):
    body = {"aud_userid": ["zhangsan"], "msg_wechatoa": [message]}

    assert post("sent", body, content_type=content_type).json()["code"] == 0


def test_a_broadcast_goes_to_everyone_and_ignores_aud(post, message, zhang):
    send = prepared(post("broadcast", {"aud_tag": ["x"], "msg_wechatoa": [message]}))

    assert send.audience == Send.Audience.ALL
    assert reasons(send) == {"zhangsan": ""}


def test_numbers_are_ids_and_empty_texts_are_absent(post, message, channel):
    OpenIDFactory(channel=channel, recipient__userid="17")
    message |= {"url": "", "color": "", "miniprogram": {"app_id": "", "page_path": ""}}

    send = prepared(post("sent", {"aud_userid": [17], "msg_wechatoa": [message]}))

    assert reasons(send) == {"17": ""}
    assert (send.url, send.miniprogram_appid) == ("", "")


def test_go_field_names_and_flattened_miniprograms_are_taken(post, message, zhang):
    aliases = message | {"miniprogram": {"app_id": "wx1", "page_path": "a?b=1"}}
    flat = message | {"appid": "wx2", "pagepath": "c"}

    send = prepared(
        post("sent", {"aud_userid": ["zhangsan"], "msg_wechatoa": [aliases, flat]})
    )

    (part,) = send.parts.all()
    assert (send.miniprogram_appid, send.miniprogram_path) == ("wx1", "a?b=1")
    assert (part.miniprogram_appid, part.miniprogram_path) == ("wx2", "c")
    assert reasons(part) == {"zhangsan": ""}


def test_tags_of_the_business_channel_win_over_those_for_all(
    post, message, sender, channel
):
    own, everyones, both = (
        OpenIDFactory(channel=channel, recipient__userid=name)
        for name in ("own", "everyones", "both")
    )
    TagFactory(recipient=own.recipient, name="vip", bind=sender.key)
    TagFactory(recipient=everyones.recipient, name="vip")
    TagFactory(recipient=both.recipient, name="new")

    send = prepared(
        post("sent", {"aud_tag": ["vip", "new"], "msg_wechatoa": [message]})
    )

    assert set(reasons(send)) == {"own", "both"}


def test_userids_tags_and_a_segment_are_one_union(post, message, channel):
    people = {
        name: OpenIDFactory(channel=channel, recipient__userid=name)
        for name in ("a", "b", "c", "d")
    }
    for name in ("b", "c"):
        TagFactory(recipient=people[name].recipient, name="vip")
    TagFactory(recipient=people["c"].recipient, name="left")
    segment = Segment.objects.create(name="s", all_tags=["vip"], none_tags=["left"])
    fixed = Segment.objects.create(name="f")
    SegmentUser.objects.create(segment=fixed, userid="d")
    body = {"aud_userid": ["a", "b"], "msg_wechatoa": [message]}

    by_tags = prepared(post("sent", body | {"aud_segment": [str(segment.pk)]}))
    by_list = prepared(post("sent", body | {"aud_segment": [fixed.pk]}))

    assert reasons(by_tags) == {"a": "", "b": ""}
    assert reasons(by_list) == {"a": "", "b": "", "d": ""}


def test_openids_go_to_the_channel_that_owns_the_template(post, message, channel):
    audience = [{"instance": "wechatoa", "data": [OPENID]}]

    send = prepared(post("sent", {"aud_wechatoa": audience, "msg_wechatoa": [message]}))

    assert send.channel == channel
    assert reasons(send) == {OPENID: ""}


def test_black_and_white_lists_leave_people_out(post, message, channel):
    for name in ("a", "b"):
        OpenIDFactory(channel=channel, recipient__userid=name)
    black = UserList.objects.create(kind="black", name="b")
    white = UserList.objects.create(kind="white", name="w")
    for one in (black, white):
        UserListEntry.objects.create(list=one, userid="a")
    body = {"aud_userid": ["a", "b"], "msg_wechatoa": [message]}

    without = prepared(post("sent", body | {"option": {"black_id": black.pk}}))
    only = prepared(post("sent", body | {"option": {"white_id": str(white.pk)}}))

    assert reasons(without) == {"a": "blacklisted", "b": ""}
    assert reasons(only) == {"a": "", "b": "not_listed"}


def test_a_cap_per_person_and_day_counts_this_senders_messages(
    post, message, zhang, sender
):
    BusinessChannel.objects.update(per_person_per_day=1)
    body = {"aud_userid": ["zhangsan"], "msg_wechatoa": [message]}

    first, second = prepared(post("sent", body)), prepared(post("sent", body))

    assert reasons(first) == {"zhangsan": ""}
    assert reasons(second) == {"zhangsan": "capped"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"aud_userid": None}, 4004),
        ({"aud_userid": "zhangsan"}, 4004),
        ({"aud_userid": [None]}, 4004),
        ({"aud_userid": ["a b"]}, 4004),
        ({"aud_userid": [True]}, 4004),
        ({"aud_userid": [f"u{n}" for n in range(1001)]}, 1015004),
        ({"aud_tag": ["t"] * 21}, 4004),
        ({"aud_segment": ["1", "2"]}, 4004),
        ({"aud_segment": [9]}, 4004),
        ({"aud_wechatoa": [{"data": [OPENID]}]}, 4004),
        ({"msg_wechatoa": None}, 4004),
        ({"msg_wechatoa": []}, 4004),
        ({"msg_wechatoa": ["x"]}, 4004),
        ({"msg_app": {"x": 1}}, 1015006),
        ({"msg_sms": {"x": 1}}, 1015007),
        ({"msg_wechatmp": {"x": 1}}, 1015009),
        ({"msg_email": {"x": 1}}, 1015010),
        ({"msg_alipay_life": {"x": 1}}, 1015011),
        ({"msg_dingtalk_cc": {"x": 1}}, 1015012),
        ({"msg_wechatwk": {"x": 1}}, 4004),
        ({"option": "x"}, 4004),
        ({"option": {"priority": 4}}, 4004),
        ({"option": {"priority": "high"}}, 4004),
        ({"option": {"canary": "yes"}}, 4004),
        ({"option": {"black_id": 9}}, 1015046),
        ({"option": {"white_id": 9}}, 4004),
        ({"option": {"black_id": 9, "white_id": 9}}, 1015097),
        ({"callback": {"url": "https://example.com/"}}, 4004),
        ({"callback": {"params": []}}, 4004),
        ({"rule_id": 9}, 1015026),
    ],
)
def test_what_is_wrong_has_its_code_and_nothing_is_stored(
    post, message, zhang, change, code
):
    body = {"aud_userid": ["zhangsan"], "msg_wechatoa": [message]} | change

    assert refusal(post("sent", body)) == (400, code)
    assert not Send.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"type": 1},
        {"type": "x"},
        {"template_id": "none"},
        {"template_id": ""},
        {"data": {}},
        {"data": {"thing1": "Weekly"}},
        {"data": {"thing1": "x" * 21, "time2": "10:00"}},
        {"data": {"thing1": ["x"], "time2": "10:00"}},
        {"data": {"thing1": "a\0b", "time2": "10:00"}},
        {"url": "javascript:alert(1)"},
        {"miniprogram": "x"},
    ],
)
def test_a_message_that_cannot_work_is_4004(post, message, zhang, change):
    body = {"aud_userid": ["zhangsan"], "msg_wechatoa": [message | change]}

    assert refusal(post("sent", body)) == (400, 4004)


@pytest.mark.parametrize("body", ["", "{", "null", "[]", '"x"', "\0", b"\xff"])
def test_a_body_that_is_no_object_is_4004(post, body, sender):
    assert refusal(post("sent", body)) == (400, 4004)


def test_an_access_key_may_not_send(post, message, zhang):
    row, secret = access_keys.create_access_key("crm")
    body = {"aud_userid": ["zhangsan"], "msg_wechatoa": [message]}

    assert refusal(post("sent", body, key=(row.key, secret))) == (403, 4005)


def test_an_idempotency_key_makes_two_calls_one_send(post, message, zhang):
    body = {"aud_userid": ["zhangsan"], "msg_wechatoa": [message]}
    key = {"idempotency-key": "k1"}

    first, again = post("sent", body, **key), post("sent", body, **key)
    other = post("sent", body | {"option": {"priority": 1}}, **key)

    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (409, 4004)
    assert Send.objects.count() == 1


def test_a_refused_call_does_not_use_up_its_key(post, message, zhang):
    key = {"idempotency-key": "k1"}
    post("sent", {"aud_userid": ["zhangsan"]}, **key)

    body = {"aud_userid": ["zhangsan"], "msg_wechatoa": [message]}
    assert post("sent", body, **key).json()["code"] == 0


# -- protections -----------------------------------------------------------------------
def test_quiet_hours_refuse(post, message, zhang):
    BusinessChannel.objects.update(quiet_hours="00:00-23:59")
    body = {"aud_userid": ["zhangsan"], "msg_wechatoa": [message]}

    assert refusal(post("sent", body)) == (400, 1015038)


def test_a_sensitive_word_is_named(post, message, zhang):
    BusinessChannel.objects.update(sensitive_words=["周会"])

    answer = post("sent", {"aud_userid": ["zhangsan"], "msg_wechatoa": [message]})

    assert refusal(answer) == (400, 1015034)
    assert "周会" in answer.json()["message"]


def test_broadcasts_a_day_are_kept_to(post, message, zhang):
    BusinessChannel.objects.update(broadcasts_per_day=1)

    assert post("broadcast", {"msg_wechatoa": [message]}).json()["code"] == 0
    assert refusal(post("broadcast", {"msg_wechatoa": [message]})) == (400, 1015029)


def test_review_wants_an_owner_and_somebody_else(post, message, zhang):
    BusinessChannel.objects.update(review=True)
    owner, reviewer = UserFactory(username="li"), UserFactory()
    body = {"aud_userid": ["zhangsan"], "msg_wechatoa": [message]}
    assert refusal(post("sent", body)) == (400, 1015023)
    assert refusal(post("sent", body | {"option": {"owner": "x"}})) == (400, 1015023)

    answer = post("sent", body | {"option": {"owner": "li"}})
    send = Send.objects.get(msgid=answer.json()["msgid"])
    assert send.status == "in_review"

    with pytest.raises(control.PermissionDenied):
        control.approve(send, owner)
    control.approve(send, reviewer)
    assert Send.objects.get(pk=send.pk).status == "preparing"
    with pytest.raises(control.WrongState):
        control.reject(send, reviewer, "no")


def test_a_verified_callback_url_and_a_valid_strategy_are_kept(
    post, message, zhang, sender
):
    CallbackURL.objects.create(
        business_channel=sender, url="https://a.example/", verified_at=timezone.now()
    )
    steps = [{"channel": sender.channels.get().code, "wait_s": 0, "trigger": "refused"}]
    strategy = Strategy.objects.create(name="s", business_channel=sender, steps=steps)
    body = {
        "aud_userid": ["zhangsan"],
        "msg_wechatoa": [message],
        "callback": {"url": "https://a.example/"},
        "rule_id": strategy.pk,
    }

    send = prepared(post("sent", body))

    assert (send.callback_url, send.strategy) == ("https://a.example/", strategy)


# -- general templates -----------------------------------------------------------------
@pytest.fixture
def general(template):
    return GeneralTemplate.objects.create(
        name="meeting",
        template=template,
        url="https://example.com/{{id}}",
        data={"thing1": "{{topic}}", "time2": "10:00"},
    )


def test_a_general_template_is_filled(post, general, zhang):
    body = {
        "aud_userid": ["zhangsan"],
        "template_id": str(general.pk),
        "template_para": {"topic": "周会", "id": 7, "surplus": "x"},
    }

    send = prepared(post("template/sent", body))

    assert send.data == {"thing1": "周会", "time2": "10:00"}
    assert send.url == "https://example.com/7"
    assert prepared(post("template/broadcast", body)).audience == "all"


def test_a_general_templates_refusals(post, general, zhang, sender):
    body = {
        "aud_userid": ["zhangsan"],
        "template_id": general.pk,
        "template_para": {"topic": "x", "id": "1"},
    }

    def code(change):
        return refusal(post("template/sent", body | change))

    assert code({"template_id": 999}) == (400, 1015031)
    assert code({"template_id": "x"}) == (400, 4004)
    assert code({"template_para": {"topic": "x"}}) == (400, 4004)
    assert code({"msg_wechatoa": []}) == (400, 1015094)
    GeneralTemplate.objects.update(general=False)
    assert code({}) == (400, 1015032)
    GeneralTemplate.objects.update(general=True)
    sender.channels.clear()
    assert code({}) == (400, 1015008)


# -- retract ---------------------------------------------------------------------------
@pytest.mark.parametrize("encode", [str, lambda msgid: quote(msgid, safe="")])
def test_retracting_stops_what_has_not_left(post, message, zhang, encode):
    body = {"aud_userid": ["zhangsan"], "msg_wechatoa": [message, message]}
    send = prepared(post("sent", body))

    answer = post(f"retract/{encode(send.msgid)}", "null")

    assert answer.json() == {"code": 0, "message": "success"}
    assert {s.status for s in Send.objects.all()} == {"canceled"}
    assert refusal(post(f"retract/{encode(send.msgid)}", "")) == (400, 1015055)


def test_unknown_foreign_and_old_messages_are_not_retracted(post, message, zhang):
    send = prepared(
        post("sent", {"aud_userid": ["zhangsan"], "msg_wechatoa": [message]})
    )
    other, secret = business_channels.create_business_channel("other")

    assert refusal(post("retract/v:1t:1p:1n:1", "null")) == (400, 4004)
    assert refusal(post(f"retract/{send.msgid}", "null", key=(other.key, secret))) == (
        400,
        4004,
    )
    Send.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert refusal(post(f"retract/{send.msgid}", "null")) == (400, 4004)
