import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from channels_wechat.wechat import callbacks
from channels_wechat.wechat.callbacks import (
    MAX_BODY_BYTES,
    MAX_KEY,
    PushRefused,
    Receipt,
    open_push,
    parse_body,
    receipt_of,
    verify_url,
)
from channels_wechat.wechat.crypto import MessageCrypt, make_encoding_aes_key, sign

FIXTURE = json.loads(
    (Path(__file__).parent / "fixtures" / "crypto_vectors.json").read_text()
)
VECTORS = {vector["name"]: vector for vector in FIXTURE["vectors"]}
NEGATIVE = {vector["name"]: vector for vector in FIXTURE["negative"]}

TOKEN, KEY, APPID = "tests", make_encoding_aes_key(), "wx134c8103faa5a59e"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
STAMP = str(round(NOW.timestamp()))

RECEIPT = """<xml>
<ToUserName><![CDATA[gh_7f083739789a]]></ToUserName>
<FromUserName><![CDATA[oia2TjuEGTNoeX76QEjQNrcURxG8]]></FromUserName>
<CreateTime>1395658920</CreateTime>
<MsgType><![CDATA[event]]></MsgType>
<Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>
<MsgID>3487542469355618313</MsgID>
<Status><![CDATA[success]]></Status>
</xml>"""


def query_of(*parts, **more):
    query = {"timestamp": STAMP, "nonce": "n1", **more}
    query["signature"] = sign(TOKEN, query["timestamp"], "n1")
    if parts:
        query["msg_signature"] = sign(TOKEN, query["timestamp"], "n1", *parts)
    return query


def open_(body, query, mode="plain", **options):
    options = {
        "token": TOKEN,
        "aes_keys": [KEY],
        "receive_id": APPID,
        "now": NOW,
        **options,
    }
    body = body.encode() if isinstance(body, str) else body
    return open_push(body, query, mode=mode, **options)


def sealed(text, key=KEY, receive_id=APPID):
    return MessageCrypt(TOKEN, key, receive_id).encrypt(text)


def safe(text, **query):
    """A push as WeChat sends it in safe mode: (body, query)."""
    encrypted = sealed(text)
    body = f"<xml><ToUserName>gh_1</ToUserName><Encrypt>{encrypted}</Encrypt></xml>"
    return body, query_of(encrypted, encrypt_type="aes", **query)


def reason(call, *arguments, **options):
    with pytest.raises(PushRefused) as caught:
        call(*arguments, **options)
    assert caught.value.sentence.endswith(".")
    return caught.value.reason


# -- saving the address ----------------------------------------------------------------


def test_the_official_verification_is_echoed():
    vector = VECTORS["url-verification-get"]

    assert verify_url(vector, vector["token"]) == vector["expected_response_body"]


def test_a_wrong_verification_is_refused():
    vector = VECTORS["url-verification-get"]

    assert reason(verify_url, vector, "another") == "bad_signature"
    assert reason(verify_url, {}, "AAAAA") == "bad_signature"
    assert reason(verify_url, vector, "") == "bad_signature"


@pytest.mark.parametrize("echostr", ["", "<script>", "a b", "x" * 200, "1\n"])
def test_only_what_wechat_would_ask_for_is_echoed(echostr):
    assert reason(verify_url, query_of(echostr=echostr), TOKEN) == "bad_body"


# -- the three modes -------------------------------------------------------------------


def test_the_official_plain_push_is_read():
    vector = VECTORS["plaintext-post-json"]

    push = open_push(
        json.dumps(vector["body"]).encode(),
        vector,
        mode="plain",
        token=vector["token"],
        aes_keys=[],
        receive_id="",
        now=datetime.fromtimestamp(int(vector["timestamp"]), UTC),
    )

    assert (push.event, push.from_user) == (
        "debug_demo",
        "o9AgO5Kd5ggOC-bXrbNODIiE3bGY",
    )
    assert push.fields["debug_str"] == "hello world"


