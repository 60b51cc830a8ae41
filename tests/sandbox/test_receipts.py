"""Receipts and events: modes, repeats, order, and a receiver that is down."""

import json
import time
import xml.etree.ElementTree as ElementTree

import pytest

from channels_wechat.wechat.crypto import MessageCrypt, sign

TOKEN, AES_KEY = "sandboxtoken", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


def fields_of(push):
    if push.body.startswith("{"):
        return json.loads(push.body)
    return {element.tag: element.text for element in ElementTree.fromstring(push.body)}


def all_answered(count):
    return lambda stats: stats["receipts"]["answered"] >= count


@pytest.mark.parametrize("format", ["xml", "json"])
def test_a_plain_receipt(sandbox, send, receiver, format):
    sandbox.callback(receiver.url, TOKEN, format=format)

    msgid = send(1)["msgid"]
    sandbox.wait_for(all_answered(1))

    [push] = receiver.pushes
    fields = fields_of(push)
    assert int(fields.pop("MsgID")) == msgid
    assert abs(int(fields.pop("CreateTime")) - time.time()) < 10
    assert fields == {
        "ToUserName": "gh_5a0db0c50001",
        "FromUserName": sandbox.openid(1),
        "MsgType": "event",
        "Event": "TEMPLATESENDJOBFINISH",
        "Status": "success",
    }
    query = push.query
    assert query["signature"] == sign(TOKEN, query["timestamp"], query["nonce"])
    assert query["openid"] == sandbox.openid(1)
    assert "encrypt_type" not in query


@pytest.mark.parametrize("format", ["xml", "json"])
@pytest.mark.parametrize("mode", ["compatible", "safe"])
def test_an_encrypted_receipt(sandbox, send, receiver, mode, format):
    sandbox.callback(
        receiver.url, TOKEN, mode=mode, format=format, encoding_aes_key=AES_KEY
    )

    msgid = send(1)["msgid"]
    sandbox.wait_for(all_answered(1))

    [push] = receiver.pushes
    fields, query = fields_of(push), push.query
    assert query["encrypt_type"] == "aes"
    assert query["msg_signature"] == sign(
        TOKEN, query["timestamp"], query["nonce"], fields["Encrypt"]
    )
    assert ("Status" in fields) == (mode == "compatible")
    inner = MessageCrypt(TOKEN, AES_KEY, sandbox.appid).decrypt(fields["Encrypt"])
    assert str(msgid) in inner
    assert "success" in inner


def test_someone_who_blocks_sees_nothing_and_the_receipt_says_so(
    sandbox, send, receiver
):
    sandbox.callback(receiver.url, TOKEN)

    assert send(77)["errcode"] == 0
    sandbox.wait_for(all_answered(1))

    assert fields_of(receiver.pushes[0])["Status"] == "failed:user block"
    assert sandbox.messages(sandbox.openid(77)) == []


def test_outcomes_follow_their_weights(sandbox, send, receiver):
    sandbox.callback(receiver.url, TOKEN)
    sandbox.settings(receipt_outcomes={"system_failed": 1})

    send(1)
    sandbox.wait_for(all_answered(1))

    assert fields_of(receiver.pushes[0])["Status"] == "failed: system failed"
    assert sandbox.shown()["total"] == 0


def test_a_refused_push_is_tried_three_times_with_the_same_body(
    sandbox, send, receiver
):
    sandbox.callback(receiver.url, TOKEN)
    receiver.status = 500

    send(1)
    sandbox.wait_for(lambda stats: stats["receipts"]["given_up"] == 1)

    assert len(receiver.pushes) == 3
    assert len({push.body for push in receiver.pushes}) == 1


def test_a_patient_sandbox_waits_for_a_receiver_that_is_down(sandbox, send, receiver):
    sandbox.callback(receiver.url, TOKEN)
    sandbox.settings(push_patience_s=30)
    receiver.status = 503
    send(1)
    sandbox.wait_for(lambda stats: stats["receipts"]["attempts"] >= 4)
    assert sandbox.stats()["receipts"]["waiting"] == 1

    receiver.status = 200

    sandbox.wait_for(all_answered(1))
    assert sandbox.stats()["receipts"]["given_up"] == 0


