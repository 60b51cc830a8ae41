"""Pushes about subscribe-notifications, in every shape that WeChat was seen to use."""

import json
from datetime import UTC, datetime
from itertools import count

import pytest

from channels_wechat.wechat.callbacks import open_push
from channels_wechat.wechat.crypto import sign
from channels_wechat.wechat.notices import items_of

NOW = datetime.fromtimestamp(1620973100, UTC)
XML = """<xml><ToUserName><![CDATA[gh_123456789abc]]></ToUserName>
<FromUserName><![CDATA[o7esq5OI1Uej6Xixw1lA2H7XDVbc]]></FromUserName>
<CreateTime>1620973045</CreateTime><MsgType><![CDATA[event]]></MsgType>
<Event><![CDATA[{event}]]></Event><{wrapper}>{items}</{wrapper}></xml>"""
CHOICE = """<List><TemplateId><![CDATA[{0}]]></TemplateId>
<SubscribeStatusString><![CDATA[{1}]]></SubscribeStatusString>
<PopupScene>2</PopupScene></List>"""
SENT = """<List><TemplateId><![CDATA[{0}]]></TemplateId><MsgID>{1}</MsgID>
<ErrorCode>{2}</ErrorCode><ErrorStatus><![CDATA[{3}]]></ErrorStatus></List>"""


def pushed(text):
    query = {"timestamp": "1620973050", "nonce": "n"}
    query["signature"] = sign("token", query["timestamp"], query["nonce"])
    return open_push(
        text.encode(),
        query,
        mode="plain",
        token="token",
        aes_keys=[],
        receive_id="",
        now=NOW,
    )


def in_xml(event, wrapper, item, *values):
    items = "".join(item.format(*one) for one in values)
    return items_of(pushed(XML.format(event=event, wrapper=wrapper, items=items)))


def in_json(event, items):
    body = {
        "ToUserName": "gh_123456789abc",
        "FromUserName": "o7esq5OI1Uej6Xixw1lA2H7XDVbc",
        "CreateTime": "1620973045",
        "MsgType": "event",
        "Event": event,
        "List": items,
    }
    return items_of(pushed(json.dumps(body)))


def told(items):
    return [(item.template_id, item.outcome, item.msgid) for item in items]


POPUP, CHANGE = "subscribe_msg_popup_event", "subscribe_msg_change_event"
ONE = {"TemplateId": "T1", "SubscribeStatusString": "accept", "PopupScene": "0"}
TWO = {"TemplateId": "T2", "SubscribeStatusString": "reject", "PopupScene": 0}


def test_one_choice_or_several_in_xml():
    wrapper = "SubscribeMsgPopupEvent"
    one = in_xml(POPUP, wrapper, CHOICE, ("T1", "accept"))
    two = in_xml(POPUP, wrapper, CHOICE, ("T1", "accept"), ("T2", "reject"))

    assert told(one) == [("T1", "accept", 0)]
    assert told(two) == [("T1", "accept", 0), ("T2", "reject", 0)]


@pytest.mark.parametrize(
    "wrapper", ["SubscribeMsgChangeEvent", "SubscribeMsgPopupEvent"]
)
def test_a_change_comes_in_either_wrapper(wrapper):
    items = in_xml(CHANGE, wrapper, CHOICE, ("T1", "reject"))

    assert told(items) == [("T1", "reject", 0)]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (ONE, [("T1", "accept", 0)]),
        ([ONE], [("T1", "accept", 0)]),
        ([ONE, TWO], [("T1", "accept", 0), ("T2", "reject", 0)]),
        ([], []),
        ("nonsense", []),
        ([{"TemplateId": "x" * 65, "SubscribeStatusString": "accept"}], []),
    ],
)
def test_in_json_one_is_an_object_and_several_a_list(items, expected):
    assert told(in_json(POPUP, items)) == expected


def test_what_became_of_a_message():
    wrapper, sent = "SubscribeMsgSentEvent", "subscribe_msg_sent_event"
    msgid = 1700827132819554304
    items = in_xml(
        sent,
        wrapper,
        SENT,
        ("T1", msgid, 0, "success"),
        ("T2", msgid + 1, 20001, "System  Error"),
        ("T3", "", 43101, ""),
    )

    assert told(items) == [
        ("T1", "success", msgid),
        ("T2", "failed:system error", msgid + 1),
        ("T3", "failed:43101", 0),
    ]
    told_so = {"TemplateId": "T1", "MsgID": str(msgid), "ErrorCode": "0"}
    assert told(in_json(sent, told_so)) == [("T1", "success", msgid)]
    in_numbers = {"TemplateId": "T1", "MsgID": msgid, "ErrorCode": 0}
    assert told(in_json(sent, in_numbers)) == [("T1", "success", msgid)]


def test_a_repeat_has_the_same_key_in_any_format_and_another_push_another():
    xml = in_xml(POPUP, "SubscribeMsgPopupEvent", CHOICE, ("T1", "accept"))
    again = in_json(POPUP, ONE)
    two = in_json(POPUP, [ONE, TWO])
    sent = "subscribe_msg_sent_event"
    numbers = count(1)
    # Two messages to one person in one second.
    messages = [
        in_json(sent, {"TemplateId": "T1", "MsgID": next(numbers), "ErrorCode": 0})
        for _ in range(2)
    ]

    assert xml[0].key == again[0].key
    assert two[0].key != two[1].key
    assert messages[0][0].key != messages[1][0].key


def test_other_pushes_have_no_items():
    body = XML.format(event="scan", wrapper="List", items="<TemplateId>T</TemplateId>")
    assert items_of(pushed(body)) == []
