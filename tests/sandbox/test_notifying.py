"""bizsend, acceptances and the events around them."""

import json
import time
import xml.etree.ElementTree as ElementTree

import pytest
import requests

from sandbox.accounts import BIZSEND

TOKEN = "sandboxtoken"
DATA = {
    "thing1": "手冲咖啡豆",
    "character_string2": "SP1",
    "time3": "2026年5月8日 10:00",
    "phrase4": "顺丰速运",
}
OUTAGE = {
    "thing1": "云杉花园一期",
    "thing2": "管道检修",
    "time3": "2026年5月8日 9:00",
    "time4": "2026年5月8日 18:00",
}


def answered(count):
    return lambda stats: stats["receipts"]["answered"] >= count


@pytest.fixture
def notices(sandbox):
    """Title -> private template."""
    listed = sandbox.control("GET", "subscriptions")["notices"]
    return {notice["title"]: notice["priTmplId"] for notice in listed}


@pytest.fixture
def shipped(notices):
    return notices["订单发货通知"]


@pytest.fixture
def notify(sandbox, shipped):
    token = sandbox.token()

    def notify(to=1, *, template_id=shipped, values=None, **changed):
        data = {**DATA, **(values or {})}
        body = {
            "touser": sandbox.openid(to) if isinstance(to, int) else to,
            "template_id": template_id,
            "data": {key: {"value": value} for key, value in data.items()},
            **changed,
        }
        return sandbox.post(BIZSEND, body, access_token=token)

    notify.token = token
    return notify


@pytest.fixture
def accept(sandbox, shipped):
    def accept(*people, **more):
        openids = [sandbox.openid(n) for n in people]
        body = {"template_id": shipped, "openids": openids, **more}
        return sandbox.control("POST", "acceptances", body)

    return accept


def left(sandbox, **where):
    return sandbox.control("GET", "acceptances", **where)["left"]


def test_each_acceptance_permits_one_message(sandbox, notify, accept):
    assert notify(1)["errcode"] == 43101
    accept(1, times=2)

    codes = [notify(1)["errcode"] for _ in range(3)]

    assert codes == [0, 0, 43101]
    assert left(sandbox) == 0
    [first, _second] = sandbox.messages(sandbox.openid(1))
    assert first["title"] == "订单发货通知"
    assert first["rows"][0] == ["商品名称", "手冲咖啡豆"]


def test_a_long_term_acceptance_never_runs_out(sandbox, notify, accept, notices):
    outage = notices["停水通知"]
    accept(1, template_id=outage)

    codes = {notify(1, template_id=outage, values=OUTAGE)["errcode"] for _ in range(3)}

    assert codes == {0}
    assert left(sandbox, template_id=outage) == 1


@pytest.mark.parametrize(
    ("changed", "errcode", "text"),
    [
        ({"to": "oOther"}, 40003, "invalid openid"),
        ({"template_id": "none"}, 40037, "invalid template_id"),
        ({"page": "x" * 2049}, 41030, "invalid page"),
        ({"miniprogram": {"appid": "wx1", "pagepath": "x"}}, 40166, "weapp appid"),
        ({"values": {"thing1": ""}}, 47003, "data.thing1.value is emtpy"),
        ({"values": {"phrase4": "SF"}}, 47003, "data.phrase4.value invalid"),
    ],
)
def test_what_is_refused_spends_no_acceptance(
    sandbox, notify, accept, changed, errcode, text
):
    accept(1)

    answer = notify(**changed)

    assert answer["errcode"] == errcode
    assert text in answer["errmsg"]
    assert left(sandbox) == 1


def test_enum_values_and_shorter_amounts(notify, accept, notices):
    bill = notices["物业缴费提醒"]
    good = {
        "thing2": "云杉花园3栋502",
        "amount3": "¥320.50",
        "date4": "2026年6月1日",
        "enum_string5": "待缴费",
    }
    accept(1, template_id=bill, times=3)

    def problem(**wrong):
        answer = notify(1, template_id=bill, values={**good, **wrong})
        return answer["errmsg"].split(" rid")[0]

    assert problem() == "ok"
    assert "data.enum_string5.value invalid" in problem(enum_string5="随便")
    assert "data.amount3.value invalid" in problem(amount3="12345678901")


def test_whoever_does_not_follow_is_reached_all_the_same(sandbox, notify, accept):
    accept(50)

    assert notify(50)["errcode"] == 0

    assert sandbox.messages(sandbox.openid(50))[0]["outside"] is True


