"""An operator's whole way in a browser: from an Excel file to phones and receipts."""

import re

import pytest
from openpyxl import Workbook
from playwright.sync_api import expect, sync_playwright

from sandbox.accounts import DEMO_APPID
from sandbox.people import openid

LOGIN, PASSWORD = "operator", "browser-test-1"
SECRET = "5a0db0c5e70000015a0db0c5e7000001"
# Number 50 does not follow any more, number 77 refuses messages.
PEOPLE = range(1, 81)


@pytest.fixture
def workbook(tmp_path):
    book = Workbook()
    book.active.append(["userid", "wechatoa_openid", "tag"])
    for n in PEOPLE:
        book.active.append([f"u{n:04}", openid(DEMO_APPID, n), "tea"])
    path = tmp_path / "people.xlsx"
    book.save(path)
    return path


@pytest.fixture
def page(chromium_path, stack, sandbox):
    """A browser page; script errors and requests to other hosts fail the test."""
    wrong = []
    ours = (stack.url, sandbox.url, "data:", "blob:")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox"]
        )
        context = browser.new_context(
            locale="en-US", viewport={"width": 1440, "height": 900}
        )
        page = context.new_page()
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda r: r.url.startswith(ours) or wrong.append(f"asked {r.url}"),
        )
        page.on(
            "console",
            lambda m: "Content Security Policy" in m.text and wrong.append(m.text),
        )
        yield page
        if page.url.startswith("http"):
            page.screenshot(path=str(stack.place / "last-page.png"), full_page=True)
        browser.close()
    assert wrong == []


def log_in(page, url):
    page.goto(f"{url}/")
    page.get_by_label("Username").fill(LOGIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_title(re.compile("Dashboard"))


def connect_channel(page, url):
    """Create the channel, check it; return what WeChat's console is to be told."""
    page.goto(f"{url}/console/channels_wechat/channel/add/")
    page.get_by_label("Name").fill("Spruce Living")
    page.locator("[name=code]").fill("spruce")
    page.get_by_label("AppID").fill(DEMO_APPID)
    page.get_by_label("AppSecret").fill(SECRET)
    page.get_by_role("button", name="Save", exact=True).click()
    settings = page.locator("section", has_text="What goes where in WeChat's console")
    return {
        label: settings.locator("dt", has_text=label).locator("+ dd code").inner_text()
        for label in ("URL", "Token", "EncodingAESKey")
    }


def configure_wechat(page, sandbox_url, told):
    """Do at the stand-in what an administrator does at mp.weixin.qq.com."""
    page.goto(f"{sandbox_url}/sandbox/#console")
    page.get_by_label("URL").fill(told["URL"])
    page.get_by_label("Token", exact=True).fill(told["Token"])
    page.get_by_label("EncodingAESKey").fill(told["EncodingAESKey"])
    page.get_by_label("Message encryption").select_option("safe")
    page.get_by_role("button", name="Check and save").click()
    expect(page.locator(".outcome")).to_contain_text("Verified and saved")


def check_and_refresh(page, url):
    page.goto(f"{url}/console/channels_wechat/channel/")
    page.get_by_role("link", name=re.compile("Spruce Living")).click()
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("Ready", exact=True).first).to_be_visible()
    page.get_by_role("button", name=re.compile("Refresh templates")).first.click()
    expect(page.get_by_text(re.compile("4 added"))).to_be_visible()


def upload(page, url, workbook):
    page.goto(f"{url}/console/users/upload/add/")
    page.get_by_label("File").set_input_files(workbook)
    page.get_by_label("Channel").select_option(label="Spruce Living")
    page.get_by_role("button", name=re.compile("Look at the file")).click()
    expect(page.get_by_text("All 80 rows are fine")).to_be_visible()
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_text("Finished").first).to_be_visible()


def compose_and_submit(page, url):
    page.goto(f"{url}/console/sends/send/add/")
    page.locator("label.choice", has_text="会议预约提醒").click()
    expect(page.locator("[data-card]")).to_contain_text("会议主题")
    page.get_by_role("button", name="Next: audience").click()

    page.get_by_label("Everyone bound to the channel").check()
    page.get_by_role("button", name=re.compile("Next|Use")).first.click()

    page.get_by_label(re.compile("thing1")).fill("Owners {{userid}}")
    page.get_by_label(re.compile("time2")).fill("2026年5月8日 10:00")
    page.get_by_label(re.compile("thing3")).fill("三楼会议室")
    page.get_by_label("Link").fill("https://example.com/meeting")
    expect(page.locator("[data-preview]")).to_contain_text("Owners u0001")
    page.get_by_role("button", name="Next: check").click()

    expect(page.get_by_text("The values of all 80 people fit")).to_be_visible()
    page.get_by_role("button", name="Next: confirm").click()

    page.get_by_role("button", name=re.compile("Send to 80 people")).click()


def watch(page):
    """Without a reload, the page must tell what became of all 80."""

    def tile(label):
        return page.locator(".tile", has_text=label).locator(".tile-figure")

    expect(tile("delivered").first).to_have_text("78")
    expect(tile("refused").first).to_have_text("1")
    expect(tile("undelivered").first).to_have_text("1")
    expect(page.get_by_text("Finished").first).to_be_visible()
    reasons = page.locator("section", has_text="Why some did not get it")
    expect(reasons).to_contain_text("43004")


def look_at_phone(page, sandbox_url):
    page.goto(f"{sandbox_url}/sandbox/")
    phone = page.locator(f"[id='{openid(DEMO_APPID, 1)}']")
    expect(phone.get_by_text("Owners u0001")).to_be_visible()
    expect(phone.get_by_text("Details")).to_be_visible()


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_from_an_excel_file_to_phones_and_receipts(page, stack, sandbox, workbook):
    stack.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    stack.manage(
        "createsuperuser", "--noinput", f"--username={LOGIN}", "--email=o@x.cn"
    )
    stack.start("web", "worker", "beat")
    sandbox.settings(receipt_delay_s=[0.5, 2])

    log_in(page, stack.url)
    told = connect_channel(page, stack.url)
    configure_wechat(page, sandbox.url, told)
    check_and_refresh(page, stack.url)
    upload(page, stack.url, workbook)
    compose_and_submit(page, stack.url)
    watch(page)
    look_at_phone(page, sandbox.url)

    counts = sandbox.shown(counts=1)["counts"]
    reached = {openid(DEMO_APPID, n) for n in PEOPLE} - {
        openid(DEMO_APPID, n) for n in (50, 77)
    }
    assert counts == dict.fromkeys(reached, 1)