def test_a_slow_receiver_is_cut_off(sandbox, send, receiver):
    sandbox.callback(receiver.url, TOKEN)
    sandbox.settings(push_timeout_s=0.1, push_attempts=1)
    receiver.before_answer = lambda push: time.sleep(0.5)

    send(1)

    sandbox.wait_for(lambda stats: stats["receipts"]["given_up"] == 1)


def test_receipts_may_overtake_the_reply(sandbox, send, receiver):
    sandbox.callback(receiver.url, TOKEN)
    sandbox.settings(receipt_before_reply=True)

    send(1)

    assert len(receiver.pushes) == 1


def test_receipts_can_be_held_back_and_none_is_lost(sandbox, send, receiver):
    sandbox.callback(receiver.url, TOKEN)
    sandbox.settings(receipts=False)
    msgids = {send(n)["msgid"] for n in (1, 2, 3)}
    time.sleep(0.2)
    assert receiver.pushes == []

    sandbox.settings(receipts=True)

    sandbox.wait_for(all_answered(3))
    assert {int(fields_of(push)["MsgID"]) for push in receiver.pushes} == msgids


def test_duplicates_on_demand(sandbox, send, receiver):
    sandbox.callback(receiver.url, TOKEN)
    sandbox.settings(receipt_duplicates=1)

    msgid = send(1)["msgid"]

    sandbox.wait_for(all_answered(2))
    assert [int(fields_of(push)["MsgID"]) for push in receiver.pushes] == [msgid] * 2


def test_a_repeat_has_no_receipt_of_its_own(sandbox, send, receiver):
    sandbox.callback(receiver.url, TOKEN)

    send(1, client_msg_id="one")
    send(1, client_msg_id="one")

    assert sandbox.stats()["receipts"]["scheduled"] == 1


def test_many_receipts_come_over_few_connections(sandbox, send, receiver):
    sandbox.callback(receiver.url, TOKEN)
    sandbox.settings(receipt_delay_s=[0, 0.3], receipt_shuffle=True)

    msgids = {send(n)["msgid"] for n in range(1, 41)}

    sandbox.wait_for(all_answered(40))
    assert {int(fields_of(push)["MsgID"]) for push in receiver.pushes} == msgids


def test_following_and_leaving_push_events(sandbox, send, receiver):
    sandbox.callback(receiver.url, TOKEN)
    openid = sandbox.openid(1)

    sandbox.control("PATCH", f"people/{openid}", {"follows": False})
    assert send(1)["errcode"] == 43004
    sandbox.control("PATCH", f"people/{openid}", {"follows": True})

    assert send(1)["errcode"] == 0
    sandbox.wait_for(all_answered(3))
    events = [fields_of(push)["Event"] for push in receiver.pushes]
    assert events[:2] == ["unsubscribe", "subscribe"]


def test_any_event_can_be_pushed_now(sandbox, receiver):
    sandbox.callback(receiver.url, TOKEN)

    answer = sandbox.push({"Event": "SCAN", "EventKey": "7"}, of=sandbox.openid(2))

    assert answer == {"pushed": True, "status": 200, "answer": "success"}
    assert fields_of(receiver.pushes[0])["EventKey"] == "7"


def test_the_server_configuration_is_saved_only_if_the_echostr_comes_back(
    sandbox, receiver
):
    asked = {"url": receiver.url, "token": TOKEN}
    receiver.echo = False
    assert sandbox.control("POST", "callback", asked)["passed"] is False
    assert sandbox.account()["callback"] is None

    receiver.echo = True

    assert sandbox.control("POST", "callback", asked)["passed"] is True
    assert sandbox.account()["callback"]["url"] == receiver.url
