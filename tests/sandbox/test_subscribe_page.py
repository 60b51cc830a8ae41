"""Subscribing in a real browser: on the phones page, and on a page with JS-SDK."""

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import expect, sync_playwright

from sandbox.accounts import BIZSEND


@pytest.fixture(scope="module")
def browser(chromium_path):
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox"]
        )
        yield running
        running.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(
        locale="en-US", viewport={"width": 1440, "height": 900}
    )
    wrong = []
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert wrong == []


@pytest.fixture
def shipped(sandbox):
    listed = sandbox.control("GET", "subscriptions")["notices"]
    return {n["title"]: n["priTmplId"] for n in listed}["订单发货通知"]


def left(sandbox, template_id):
    return sandbox.control("GET", "acceptances", template_id=template_id)["left"]


def test_a_reader_of_the_article_subscribes_and_takes_it_back(page, sandbox, shipped):
    page.goto(f"{sandbox.url}/sandbox/")
    phone = page.locator(f"[id='{sandbox.openid(1)}']")
    phone.locator(".chat.ours").click()
    phone.get_by_role("button", name="Subscribe").click()
    phone.get_by_role("button", name="Subscribe").first.click()
    dialog = phone.get_by_role("dialog")
    dialog.get_by_label("物业缴费提醒").uncheck()
    dialog.get_by_role("button", name="Allow").click()

    expect(page.get_by_role("status")).to_contain_text("Subscribed: 1")
    assert left(sandbox, shipped) == 1
    assert sandbox.control("GET", "acceptances")["left"] == 1

    phone.get_by_label("WeChat").click()
    phone.get_by_role("button", name="Notification settings").click()
    expect(phone.get_by_text("1 left")).to_be_visible()
    phone.get_by_role("button", name="Refuse").click()

    expect(phone.get_by_text("1 left")).to_be_hidden()
    assert left(sandbox, shipped) == 0


def test_whoever_does_not_follow_reads_it_under_service_notifications(
    page, sandbox, shipped
):
    openid = sandbox.openid(1)
    sandbox.control("PATCH", f"people/{openid}", {"follows": False})
    body = {"template_id": shipped, "openids": [openid]}
    sandbox.control("POST", "acceptances", body)
    page.goto(f"{sandbox.url}/sandbox/")
    phone = page.locator(f"[id='{openid}']")
    expect(phone.get_by_text("No message yet")).to_be_visible()

    data = {"thing1": "豆", "character_string2": "1", "time3": "9:00", "phrase4": "云"}
    sandbox.post(
        BIZSEND,
        {
            "touser": openid,
            "template_id": shipped,
            "data": {key: {"value": value} for key, value in data.items()},
        },
        access_token=sandbox.token(),
    )

    expect(phone.get_by_text("Service notifications")).to_be_visible()
    expect(phone.locator(".card h3")).to_have_text("订单发货通知")


@pytest.fixture
def site(sandbox):
    """A page with a subscribe button under a strict policy, as a product serves it."""

    def start(template_id, signature=None):
        token = sandbox.token()
        path = "/cgi-bin/ticket/getticket"
        ticket = sandbox.get(path, access_token=token, type="jsapi")["ticket"]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path.endswith(".js"):
                    return self._send(SCRIPT, "text/javascript")
                url = f"http://127.0.0.1:{self.server.server_port}{self.path}"
                signed = f"jsapi_ticket={ticket}&noncestr=n&timestamp=1&url={url}"
                digest = hashlib.sha1(signed.encode()).hexdigest()
                page = PAGE.format(
                    origin=sandbox.url,
                    appid=sandbox.appid,
                    template=template_id,
                    signature=signature or digest,
                )
                self._send(page, "text/html; charset=utf-8")

            def _send(self, text, content_type):
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                policy = f"default-src 'self'; script-src 'self' {sandbox.url}"
                self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/s/news"

    running = []
    yield start
    for server in running:
        server.shutdown()
        server.server_close()


PAGE = """<!doctype html><html><head><meta charset="utf-8"></head>
<body data-appid="{appid}" data-signature="{signature}">
<wx-open-subscribe template="{template}">
  <script type="text/wxtag-template" slot="style">
    <style>.b {{ color: red }}</style>
  </script>
  <script type="text/wxtag-template"><button class="b">Tell me</button></script>
</wx-open-subscribe><output></output>
<script src="{origin}/open/js/jweixin-1.6.0.js"></script>
<script src="/page.js"></script>
</body></html>"""
SCRIPT = """
const { appid, signature } = document.body.dataset;
const show = (text) => (document.querySelector("output").textContent = text);
wx.config({ appId: appid, timestamp: 1, nonceStr: "n", signature, jsApiList: [],
  openTagList: ["wx-open-subscribe"] });
wx.error((failed) => show(failed.errMsg));
const tag = document.querySelector("wx-open-subscribe");
tag.addEventListener("success", (event) => show(event.detail.subscribeDetails));
tag.addEventListener("error", (event) => show(event.detail.errCode));
"""


@pytest.mark.parametrize("way", ["open", "browser"])
def test_a_pages_button_subscribes_the_person_who_looks(
    page, sandbox, site, shipped, way
):
    page.goto(f"{sandbox.url}/sandbox/{way}?person=4&url={site(shipped)}")

    page.get_by_role("button", name="Tell me").click()
    page.get_by_role("button", name="Allow").click()

    expect(page.locator("output")).to_contain_text('status\\":\\"accept')
    counts = sandbox.control("GET", "acceptances", counts=1)["counts"]
    assert counts == {sandbox.openid(4): 1}


def test_a_closed_dialog_is_a_cancel(page, sandbox, site, shipped):
    page.goto(f"{sandbox.url}/sandbox/open?person=4&url={site(shipped)}")
    page.get_by_role("button", name="Tell me").click()
    page.get_by_role("dialog").wait_for()

    page.mouse.click(700, 20)

    expect(page.locator("output")).to_contain_text("cancel")
    assert left(sandbox, shipped) == 0


def test_a_wrong_signature_draws_no_button(page, sandbox, site, shipped):
    url = site(shipped, signature="0" * 40)
    page.goto(f"{sandbox.url}/sandbox/open?person=4&url={url}")

    expect(page.locator("output")).to_contain_text("invalid signature")
    expect(page.get_by_role("button", name="Tell me")).to_be_hidden()


def test_an_unknown_template_is_the_tags_error(page, sandbox, site):
    page.goto(f"{sandbox.url}/sandbox/open?person=4&url={site('none')}")

    page.get_by_role("button", name="Tell me").click()

    expect(page.locator("output")).to_have_text("20001")