@pytest.mark.parametrize(
    "name",
    [
        "safe-mode-json-inbound",
        "third-party-safe-mode-xml-inbound",
        "official-python-sample-compat-mode",
    ],
)
def test_the_official_encrypted_pushes_are_opened(name):
    vector = VECTORS[name]
    body = vector.get("body") or (
        f"<xml><ToUserName>x</ToUserName><Encrypt>{vector['encrypt']}</Encrypt></xml>"
        if vector["plaintext"].startswith("<")
        else json.dumps({"ToUserName": "x", "Encrypt": vector["encrypt"]})
    )

    push = open_push(
        body.encode(),
        {**vector, "encrypt_type": "aes"},
        mode="compatible" if "compat" in name else "safe",
        token=vector["token"],
        aes_keys=[vector["encoding_aes_key"]],
        receive_id=vector["receive_id"],
        now=datetime.fromtimestamp(int(vector["timestamp"]), UTC),
    )

    assert push.text == vector["plaintext"]
    assert push.from_user.startswith("o")


def test_compatible_mode_believes_the_encrypted_part_only():
    encrypted = sealed(RECEIPT)
    body = RECEIPT.replace("success", "failed:user block").replace(
        "</xml>", f"<Encrypt>{encrypted}</Encrypt></xml>"
    )

    push = open_(body, query_of(encrypted, encrypt_type="aes"), "compatible")

    assert receipt_of(push).status == "success"


def test_the_previous_key_still_opens():
    encrypted = sealed(RECEIPT)
    query = query_of(encrypted, encrypt_type="aes")
    body = json.dumps({"Encrypt": encrypted})
    new = make_encoding_aes_key()

    assert open_(body, query, "safe", aes_keys=[new, KEY]).event
    assert reason(open_, body, query, "safe", aes_keys=[new]) == "not_decrypted"
    assert reason(open_, body, query, "safe", aes_keys=[]) == "not_decrypted"


@pytest.mark.parametrize("mode", ["safe", "compatible"])
def test_a_downgraded_push_is_refused(mode):
    body, query = safe(RECEIPT)
    bare = query_of()

    assert reason(open_, RECEIPT, bare, mode) == "downgraded"
    assert reason(open_, RECEIPT, query, mode) == "downgraded"
    for missing in ("encrypt_type", "msg_signature"):
        less = {key: value for key, value in query.items() if key != missing}
        assert reason(open_, body, less, mode) == "downgraded"
    assert reason(open_, body, {**query, "encrypt_type": "raw"}, mode) == "downgraded"


def test_an_encrypted_push_to_a_plain_channel_says_what_to_change():
    body, query = safe(RECEIPT)

    with pytest.raises(PushRefused, match="plain mode") as caught:
        open_(body, query, "plain")

    assert caught.value.reason == "bad_body"


def test_a_wrong_signature_is_refused_in_every_mode():
    body, query = safe(RECEIPT)

    changed = {**query, "msg_signature": query["signature"]}
    assert reason(open_, body, changed, "safe") == "bad_signature"
    assert reason(open_, RECEIPT, {**query_of(), "nonce": "n2"}) == "bad_signature"
    assert reason(open_, RECEIPT, {}) == "bad_signature"
    assert reason(open_, RECEIPT, query_of(), token="") == "bad_signature"
    assert reason(open_, RECEIPT, {**query_of(), "signature": "é"}) == "bad_signature"


def test_the_negative_vectors_are_refused():
    base = VECTORS["third-party-safe-mode-xml-inbound"]
    now = datetime.fromtimestamp(int(base["timestamp"]), UTC)

    def refused(**change):
        vector = {**base, **change}
        return reason(
            open_push,
            json.dumps({"Encrypt": vector["encrypt"]}).encode(),
            {**vector, "encrypt_type": "aes"},
            mode="safe",
            token=vector["token"],
            aes_keys=[vector["encoding_aes_key"]],
            receive_id=vector["receive_id"],
            now=now,
        )

    assert refused(**NEGATIVE["bad-msg-signature"]["change"]) == "bad_signature"
    one_changed = "E" + base["encrypt"][1:]
    assert refused(encrypt=one_changed) == "bad_signature"
    assert refused(**NEGATIVE["wrong-receive-id"]["change"]) == "wrong_receiver"
    not_base64 = NEGATIVE["not-base64"]["encrypt"]
    signature = sign(base["token"], base["timestamp"], base["nonce"], not_base64)
    assert refused(encrypt=not_base64, msg_signature=signature) == "not_decrypted"
    doctype = NEGATIVE["doctype"]["body"]
    assert (
        reason(open_, doctype, query_of("x", encrypt_type="aes"), "safe") == "bad_body"
    )
    assert set(NEGATIVE) == {
        "bad-msg-signature",
        "signature-instead-of-msg-signature",
        "wrong-receive-id",
        "not-base64",
        "doctype",
    }


