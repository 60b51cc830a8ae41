"""QR authorisation in a browser: scan, send, take back, scan again, go on."""

import re

import pytest
from playwright.sync_api import expect

from sandbox.bundled import SECOND_APPID
from sandbox.people import openid
from tests.e2e.test_whole_path import LOGIN, PASSWORD, log_in, page  # noqa: F401  # a fixture

PEOPLE, LEFT, BLOCKS = 1500, 50, 77
BIND = """
from channels_wechat.models import Channel
from users.models import OpenID, Recipient

channel = Channel.objects.get(code="property")
people = Recipient.objects.bulk_create(
    [Recipient(userid=f"u{n:04}") for n in range(1, len(given["openids"]) + 1)]
)
OpenID.objects.bulk_create(
    [
        OpenID(channel=channel, recipient=person, openid=openid)
        for person, openid in zip(people, given["openids"])
    ]
)
print(json.dumps(len(people)))
"""


@pytest.fixture
def platform_stack(stack, sandbox):
    """The product as a third-party platform of the sandbox, with its first ticket."""
    told = sandbox.platform(connect=stack.url)
    stack.environment |= {
        "WECHATTPP_COMPONENT_APP_ID": told["appid"],
        "WECHATTPP_COMPONENT_APP_SECRET": told["secret"],
        "WECHATTPP_ENCODING_TOKEN": told["token"],
        "WECHATTPP_ENCODING_AES_KEY": told["encoding_aes_key"],
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    stack.manage(
        "createsuperuser", "--noinput", f"--username={LOGIN}", "--email=o@x.cn"
    )
    stack.start("web", "worker", "beat")
    assert sandbox.push_ticket()["answer"] == "success"
    return stack


def connect_by_scan(page, url):  # noqa: F811  # pytest passes the fixture
    page.goto(f"{url}/console/channels_wechat/channel/")
    page.get_by_role("link", name="Connect by scan").click()
    page.get_by_label("Code").fill("property")
    page.get_by_label("Name").fill("Spruce Property")
    page.get_by_role("button", name="Show the QR code").click()
    scan(page)


def authorise_again(page, url):  # noqa: F811
    page.goto(f"{url}/console/channels_wechat/channel/")
    page.get_by_role("link", name=re.compile("Spruce Property")).click()
    page.get_by_role("button", name="Authorise again").click()
    scan(page)


def scan(page):  # noqa: F811
    """Click on our page, scan at WeChat, confirm; come back to our page."""
    page.get_by_role("link", name="Scan on this screen").click()
    page.get_by_role("button", name="Scan it").click()
    page.get_by_role("button", name=re.compile("Spruce Property")).click()
    page.get_by_role("button", name="Authorise", exact=True).click()
    expect(page.get_by_text("is connected")).to_be_visible()


def refresh_templates(page):  # noqa: F811
    page.get_by_role("link", name="Open the channel").click()
    expect(page.get_by_text("Ready", exact=True).first).to_be_visible()
    page.get_by_role("button", name=re.compile("Refresh templates")).first.click()
    expect(page.get_by_text(re.compile("4 added"))).to_be_visible()


def compose_and_submit(page, url):  # noqa: F811
    page.goto(f"{url}/console/sends/send/add/")
    page.locator("label.choice", has_text="会议预约提醒").click()
    page.get_by_role("button", name="Next: audience").click()
    page.get_by_label("Everyone bound to the channel").check()
    page.get_by_role("button", name=re.compile("Next|Use")).first.click()
    page.get_by_label(re.compile("thing1")).fill("Owners {{userid}}")
    page.get_by_label(re.compile("time2")).fill("2026年5月8日 10:00")
    page.get_by_label(re.compile("thing3")).fill("三楼会议室")
    page.get_by_role("button", name="Next: check").click()
    page.get_by_role("button", name="Next: confirm").click()
    page.get_by_role("button", name=re.compile(r"Send to 1,500 people")).click()


def tile(page, label):  # noqa: F811
    return page.locator(".tile", has_text=label).locator(".tile-figure").first


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_a_scan_connects_a_send_pauses_with_its_end_and_goes_on_with_the_next(
    page,  # noqa: F811
    platform_stack,
    sandbox,
):
    sandbox.change_account(SECOND_APPID, followers=PEOPLE)
    sandbox.settings(receipt_delay_s=[0, 0.2], authorised_twice=True)
    log_in(page, platform_stack.url)
    connect_by_scan(page, platform_stack.url)
    refresh_templates(page)
    openids = [openid(SECOND_APPID, n) for n in range(1, PEOPLE + 1)]
    assert platform_stack.ask(BIND, openids=openids) == PEOPLE

    # Slow enough that the administrator comes in between.
    sandbox.settings(reply_delay_ms=[4000, 6000])
    compose_and_submit(page, platform_stack.url)
    send_page = page.url
    sandbox.wait_for(lambda stats: stats["accepted"] > 0, timeout_s=60)
    phone = page.context.new_page()
    phone.on("dialog", lambda dialog: dialog.accept())
    phone.goto(f"{sandbox.url}/sandbox/#platform")
    phone.get_by_role("button", name="De-authorise").click()
    expect(phone.get_by_text("No account has authorised")).to_be_visible()

    # Without a reload, the running send stands still and says why.
    assert page.url == send_page
    expect(page.get_by_text("Paused").first).to_be_visible()
    expect(page.get_by_text("61003").first).to_be_visible()
    sandbox.settings(reply_delay_ms=0)
    before = sandbox.shown(appid=SECOND_APPID)["total"]
    assert 0 < before < PEOPLE - 2

    authorise_again(phone, platform_stack.url)

    expect(page.get_by_text("Finished").first).to_be_visible()
    expect(tile(page, "refused")).to_have_text("1")
    expect(tile(page, "delivered")).not_to_have_text("0")
    counts = sandbox.shown(appid=SECOND_APPID, counts=1)["counts"]
    reached = {of for n, of in enumerate(openids, 1) if n not in (LEFT, BLOCKS)}
    assert counts == dict.fromkeys(reached, 1)


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_the_release_test_passes_four_of_four(platform_stack, sandbox):
    for _ in range(3):
        result = sandbox.release_test()

        assert [case["reason"] for case in result["cases"]] == [""] * 4
