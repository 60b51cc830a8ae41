"""What a business system hears of its messages, from the call to the last receipt, over
five minutes in which nobody listened: chapter 9 of the JUMS API, all of it together."""

from itertools import groupby

import pytest
import time_machine
from django.utils import timezone

from channels_wechat.wechat.limits import parse_fields
from sandbox.people import openid
from sends import callback_urls, clicks, preparing, receipts, sending, telling
from sends.models import Delivery, Send, StatusBatch
from tests.jums_fixture import sent

from .pushes import WeChat
from .receiver import Receiver, pair

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]

VALUES = {"thing": "周会", "time": "2026年5月8日 10:00", "character_string": "A1"}
PARAMS = {"order": "A1", "age": 26}
# People of the sandbox: what is told of them fills several batches.
FOLLOWS, BLOCKS, LEFT, CUSTOM, CROWD = 1, 77, 50, 2, range(79, 151)
# By type: WeChat's own code where it gave one (left: require subscribe).
ERRORS = {1: 9001, 3: 43004, 5: 9201, 8: 9300}
# A receiver is tried every 50 s: six times in five minutes.
TRY_EVERY_S, DOWN_S = 50, 300


@pytest.fixture
def receiver(settings):
    settings.STATUS_CALLBACK_ALLOW_PRIVATE = True
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def clock():
    """Times stand still but for `clock.shift`; no test waits."""
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


@pytest.fixture
def shop(shop, sandbox, settings):
    """The business channel on the sandbox's account, with one of its templates."""
    settings.WECHAT_API_BASE = sandbox.url
    shop.channel.appid, shop.channel.app_secret = sandbox.appid, sandbox.secret
    shop.channel.save()
    known = sandbox.templates()["会议预约提醒"]
    shop.template.template_id = known["template_id"]
    shop.template.fields = [one._asdict() for one in parse_fields(known["content"])]
    shop.template.save()
    shop.data = {one["key"]: VALUES[one["type"]] for one in shop.template.fields}
    for userid, number in [("follows", FOLLOWS), ("blocks", BLOCKS), ("left", LEFT)]:
        shop.bind(userid, openid=openid(sandbox.appid, number))
    for number in CROWD:
        shop.bind(f"u{number}", openid=openid(sandbox.appid, number))
    shop.set(track_clicks=True)
    return shop


def tell():
    """What the sweep does about URLs."""
    for url in telling.urls_due():
        telling.tell(url)


def story(receiver):
    """Return {(msgid, userid or openid): [type, …]} of everything that was told."""

    def whom(item):
        return item["msgid"], item["userid"] or item["sender_id"]

    items = sorted(receiver.items, key=whom)  # stable: each one's order stays
    return {
        key: [item["type"] for item in told] for key, told in groupby(items, key=whom)
    }


def test_a_business_system_hears_the_nine_types_in_order(
    shop, sandbox, receiver, clock, client
):
    callback_urls.add(shop.row, f"{receiver.url}/status")
    receiver.refuses = lambda items: True
    crowd = [f"u{number}" for number in CROWD]
    more = {"callback": {"params": PARAMS}}
    message = [shop.message(url="https://example.com/{{userid}}")]

    def post(**audience):
        body = {"msg_wechatoa": message, **more, **audience}
        send = sent(shop.post("sent", body))
        preparing.prepare(send.pk)
        return send

    # Three messages: one to all kinds of people, one to an openID, one taken back.
    first = post(aud_userid=["follows", "blocks", "left", "nobody", *crowd])
    custom = post(aud_wechatoa=[{"data": [openid(sandbox.appid, CUSTOM)]}])
    sending.drain(shop.channel.pk)
    stopped = post(aud_userid=["follows"])
    assert shop.post(f"retract/{stopped.msgid}").json()["code"] == 0
    sending.drain(shop.channel.pk)
    clock.shift(TRY_EVERY_S)
    tell()

    # Receipts, a click, and a retraction that comes too late.
    deliveries = {one.userid: one for one in Delivery.objects.filter(send=first)}
    wechat = WeChat(shop.channel)
    for userid, outcome in [("follows", "success"), ("blocks", "failed:user block")]:
        one = deliveries[userid]
        answer = wechat.receipt(one.wechat_msgid, outcome, openid=one.openid)
        assert answer.content == b"success"
    receipts.apply_waiting(shop.channel.pk)
    link = clicks.token(deliveries["follows"].pk)
    assert client.get(f"/r/{link}")["Location"] == "https://example.com/follows"
    assert shop.post(f"retract/{first.msgid}").json()["code"] == 0

    # Nobody listens for five minutes; then somebody does.
    for _ in range(DOWN_S // TRY_EVERY_S):
        clock.shift(TRY_EVERY_S)
        tell()
    assert len(receiver.posts) >= DOWN_S // TRY_EVERY_S
    assert not StatusBatch.objects.filter(state="failed").exists()
    receiver.posts.clear()
    receiver.refuses = lambda items: False
    for _ in range(3):
        clock.shift(TRY_EVERY_S)
        tell()

    told = story(receiver)
    assert told == {
        (first.msgid, "follows"): [0, 2, 4, 6, 8],
        (first.msgid, "blocks"): [0, 2, 5, 8],
        (first.msgid, "left"): [0, 3],
        (first.msgid, "nobody"): [1],
        **{(first.msgid, userid): [0, 2, 8] for userid in crowd},
        (custom.msgid, openid(sandbox.appid, CUSTOM)): [0, 2],
        (stopped.msgid, "follows"): [0, 7],
    }
    assert {type_ for types in told.values() for type_ in types} == set(range(9))
    for items, headers, _body in receiver.posts:
        assert 0 < len(items) <= 100
        assert pair(headers) == ":".join(shop.pair)
        assert headers["Content-Type"] == "application/json"
    for item in receiver.items:
        has_the_right_fields(item, shop)
    assert Send.objects.filter(status="running").count() == 0


def has_the_right_fields(item, shop):
    type_ = item["type"]
    expected = {
        "type",
        "channelkey",
        "msgid",
        "userid",
        "sender",
        "sent_time",
        "params",
    }
    if type_ > 1 or not item["userid"]:
        expected.add("sender_id")
        assert item["sender_id"].startswith("o")
    if type_ in {1, 3, 5, 8}:
        expected.add("error")
        assert set(item["error"]) == {"code", "message"}
        assert item["error"]["code"] == ERRORS[type_]
        assert item["error"]["message"]
    assert set(item) == expected
    assert item["channelkey"] == shop.row.key
    assert item["sender"] == (0 if type_ < 2 else 2)
    assert item["params"] == PARAMS
    assert isinstance(item["sent_time"], int)
    assert 0 <= timezone.now().timestamp() - item["sent_time"] < 15 * 60
