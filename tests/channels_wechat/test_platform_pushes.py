"""What is pushed to the platform's two addresses: believed or not, and once only."""

import time

import pytest
from django.test import Client

from channels_wechat import platforms
from channels_wechat.models import (
    Authorization,
    AuthorizationCode,
    Channel,
    Platform,
    PlatformEvent,
)
from channels_wechat.wechat.callbacks import parse_body
from channels_wechat.wechat.crypto import MessageCrypt, sign
from sends.models import CallbackRefusal, InboundEvent
from tests.factories import ChannelFactory
from tests.sends.pushes import ReceiverClient

pytestmark = pytest.mark.django_db
EVENT = "/wechattpp/event"
OLD_KEY = "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba"
TEST_ACCOUNT = "wx570bc396a51b8ff8"


class WeChat:
    """Pushes as the Open Platform does."""

    def __init__(self, settings, client):
        self.settings, self.client = settings, client
        self.appid = settings.WECHATTPP_COMPONENT_APP_ID

    def crypt(self, key="", receiver=""):
        return MessageCrypt(
            self.settings.WECHATTPP_ENCODING_TOKEN,
            key or self.settings.WECHATTPP_ENCODING_AES_KEYS[0],
            receiver or self.appid,
        )

    def query(self, *parts, at=None):
        stamp = str(int(at or time.time()))
        token = self.settings.WECHATTPP_ENCODING_TOKEN
        return {
            "timestamp": stamp,
            "nonce": "4711",
            "signature": sign(token, stamp, "4711"),
            "encrypt_type": "aes",
            "msg_signature": sign(token, stamp, "4711", *parts),
        }

    def push(self, path, text, *, key="", receiver="", at=None, **query):
        encrypted = self.crypt(key, receiver).encrypt(text)
        body = f"<xml><AppId>{self.appid}</AppId><Encrypt>{encrypted}</Encrypt></xml>"
        return self.client.post(
            path,
            body,
            content_type="text/xml",
            query_params={**self.query(encrypted, at=at), **query},
        )

    def event(self, info_type, *, created=None, how=None, **fields):
        inner = "".join(f"<{k}><![CDATA[{v}]]></{k}>" for k, v in fields.items())
        text = (
            f"<xml><AppId>{self.appid}</AppId>"
            f"<CreateTime>{int(created or time.time())}</CreateTime>"
            f"<InfoType>{info_type}</InfoType>{inner}</xml>"
        )
        return self.push(EVENT, text, **(how or {}))

    def ticket(self, value="ticket@@@1", **how):
        return self.event(
            "component_verify_ticket",
            created=how.pop("created", None),
            how=how,
            ComponentVerifyTicket=value,
        )

    def message(self, appid, to_user, content="hi", msgid=6425, event="", **how):
        what = (
            f"<MsgType>event</MsgType><Event>{event}</Event>"
            if event
            else f"<MsgType>text</MsgType><Content>{content}</Content>"
            f"<MsgId>{msgid}</MsgId>"
        )
        text = (
            f"<xml><ToUserName>{to_user}</ToUserName><FromUserName>o-1</FromUserName>"
            f"<CreateTime>{int(time.time())}</CreateTime>{what}</xml>"
        )
        return self.push(f"/wechattpp/{appid}/message", text, **how)

    def said(self, answer):
        """Return the text that a passive reply shows."""
        outer = parse_body(answer.content.decode())
        signature = sign(
            self.settings.WECHATTPP_ENCODING_TOKEN,
            outer["TimeStamp"],
            outer["Nonce"],
            outer["Encrypt"],
        )
        assert outer["MsgSignature"] == signature
        inner = parse_body(self.crypt().decrypt(outer["Encrypt"]))
        assert (inner["ToUserName"], inner["MsgType"]) == ("o-1", "text")
        return inner["Content"]


@pytest.fixture
def wechat(platform_set_up, request):
    return WeChat(platform_set_up, getattr(request, "param", Client)())


# Messages of accounts come to the web process or to the receiver.
both = pytest.mark.parametrize(
    "wechat", [Client, ReceiverClient], ids=["web", "receiver"], indirect=True
)


@pytest.fixture
def channel(wechat):
    channel = ChannelFactory(authorization="platform", app_secret="")
    Authorization.objects.create(
        channel=channel,
        platform=platforms.current(),
        refresh_token="refreshtoken@@@1",
        authorised_at="2026-11-22T00:00:00Z",
    )
    return channel