@pytest.mark.parametrize("mode", ["plain", "safe"])
@pytest.mark.parametrize("off_s", [1801, -1801])
def test_an_old_or_future_push_is_stale(mode, off_s):
    body, query = safe(RECEIPT) if mode == "safe" else (RECEIPT, query_of())
    now = NOW + timedelta(seconds=off_s)

    assert reason(open_, body, query, mode, now=now) == "stale"
    assert open_(body, query, mode, now=now, window_s=1900).event


def test_a_timestamp_that_is_none_is_stale():
    query = {"timestamp": "soon", "nonce": "n", "signature": sign(TOKEN, "soon", "n")}

    assert reason(open_, RECEIPT, query) == "stale"


# -- bodies ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"hello",
        b"<xml><FromUserName>",
        b"<xml></xml>",
        b"{",
        b"[1]",
        b"{}",
        b"\xff\xfe",
        b"<xml>" + b"<a>" * 50 + b"</a>" * 50 + b"</xml>",
        b'{"a":' * 5000,
        b'<?xml version="1.0" encoding="no-such"?><xml>',
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><xml><FromUserName>&a;</FromUserName></xml>',
        RECEIPT.replace("1395658920", "soon").encode(),
        RECEIPT.replace("1395658920", "9" * 30).encode(),
        RECEIPT.replace("<CreateTime>1395658920</CreateTime>", "").encode(),
        RECEIPT.replace("oia2", "x" * 70).encode(),
        b'{"FromUserName":"o\\u0000","ToUserName":"g","MsgType":"event"}',
        b'{"FromUserName":"o\\ud800","ToUserName":"g","MsgType":"event"}',
    ],
)
def test_an_unreadable_body_is_refused(body):
    assert reason(open_, body, query_of()) == "bad_body"


def test_a_huge_body_is_refused_unread():
    body = b"<xml>" + b" " * MAX_BODY_BYTES

    assert reason(open_, body, {}) == "too_large"


def test_an_encrypted_part_that_is_no_text_is_refused():
    query = query_of("x", encrypt_type="aes")

    for part in ('{"a":1}', "7", '"\\u4f60"', '"\\ud800"', '""'):
        body = f'{{"Encrypt":{part}}}'
        assert reason(open_, body, query, "safe") in {"downgraded", "bad_body"}


def test_a_byte_order_mark_and_blanks_are_passed_over():
    assert open_("\ufeff \n" + RECEIPT, query_of()).event
    body = {
        "ToUserName": "g",
        "FromUserName": "o",
        "CreateTime": "1620973045",
        "MsgType": "event",
        "Event": "SCAN",
    }
    assert open_("\ufeff" + json.dumps(body), query_of()).event == "scan"


def test_an_event_is_read_whole():
    push = open_(RECEIPT, query_of())

    assert push.to_user == "gh_7f083739789a"
    assert push.from_user == "oia2TjuEGTNoeX76QEjQNrcURxG8"
    assert push.created_at == datetime(2014, 3, 24, 11, 2, tzinfo=UTC)
    assert (push.msg_type, push.event) == ("event", "templatesendjobfinish")
    assert push.text == RECEIPT
    assert push.key == (
        "oia2TjuEGTNoeX76QEjQNrcURxG8 1395658920 templatesendjobfinish "
        "3487542469355618313 "
    )


def test_text_keeps_its_entities_and_line_breaks():
    fields = parse_body("<xml><Content>a &lt;b&gt;\n&#x4f60;</Content><E/></xml>")

    assert fields == {"Content": "a <b>\n你", "E": ""}