def test_the_answers_msgid_can_be_switched_off(sandbox, notify, accept):
    accept(1, times=2)
    assert notify(1)["msgid"] > 2**53
    sandbox.settings(bizsend_msgid=False)
    assert notify(1) == {"errcode": 0, "errmsg": "ok"}


def test_a_connection_cut_after_acceptance_spends_it(sandbox, notify, accept):
    accept(1)
    sandbox.faults("close", path=BIZSEND, calls=1)

    with pytest.raises(requests.ConnectionError):
        notify(1)

    assert left(sandbox) == 0
    assert len(sandbox.messages(sandbox.openid(1))) == 1


# -- events ----------------------------------------------------------------------------
def events(receiver):
    return [json.loads(push.body) for push in receiver.pushes]


def test_the_sent_event_says_how_it_went(sandbox, notify, accept, receiver, shipped):
    sandbox.callback(receiver.url, TOKEN)
    accept(1, times=2, push=False)

    msgid = notify(1)["msgid"]
    sandbox.wait_for(answered(1))

    root = ElementTree.fromstring(receiver.pushes[0].body)
    assert root.findtext("Event") == "subscribe_msg_sent_event"
    assert root.findtext("FromUserName") == sandbox.openid(1)
    [entry] = root.findall("SubscribeMsgSentEvent/List")
    assert {part.tag: part.text for part in entry} == {
        "TemplateId": shipped,
        "MsgID": str(msgid),
        "ErrorCode": "0",
        "ErrorStatus": "success",
    }

    sandbox.settings(receipt_outcomes={"system_failed": 1})
    notify(1)
    sandbox.wait_for(answered(2))
    assert "<ErrorCode>20001</ErrorCode>" in receiver.pushes[1].body
    assert len(sandbox.messages(sandbox.openid(1))) == 1


def test_sent_events_come_first_twice_and_shuffled(sandbox, notify, accept, receiver):
    sandbox.callback(receiver.url, TOKEN, format="json")
    accept(*range(1, 21), push=False)
    sandbox.settings(receipt_before_reply=True)
    notify(1)
    assert len(receiver.pushes) == 1

    sandbox.settings(
        receipt_before_reply=False,
        receipt_duplicates=1,
        receipt_shuffle=True,
        receipt_delay_s=[0, 0.2],
    )
    msgids = {str(notify(n)["msgid"]) for n in range(2, 21)}

    sandbox.wait_for(answered(1 + 2 * 19))
    got = [event["List"]["MsgID"] for event in events(receiver)[1:]]
    assert set(got) == msgids
    assert len(got) == 2 * 19


def test_one_choice_is_an_object_in_json_and_two_are_a_list(
    sandbox, notices, shipped, receiver
):
    sandbox.callback(receiver.url, TOKEN, format="json")
    bill, openid = notices["物业缴费提醒"], sandbox.openid(1)

    def press(ids, **choices):
        asked = {"openid": openid, "template_ids": ids, "choices": choices}
        return sandbox.control("POST", "popup", {**asked, "scene": 1})

    press([shipped], **{shipped: "accept"})
    sandbox.wait_for(answered(1))
    status = press([shipped, bill], **{shipped: "accept", bill: "reject"})["status"]
    sandbox.wait_for(answered(2))

    assert status == {shipped: "accept", bill: "reject"}
    one, two = events(receiver)
    assert one["Event"] == "subscribe_msg_popup_event"
    assert one["List"] == {
        "TemplateId": shipped,
        "SubscribeStatusString": "accept",
        "PopupScene": "1",
    }
    assert [e["SubscribeStatusString"] for e in two["List"]] == ["accept", "reject"]
    assert "SubscribeMsgPopupEvent" not in two


def test_two_choices_are_two_lists_in_xml(sandbox, notices, shipped, receiver):
    sandbox.callback(receiver.url, TOKEN)
    ids = [shipped, notices["物业缴费提醒"]]

    sandbox.control("POST", "popup", {"openid": sandbox.openid(1), "template_ids": ids})
    sandbox.wait_for(answered(1))

    root = ElementTree.fromstring(receiver.pushes[0].body)
    lists = root.findall("SubscribeMsgPopupEvent/List")
    assert [entry.findtext("TemplateId") for entry in lists] == ids
    assert {entry.findtext("PopupScene") for entry in lists} == {"2"}