def log():
    lines = PlatformEvent.objects.order_by("pk")
    return list(lines.values_list("kind", "detail", "count"))


# -- the authorisation event URL -------------------------------------------------------


def test_a_ticket_is_kept(wechat):
    answer = wechat.ticket("ticket@@@1")

    assert (answer.status_code, answer.content) == (200, b"success")
    assert Platform.objects.get().ticket == "ticket@@@1"


def test_a_ticket_that_was_overtaken_changes_nothing(wechat):
    now = time.time()
    wechat.ticket("newer", created=now)
    answer = wechat.ticket("older", created=now - 600)

    assert answer.content == b"success"
    assert Platform.objects.get().ticket == "newer"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"msg_signature": "0" * 40}, b"bad_signature"),
        ({"msg_signature": ""}, b"downgraded"),
        ({"encrypt_type": "raw"}, b"downgraded"),
        ({"receiver": "wx0000000000000bad"}, b"wrong_receiver"),
        ({"key": OLD_KEY}, b"not_decrypted"),
        ({"at": time.time() - 31 * 60}, b"stale"),
        ({"at": time.time() + 35 * 60}, b"stale"),
    ],
)
def test_an_event_that_is_not_believed_is_refused_and_noted(wechat, how, reason):
    answer = wechat.ticket(**how)

    assert (answer.status_code, answer.content) == (403, reason)
    assert platforms.current().ticket == ""
    ((kind, detail, _count),) = log()
    assert kind == "refused_push"
    assert detail.startswith(reason.decode())


def test_the_key_before_a_change_still_opens(wechat):
    wechat.settings.WECHATTPP_ENCODING_AES_KEYS += [OLD_KEY]

    assert wechat.ticket(key=OLD_KEY).content == b"success"


def test_a_flood_of_the_same_refusal_is_one_line(wechat):
    for _ in range(5):
        wechat.ticket(receiver="wx0000000000000bad")

    assert len(log()) == 1


def test_a_withdrawal_ends_the_channel_at_once(wechat, channel):
    answer = wechat.event("unauthorized", AuthorizerAppid=channel.appid)

    channel.refresh_from_db()
    granted = Authorization.objects.get()
    assert answer.content == b"success"
    assert (channel.status, channel.refused_errcode) == ("unauthorized", 61003)
    assert granted.ended_at
    assert granted.refresh_token == ""


def test_a_replayed_withdrawal_does_not_end_a_newer_authorisation(wechat, channel):
    created = time.time() - 5
    how = {"created": created, "AuthorizerAppid": channel.appid}
    wechat.event("unauthorized", **how)
    Authorization.objects.update(ended_at=None)
    Channel.objects.update(refused_at=None)

    answer = wechat.event("unauthorized", **how)

    assert answer.content == b"success"
    assert Authorization.objects.get().ended_at is None


def test_an_old_withdrawal_that_comes_late_is_ignored(wechat, channel):
    created = time.time() - 60
    Authorization.objects.update(authorised_at="2100-01-01T00:00:00Z")

    answer = wechat.event(
        "unauthorized", created=created, AuthorizerAppid=channel.appid
    )

    assert answer.content == b"success"
    channel.refresh_from_db()
    assert channel.status != "unauthorized"


def test_an_event_of_an_unknown_account_or_kind_is_a_success_and_a_line(wechat):
    first = wechat.event("unauthorized", AuthorizerAppid="wx000000000000dead")
    second = wechat.event("notify_third_fasteregister", AuthorizerAppid="wx1")

    assert (first.content, second.content) == (b"success", b"success")
    assert [kind for kind, _detail, _count in log()] == ["unauthorized", "other"]


def test_an_authorisation_is_stored_before_the_answer(wechat):
    ends = str(int(time.time()) + 600)
    for _ in range(2):
        wechat.event(
            "authorized",
            created=1700000000,
            AuthorizerAppid="wx000000000000dead",
            AuthorizationCode="queryauthcode@@@1",
            AuthorizationCodeExpiredTime=ends,
            PreAuthCode="preauthcode@@@1",
        )

    code = AuthorizationCode.objects.get()
    assert (code.state, code.appid) == ("waiting", "wx000000000000dead")
    assert code.value == "queryauthcode@@@1"
    assert len(log()) == 1