def test_a_repeated_element_is_a_list_a_single_one_is_not():
    one = "<List><TemplateId>a</TemplateId></List>"
    two = one + "<List><TemplateId>b</TemplateId></List>"
    three = two + "<List><TemplateId>c</TemplateId></List>"

    assert parse_body(f"<x><E>{one}</E></x>")["E"]["List"] == {"TemplateId": "a"}
    assert parse_body(f"<x><E>{two}</E></x>")["E"]["List"] == [
        {"TemplateId": "a"},
        {"TemplateId": "b"},
    ]
    assert len(parse_body(f"<x><E>{three}</E></x>")["E"]["List"]) == 3


# -- what is the same push -------------------------------------------------------------


def event(**fields):
    body = {
        "ToUserName": "gh_1",
        "FromUserName": "o1",
        "CreateTime": 1620973045,
        "MsgType": "event",
        "Event": "TEMPLATESENDJOBFINISH",
        **fields,
    }
    return open_(json.dumps(body), query_of())


def test_a_repeat_has_the_same_key_in_either_spelling():
    assert event(MsgID=7).key == event(MsgID="7").key == event(MsgId=7).key


def test_two_results_of_one_second_have_two_keys():
    keys = {
        event(MsgID=7).key,
        event(MsgID=8).key,
        event(MsgID=7, CreateTime=1620973046).key,
        event(MsgID=7, FromUserName="o2").key,
        event(Event="subscribe", EventKey="qrscene_1").key,
        event(Event="subscribe", EventKey="").key,
        event(Event="unsubscribe").key,
        event(Event="subscribe_msg_popup_event", List={"TemplateId": "a"}).key,
        event(
            Event="subscribe_msg_popup_event",
            List=[{"TemplateId": "a"}, {"TemplateId": "b"}],
        ).key,
    }

    assert len(keys) == 9


def test_a_message_is_known_by_its_id_alone():
    message = {"MsgType": "text", "MsgId": 6054768590064713728, "Content": "hi"}

    assert event(**message).key == event(**message, CreateTime=1).key
    assert event(**message).event == ""


def test_a_key_never_outgrows_its_column():
    push = event(Event="subscribe", EventKey="x" * 5000)
    other = event(Event="subscribe", EventKey="x" * 5001)

    assert len(push.key) <= MAX_KEY
    assert push.key != other.key
    assert len(event(MsgType="text", MsgId="9" * 500).key) <= MAX_KEY


# -- receipts --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "receipt"),
    [
        ({"MsgID": 7, "Status": "success"}, Receipt(7, "success", "")),
        ({"MsgId": "7", "status": "SUCCESS"}, Receipt(7, "success", "")),
        (
            {"MsgID": 3487542469355618313, "Status": "failed:user block"},
            Receipt(3487542469355618313, "failed", "user block"),
        ),
        (
            {"MsgID": 7, "Status": "failed: user block"},
            Receipt(7, "failed", "user block"),
        ),
        (
            {"MsgID": 7, "Status": "failed: system failed"},
            Receipt(7, "failed", "system failed"),
        ),
        (
            {"MsgID": 7, "Status": "failed :system failed"},
            Receipt(7, "failed", "system failed"),
        ),
        # Never heard of: not a success at any rate.
        ({"MsgID": 7, "Status": "lost"}, Receipt(7, "failed", "lost")),
        ({"MsgID": 7}, Receipt(7, "failed", "")),
        # Seen when client_msg_id was used: the delivery is then found by openID.
        ({"MsgID": 0, "Status": "success"}, Receipt(0, "success", "")),
        ({"Status": "success"}, Receipt(0, "success", "")),
        ({"MsgID": 1 << 64, "Status": "success"}, Receipt(0, "success", "")),
        ({"MsgID": "x", "Status": "y" * 500}, Receipt(0, "failed", "y" * 100)),
    ],
)
def test_a_receipt_is_read_in_every_spelling(fields, receipt):
    assert receipt_of(event(**fields)) == receipt
    assert receipt_of(event(Event="templateSENDjobfinish", **fields)) == receipt


def test_other_events_are_no_receipts():
    assert receipt_of(event(Event="subscribe", MsgID=1, Status="success")) is None


def test_the_reasons_are_those_that_are_promised():
    assert set(callbacks.Reason.__args__) == {
        "bad_signature",
        "downgraded",
        "stale",
        "bad_body",
        "wrong_receiver",
        "too_large",
        "not_decrypted",
    }