def test_a_kept_choice_needs_no_dialog(sandbox, shipped, receiver):
    sandbox.callback(receiver.url, TOKEN)
    press = {"openid": sandbox.openid(1), "template_id": shipped, "keep": True}
    assert sandbox.control("POST", "popup", press)["dialog"] is True

    again = sandbox.control("POST", "popup", press)
    assert again == {"status": {shipped: "accept"}, "dialog": False, "pushed": True}
    assert left(sandbox) == 2

    sandbox.settings(kept_choice_events=False)
    assert sandbox.control("POST", "popup", press)["pushed"] is False
    assert left(sandbox) == 3
    sandbox.wait_for(answered(2))
    assert len(receiver.pushes) == 2


def test_closing_the_dialog_is_a_cancel_and_pushes_nothing(sandbox, shipped, receiver):
    sandbox.callback(receiver.url, TOKEN)

    press = {"openid": sandbox.openid(1), "template_id": shipped}
    answer = sandbox.control("POST", "popup", {**press, "choices": {"x": "accept"}})

    assert answer == {"status": {shipped: "cancel"}, "dialog": True, "pushed": False}
    assert sandbox.stats()["receipts"]["scheduled"] == left(sandbox) == 0


def test_what_the_component_refuses(sandbox, notices, shipped):
    def code(*ids, of=1):
        press = {"openid": sandbox.openid(of), "template_ids": [*ids]}
        return sandbox.control("POST", "popup", press).get("errCode")

    assert code("") == 10001
    assert code("none") == 20001
    assert code(shipped, notices["停水通知"]) == 20002
    assert code(*[shipped] * 6) == 20003
    off = {"openid": sandbox.openid(2), "off": True}
    sandbox.control("PATCH", "acceptances", off)
    assert code(shipped, of=2) == 20004
    assert code(shipped) is None


@pytest.mark.parametrize("wrapper", ["change", "popup"])
def test_refusing_in_the_settings_takes_everything_back(
    sandbox, notify, accept, shipped, receiver, wrapper
):
    sandbox.callback(receiver.url, TOKEN)
    sandbox.settings(change_event_wrapper=wrapper)
    accept(1, times=3, push=False)

    sandbox.control(
        "PATCH", "acceptances", {"openid": sandbox.openid(1), "template_id": shipped}
    )
    sandbox.wait_for(answered(1))

    assert notify(1)["errcode"] == 43101
    root = ElementTree.fromstring(receiver.pushes[0].body)
    assert root.findtext("Event") == "subscribe_msg_change_event"
    name = f"SubscribeMsg{wrapper.title()}Event"
    assert root.findtext(f"{name}/List/TemplateId") == shipped
    assert root.findtext(f"{name}/List/SubscribeStatusString") == "reject"
    assert root.find(f"{name}/List/PopupScene") is None


def test_the_main_switch_refuses_all_at_once_and_may_be_forgotten(
    sandbox, notify, accept, notices, receiver
):
    sandbox.callback(receiver.url, TOKEN)
    ids = [notices["订单发货通知"], notices["停水通知"]]
    accept(1, 2, template_ids=ids, push=False)

    sandbox.control("PATCH", "acceptances", {"openid": sandbox.openid(1), "off": True})
    sandbox.settings(change_events=False)
    sandbox.control("PATCH", "acceptances", {"openid": sandbox.openid(2), "off": True})
    sandbox.wait_for(answered(1))

    [push] = receiver.pushes
    assert push.body.count("<List>") == 2
    assert [notify(1)["errcode"], notify(2)["errcode"]] == [43101, 43101]


def test_a_hundred_thousand_people_accept_within_seconds(sandbox):
    account = sandbox.add_account(followers=100_000)
    [template_id, *_] = [
        n["priTmplId"]
        for n in sandbox.control("GET", f"subscriptions/{account['appid']}")["notices"]
    ]
    before = time.monotonic()

    body = {"appid": account["appid"], "template_id": template_id, "last": 100_000}
    made = sandbox.control("POST", "acceptances", body)

    assert made == {"people": 100_000}
    assert left(sandbox, appid=account["appid"]) == 100_000
    assert time.monotonic() - before < 15


def test_removing_a_template_forgets_who_accepted(sandbox, notify, accept, shipped):
    accept(1)

    sandbox.post(
        "/wxaapi/newtmpl/deltemplate",
        {"priTmplId": shipped},
        access_token=notify.token,
    )

    assert left(sandbox) == 0
    assert notify(1)["errcode"] == 40037
