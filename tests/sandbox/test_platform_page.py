"""The platform in a real browser: scan, confirm, take back, release test, a chat."""

import re

import pytest
from playwright.sync_api import expect, sync_playwright

from sandbox.bundled import SECOND_APPID, UNVERIFIED_APPID
from sandbox.people import openid


@pytest.fixture(scope="module")
def browser(chromium_path):
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox"]
        )
        yield running
        running.close()


@pytest.fixture
def page(browser, sandbox):
    """A page; script errors and blocked content fail the test."""
    wrong = []
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console",
        lambda m: "Content Security Policy" in m.text and wrong.append(m.text),
    )
    yield page
    context.close()
    assert wrong == []


@pytest.fixture
def token(component):
    return component.token()["component_access_token"]


@pytest.fixture
def click_through(page, sandbox, component, token):
    """Reach the authorisation page by a click on the platform's own page."""

    def click_through(path="/cgi-bin/componentloginpage", policy="origin"):
        link = component.link(token, page=path, auth_type=1)
        link = link.replace("https://mp.weixin.qq.com", sandbox.url)
        html = f'<a href="{link}">Scan</a>'.replace("&", "&amp;")
        page.route(
            f"{component.base}/**",
            lambda route: route.fulfill(
                body=html if route.request.url.endswith("/start") else "back",
                content_type="text/html",
                headers={"Referrer-Policy": policy},
            ),
        )
        page.goto(f"{component.base}/start")
        page.get_by_role("link", name="Scan").click()

    return click_through


def test_a_scan_leads_back_with_a_code(page, sandbox, component, click_through):
    sandbox.settings(authorised_order="event_first")
    click_through()

    page.get_by_role("button", name="Scan it").click()
    page.get_by_role("button", name=re.compile("Spruce Property")).click()
    page.get_by_label("Coupons").uncheck()
    page.get_by_role("button", name="Authorise", exact=True).click()

    page.wait_for_url(re.compile(r"/wechattpp/authorized/state\?auth_code=.+600$"))
    [grant] = sandbox.platform()["authorisations"]
    assert grant["appid"] == SECOND_APPID
    assert 8 not in grant["func_ids"]
    assert component.events("authorized")


def test_the_page_on_the_phone_fills_it(page, sandbox, component, click_through):
    page.set_viewport_size({"width": 390, "height": 780})
    click_through("/wxaopen/safe/bindcomponent")

    page.get_by_role("button", name=re.compile("Spruce New Store")).click()
    too_wide = (
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
    assert not page.evaluate(too_wide)
    page.get_by_role("button", name="Authorise", exact=True).click()

    page.wait_for_url(re.compile("/wechattpp/authorized/state"))
    [grant] = sandbox.platform()["authorisations"]
    assert (grant["appid"], grant["verified"]) == (UNVERIFIED_APPID, False)


def test_cancelling_authorises_nothing(page, sandbox, component, click_through):
    click_through()
    page.get_by_role("button", name="Scan it").click()
    page.get_by_role("button", name="Cancel").click()

    expect(page.get_by_text("Nothing was authorised")).to_be_visible()
    assert sandbox.platform()["authorisations"] == []


@pytest.mark.parametrize("policy", ["no-referrer", "same-origin"])
def test_a_page_that_hides_itself_is_refused(page, click_through, policy):
    click_through(policy=policy)

    expect(page.get_by_role("heading")).to_have_text("This page cannot be opened")
    expect(page.get_by_text("(empty) / 127.0.0.1")).to_be_visible()


def test_an_unreleased_platform_is_explained(page, sandbox, component, click_through):
    sandbox.platform(released=False)
    click_through()
    page.get_by_role("button", name="Scan it").click()
    page.get_by_role("button", name=re.compile("Spruce Property")).click()
    page.get_by_role("button", name="Authorise", exact=True).click()

    expect(page.get_by_role("alert")).to_contain_text("61028")


def test_an_administrator_changes_sets_and_takes_it_back(
    page, sandbox, component, token
):
    component.authorise(token, order="event_first")
    page.goto(f"{sandbox.url}/sandbox/#platform")
    phone = page.locator(".administrator")
    phone.get_by_label("Menu").uncheck()
    phone.get_by_role("button", name="Save permissions").click()
    component.wait_for_event("updateauthorized")

    page.on("dialog", lambda dialog: dialog.accept())
    phone.get_by_role("button", name="De-authorise").click()

    expect(page.get_by_text("No account has authorised")).to_be_visible()
    component.wait_for_event("unauthorized")


def test_settings_and_the_release_test_on_the_page(page, sandbox, component):
    page.goto(f"{sandbox.url}/sandbox/#platform")
    page.get_by_label("Login domain").fill("jums.example.com")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert sandbox.platform()["login_domain"] == "jums.example.com"

    page.get_by_role("button", name="Run the release test").click()

    expect(page.locator(".case.good")).to_have_count(1, timeout=20_000)
    expect(page.locator(".case.bad")).to_have_count(3)


def test_someone_writes_and_is_answered(page, sandbox, component, token):
    component.authorise(token)
    component.receiver.reply = component.passive("<b>收到</b>".replace("<", "&lt;"))
    person = openid(SECOND_APPID, 1)
    page.goto(f"{sandbox.url}/sandbox/#phones/{SECOND_APPID}")
    phone = page.locator(f"[id='{person}']")
    phone.get_by_role("button", name=re.compile("Spruce Property")).click()

    phone.get_by_placeholder("Write to the account…").fill("你好")
    phone.get_by_role("button", name="Send").click()

    expect(phone.locator(".bubble.mine")).to_have_text("你好")
    expect(phone.locator(".bubble:not(.mine)")).to_have_text("<b>收到</b>")