@pytest.mark.parametrize("path", [EVENT, f"/wechattpp/{TEST_ACCOUNT}/message"])
def test_wechats_look_at_an_address_is_answered(wechat, path):
    token = wechat.settings.WECHATTPP_ENCODING_TOKEN
    query = {
        "timestamp": "1714036504",
        "nonce": "1",
        "echostr": "4375120948345356249",
        "signature": sign(token, "1714036504", "1"),
    }

    right = wechat.client.get(path, query)
    wrong = wechat.client.get(path, {**query, "signature": "0" * 40})

    assert (right.status_code, right.content) == (200, b"4375120948345356249")
    assert wrong.status_code == 403


def test_without_a_platform_there_is_no_such_address(client):
    assert client.post(EVENT, "x", content_type="text/xml").status_code == 404
    path = f"/wechattpp/{TEST_ACCOUNT}/message"
    assert client.post(path, "x", content_type="text/xml").status_code == 404


# -- messages of authorised accounts ---------------------------------------------------


@both
def test_a_message_is_stored_once_for_its_channel(wechat, channel):
    answers = [wechat.message(channel.appid, channel.original_id) for _ in range(2)]

    assert [a.content for a in answers] == [b"success", b"success"]
    assert InboundEvent.objects.get().channel == channel
    channel.refresh_from_db()
    assert channel.last_push_at


@both
def test_a_message_for_another_receiver_is_refused(wechat, channel):
    answer = wechat.message(channel.appid, "gh_somebodyelse")

    assert (answer.status_code, answer.content) == (403, b"wrong_receiver")
    assert not InboundEvent.objects.exists()
    assert CallbackRefusal.objects.get().channel == channel


@both
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"msg_signature": "0" * 40}, b"bad_signature"),
        ({"receiver": "wx0000000000000bad"}, b"wrong_receiver"),
        ({"encrypt_type": ""}, b"downgraded"),
        ({"at": time.time() - 31 * 60}, b"stale"),
    ],
)
def test_a_message_that_is_not_believed_is_refused(wechat, channel, how, reason):
    answer = wechat.message(channel.appid, channel.original_id, **how)

    assert (answer.status_code, answer.content) == (403, reason)
    assert not InboundEvent.objects.exists()


def test_the_accounts_own_appid_is_not_the_receive_id(wechat, channel):
    answer = wechat.message(channel.appid, channel.original_id, receiver=channel.appid)

    assert answer.status_code == 403


@both
def test_an_unknown_account_is_a_success_and_a_line(wechat):
    answer = wechat.message("wx000000000000dead", "gh_1")

    assert answer.content == b"success"
    assert [kind for kind, _detail, _count in log()] == ["unknown_account"]
    assert not InboundEvent.objects.exists()


@both
def test_a_channel_with_a_secret_takes_nothing_from_the_platform(wechat):
    channel = ChannelFactory()

    answer = wechat.message(channel.appid, channel.original_id)

    assert answer.content == b"success"
    assert not InboundEvent.objects.exists()


# -- the release test ------------------------------------------------------------------


@both
def test_case_2_is_answered_in_an_encrypted_reply(wechat):
    answer = wechat.message(
        TEST_ACCOUNT, "gh_3c884a361561", "TESTCOMPONENT_MSG_TYPE_TEXT"
    )

    assert wechat.said(answer) == "TESTCOMPONENT_MSG_TYPE_TEXT_callback"
    assert log() == [("release_test", "case 2", 1)]


@both
def test_case_3_is_answered_with_nothing_at_once(wechat):
    answer = wechat.message(TEST_ACCOUNT, "gh_3c884a361561", "QUERY_AUTH_CODE:q@@@1")

    assert (answer.status_code, answer.content) == (200, b"")
    assert log() == [("release_test", "case 3", 1)]


def test_case_4_names_the_event_in_wechats_letters(wechat):
    answer = wechat.message(TEST_ACCOUNT, "gh_3c884a361561", event="LOCATION")

    assert wechat.said(answer) == "LOCATIONfrom_callback"


def test_no_other_account_is_answered_so(wechat, channel):
    answer = wechat.message(
        channel.appid, channel.original_id, "TESTCOMPONENT_MSG_TYPE_TEXT"
    )

    assert answer.content == b"success"


def test_a_test_account_must_be_believed_as_well(wechat):
    answer = wechat.message(
        TEST_ACCOUNT,
        "gh_3c884a361561",
        "TESTCOMPONENT_MSG_TYPE_TEXT",
        msg_signature="0" * 40,
    )

    assert answer.status_code == 403
