"""The hosted page in Chromium, as WeChat's browser, against the sandbox."""

import time

import pytest
from playwright.sync_api import sync_playwright

from sandbox.inside import AGENT
from sends import receipts
from sends.models import Acceptance, InboundEvent
from templates_mgmt import refreshing
from templates_mgmt.models import SubscribePage, Template
from tests.factories import ChannelFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def channel(sandbox, settings, live_server):
    # The sandbox's own name: between two sites the browser keeps its cookie back.
    settings.PUBLIC_URL = live_server.url.replace("localhost", "127.0.0.1")
    settings.WECHAT_API_BASE = settings.WECHAT_OPEN_BASE = sandbox.url
    channel = ChannelFactory(
        code="demo", appid=sandbox.appid, app_secret=sandbox.secret
    )
    sandbox.callback(
        channel.callback_url,
        channel.callback_token,
        mode="safe",
        encoding_aes_key=channel.encoding_aes_key,
    )
    refreshing.refresh(channel)
    return channel


@pytest.fixture
def page(channel):
    page = SubscribePage.objects.create(channel=channel, name="orders", title="Orders")
    one_time = Template.objects.filter(kind="subscribe", long_term=False)
    page.templates.set(one_time.order_by("pk")[:2])
    return page


@pytest.fixture
def phone(chromium_path, sandbox):
    """WeChat's browser of person 5; nothing may be refused by the page's policy."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox"]
        )
        context = started.new_context(user_agent=AGENT, locale="en")
        context.add_cookies(
            [{"name": "sandbox_person", "value": "5", "url": sandbox.url}]
        )
        tab = context.new_page()
        tab.complaints = []
        tab.on(
            "console",
            lambda said: (
                tab.complaints.append(said.text) if said.type == "error" else None
            ),
        )
        yield tab
        started.close()


def accepted(channel):
    """Apply what WeChat pushed; return {openid: how many messages are permitted}."""
    receipts.apply_waiting(channel.pk)
    return dict(Acceptance.objects.values_list("openid", "left"))


def wait_for_pushes(count, timeout_s=15):
    until = time.monotonic() + timeout_s
    while InboundEvent.objects.count() < count:
        assert time.monotonic() < until, "WeChat pushed nothing"
        time.sleep(0.05)


def test_a_visitor_subscribes_and_wechats_push_is_counted(
    page, channel, phone, sandbox
):
    phone.goto(page.url)
    phone.click("wx-open-subscribe button")
    phone.click("#sandbox-wx-dialog .allow")
    phone.wait_for_selector("text=Thank you")
    wait_for_pushes(1)

    assert accepted(channel) == {sandbox.openid(5): 1}
    assert Acceptance.objects.count() == 2
    assert phone.locator(".is-accepted").count() == 2
    assert phone.complaints == []


def test_a_result_forged_by_the_page_is_shown_to_the_forger_and_counts_nothing(
    page, channel, phone
):
    phone.goto(page.url)
    phone.wait_for_selector("wx-open-subscribe button")

    statuses = phone.evaluate(
        """async (callback) => {
            const id = document.querySelector("[data-template]").dataset.template;
            const subscribeDetails = JSON.stringify({[id]: '{"status":"accept"}'});
            const detail = {errMsg: "subscribe:ok", subscribeDetails};
            const button = document.getElementById("subscribe-button");
            button.dispatchEvent(new CustomEvent("success", {detail}));
            const push = `<xml><ToUserName>gh_1</ToUserName>
                <FromUserName>o1</FromUserName><CreateTime>1</CreateTime><MsgType>event</MsgType>
                <Event>subscribe_msg_popup_event</Event></xml>`;
            const body = JSON.stringify(detail);
            return [
                (await fetch(location.href, {method: "POST", body})).status,
                (await fetch(callback, {method: "POST", body: push})).status,
            ];
        }""",
        channel.callback_url,
    )

    assert statuses == [403, 403]  # no CSRF token; no signature
    assert not InboundEvent.objects.exists()
    assert accepted(channel) == {}


def test_without_the_domain_at_wechat_the_page_says_where_to_enter_it(
    page, phone, sandbox
):
    sandbox.control("PATCH", f"domains/{sandbox.appid}", {"js_domains": ["x.com"]})

    phone.goto(page.url)

    phone.wait_for_selector("text=JS接口安全域名")
