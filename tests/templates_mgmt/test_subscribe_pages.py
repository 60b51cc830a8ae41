import json
import re

import pytest
from django.test import Client

from channels_wechat.models import JsapiTicket
from channels_wechat.wechat.jssdk import sign
from sandbox.inside import AGENT
from templates_mgmt import public_pages
from templates_mgmt.models import SubscribePage
from tests.factories import ChannelFactory, TemplateFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def channel(sandbox, settings):
    settings.WECHAT_API_BASE = settings.WECHAT_OPEN_BASE = sandbox.url
    return ChannelFactory(
        code="shop", name="Shop", appid=sandbox.appid, app_secret=sandbox.secret
    )


def template(channel, number, **fields):
    return TemplateFactory(
        channel=channel, kind="subscribe", template_id=f"tpl-{number}", **fields
    )


@pytest.fixture
def page(channel):
    page = SubscribePage.objects.create(
        channel=channel, name="orders", title="Order news", colour="#123abc"
    )
    page.templates.set([template(channel, 1), template(channel, 2)])
    return page


@pytest.fixture
def phone():
    return Client(headers={"user-agent": AGENT, "accept-language": "en"})


def attribute(html, name):
    return re.search(rf'data-{name}="([^"]*)"', html)[1]


def test_the_page_has_wechats_button_and_a_signature_for_its_address(page, phone):
    answer = phone.get("/s/shop/orders", QUERY_STRING="from=timeline&x=%E4%BD%A0")

    html = answer.content.decode()
    assert answer.status_code == 200
    assert 'template="tpl-1,tpl-2"' in html
    assert "background:#123abc" in html
    assert attribute(html, "appid") == page.channel.appid
    ticket = JsapiTicket.objects.get().value
    assert ticket not in html
    url = "https://jums.example.com/s/shop/orders?from=timeline&x=%E4%BD%A0"
    expected = sign(ticket, attribute(html, "nonce"), attribute(html, "timestamp"), url)
    assert attribute(html, "signature") == expected
    assert "no-cache" in answer["Cache-Control"]


def test_only_wechats_hosts_are_let_in(page, phone, settings):
    settings.WECHAT_OPEN_BASE = "https://open.weixin.qq.com"

    answer = phone.get("/s/shop/orders")

    policy = dict(
        part.strip().split(" ", 1)
        for part in answer["Content-Security-Policy"].split(";")
    )
    assert policy["script-src"] == (
        "'self' https://res.wx.qq.com https://res2.wx.qq.com"
    )
    assert policy["default-src"] == "'self'"
    assert policy["form-action"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert 'src="https://res.wx.qq.com/open/js/jweixin-1.6.0.js"' in (
        answer.content.decode()
    )


def test_every_other_page_keeps_the_strict_policy(page, client):
    assert "qq.com" not in client.get("/s/shop/orders")["Content-Security-Policy"]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_forged_result_has_nowhere_to_go(page, phone, method):
    forged = {
        "errMsg": "subscribe:ok",
        "subscribeDetails": json.dumps({"tpl-1": '{"status":"accept"}'}),
    }

    send = getattr(phone, method)
    answer = send("/s/shop/orders", json.dumps(forged), content_type="application/json")

    assert answer.status_code == 405


def test_outside_wechat_it_says_so_with_a_qr_code(page, client):
    answer = client.get("/s/shop/orders")

    html = answer.content.decode()
    assert answer.status_code == 200
    assert "open this page in WeChat" in html
    assert "<svg" in html
    assert "wx-open-subscribe" not in html
    assert not JsapiTicket.objects.exists()


def test_a_template_that_is_gone_is_left_out(page, phone):
    page.templates.filter(template_id="tpl-1").update(removed_at="2026-01-01T00:00Z")

    assert 'template="tpl-2"' in phone.get("/s/shop/orders").content.decode()


def test_with_nothing_to_offer_it_says_so_kindly(page, phone):
    page.templates.update(removed_at="2026-01-01T00:00Z")

    answer = phone.get("/s/shop/orders")

    assert answer.status_code == 503
    assert "Nothing to subscribe to" in answer.content.decode()


@pytest.mark.parametrize("what", ["page", "channel"])
def test_a_closed_page_or_channel_takes_a_break(page, phone, what):
    one = page if what == "page" else page.channel
    one.enabled = False
    one.save()

    assert phone.get("/s/shop/orders").status_code == 503


def test_when_wechat_refuses_us_the_visitor_is_asked_back(page, phone, sandbox):
    sandbox.faults("errcode", errcode=48001, path="/cgi-bin/ticket/getticket")

    answer = phone.get("/s/shop/orders")

    assert answer.status_code == 502
    assert "48001" not in answer.content.decode()


@pytest.mark.parametrize(
    "address", ["/s/nobody/orders", "/s/shop/other", "/s/shop/Orders", "/s/shop/"]
)
def test_an_address_nobody_made_is_not_found(page, phone, address):
    assert phone.get(address).status_code == 404


def test_a_page_costs_a_handful_of_queries(page, phone, django_assert_max_num_queries):
    phone.get("/s/shop/orders")

    with django_assert_max_num_queries(3):
        phone.get("/s/shop/orders")


def test_the_page_speaks_chinese(page, client):
    answer = client.get("/s/shop/orders", headers={"accept-language": "zh-CN"})

    assert 'lang="zh-CN"' in answer.content.decode()


def test_the_policy_of_a_stand_in_names_it_alone(settings):
    settings.WECHAT_OPEN_BASE = "http://127.0.0.1:8001"

    assert "qq.com" not in public_pages.policy()
    assert "script-src 'self' http://127.0.0.1:8001;" in public_pages.policy()
