"""The phones in a real browser: messages appear, in both languages, no other host."""

import pytest
from playwright.sync_api import expect, sync_playwright


@pytest.fixture(scope="module")
def browser(chromium_path):
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox"]
        )
        yield running
        running.close()


@pytest.fixture
def visit(browser, sandbox):
    """Open the page; requests to other hosts and script errors fail the test."""
    wrong = []
    contexts = []

    def visit(place="", language="en-US", width=1440):
        context = browser.new_context(
            locale=language, viewport={"width": width, "height": 900}
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda r: r.url.startswith(sandbox.url) or wrong.append(r.url),
        )
        page.goto(f"{sandbox.url}/sandbox/{place}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


def test_a_message_appears_on_the_phone_while_one_looks(visit, sandbox, send):
    page = visit()
    phone = page.locator(f"[id='{sandbox.openid(1)}']")
    expect(phone.get_by_text("No message yet")).to_be_visible()

    send(1, values={"thing1": "Owners' meeting"}, url="https://example.com")

    card = phone.locator(".card")
    expect(card.get_by_role("heading")).to_have_text("会议预约提醒")
    expect(card.get_by_text("Owners' meeting")).to_be_visible()
    expect(card.get_by_text("Details")).to_be_visible()


def test_anyone_can_be_searched_and_unfollow(visit, sandbox, send):
    page = visit(language="zh-CN")
    page.get_by_role("searchbox").fill("777")
    page.locator(".hits button").click()
    phone = page.locator(f"[id='{sandbox.openid(777)}']")

    phone.get_by_role("button", name="取消关注").click()

    expect(phone.get_by_text("未关注")).to_be_visible()
    assert send(777)["errcode"] == 43004


def test_markup_in_a_message_is_shown_as_text(visit, sandbox, send):
    send(1, values={"thing1": "<img src=x>", "thing3": "<b>b</b>"})

    phone = visit().locator(f"[id='{sandbox.openid(1)}']")

    expect(phone.get_by_text("<img src=x>")).to_be_visible()
    assert phone.locator("img").count() == 0


def test_a_fault_is_switched_on_and_off(visit, sandbox, send):
    page = visit("#faults")
    page.get_by_role("button", name="Switch on").click()
    expect(page.locator(".fault")).to_contain_text("10 more calls")
    assert send(1)["errcode"] == -1

    page.get_by_role("button", name="Switch off").click()

    expect(page.get_by_text("Everything behaves.")).to_be_visible()
    assert send(1)["errcode"] == 0


def test_the_server_configuration_says_why_it_was_not_saved(visit, sandbox):
    page = visit("#console")
    page.get_by_label("URL").fill("http://127.0.0.1:9/callback")
    page.get_by_label("Token", exact=True).fill("abcdef")
    page.get_by_role("button", name="Check and save").click()

    expect(page.locator(".outcome")).to_contain_text("Not saved.")
    assert sandbox.account()["callback"] is None


@pytest.mark.parametrize("place", ["#phones", "#console", "#platform", "#faults"])
def test_it_fits_a_small_screen(visit, place):
    page = visit(place, width=390)
    page.locator("main > *").first.wait_for()

    too_wide = (
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
    assert not page.evaluate(too_wide)
