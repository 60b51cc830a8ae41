from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from channels_wechat import jsapi
from channels_wechat.models import JsapiTicket
from channels_wechat.wechat.errors import ChannelRefused
from channels_wechat.wechat.jssdk import sign
from tests.factories import ChannelFactory

pytestmark = pytest.mark.django_db(transaction=True)

URL = "https://jums.example.com/s/demo/orders"
GETTICKET = "/cgi-bin/ticket/getticket"


@pytest.fixture
def channel(at_sandbox):
    return ChannelFactory(appid=at_sandbox.appid, app_secret=at_sandbox.secret)


def calls(sandbox):
    return len(sandbox.control("GET", "log", path=GETTICKET))


def test_a_page_is_signed_with_the_accounts_ticket(channel, at_sandbox):
    signed = jsapi.signed(channel, URL)

    ticket = JsapiTicket.objects.get().value
    assert signed.appid == channel.appid
    assert signed.signature == sign(ticket, signed.nonce, signed.timestamp, URL)


def test_the_ticket_is_kept_encrypted_and_asked_for_once(channel, at_sandbox):
    first, second = jsapi.signed(channel, URL), jsapi.signed(channel, URL)

    assert first.nonce != second.nonce
    assert calls(at_sandbox) == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM channels_wechat_jsapiticket")
        ((stored,),) = cursor.fetchall()
    assert JsapiTicket.objects.get().value not in stored


def test_a_ticket_about_to_end_is_renewed(channel, at_sandbox):
    jsapi.signed(channel, URL)
    JsapiTicket.objects.update(
        obtained_at=timezone.now() - timedelta(hours=2),
        expires_at=timezone.now() + timedelta(seconds=30),
    )

    jsapi.signed(channel, URL)

    assert calls(at_sandbox) == 2


def test_of_many_visitors_at_once_one_asks_for_the_ticket(channel, at_sandbox):
    channel.client().quota("/cgi-bin/user/get")  # there is an access token already

    def visit(_number):
        try:
            return jsapi.signed(channel, URL).signature
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        signatures = list(pool.map(visit, range(6)))

    assert all(signatures)
    assert calls(at_sandbox) == 1


def test_a_refusal_is_told(channel, at_sandbox):
    at_sandbox.faults("errcode", errcode=48001, path=GETTICKET)

    with pytest.raises(ChannelRefused):
        jsapi.signed(channel, URL)


def test_no_log_line_carries_the_ticket(channel, at_sandbox, caplog):
    caplog.set_level("DEBUG")

    jsapi.signed(channel, URL)

    assert JsapiTicket.objects.get().value not in caplog.text


def test_the_signed_address_is_the_browsers_to_the_letter(rf, settings):
    settings.PUBLIC_URL = "https://jums.example.com"
    query = "from=timeline&x=%E4%BD%A0&y=a%20b+c"

    request = rf.get("/s/demo/orders", QUERY_STRING=query, headers={"host": "inner"})

    assert jsapi.address_of(request) == f"{URL}?{query}"
    assert jsapi.address_of(rf.get("/s/demo/orders")) == URL


def test_wechats_script_comes_from_wechat_or_its_stand_in(settings):
    settings.WECHAT_OPEN_BASE = "https://open.weixin.qq.com"
    assert jsapi.script_url() == "https://res.wx.qq.com/open/js/jweixin-1.6.0.js"
    settings.WECHAT_OPEN_BASE = "http://127.0.0.1:8001"
    assert jsapi.script_url() == "http://127.0.0.1:8001/open/js/jweixin-1.6.0.js"
