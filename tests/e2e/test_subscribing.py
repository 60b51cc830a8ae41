"""Subscribe-notifications in a browser: from WeChat's library to a phone, twice."""

import re

import pytest
from playwright.sync_api import expect

from sandbox.accounts import DEMO_APPID
from sandbox.people import openid
from tests.e2e import test_whole_path as whole
from tests.e2e.test_whole_path import LOGIN, PASSWORD, page  # noqa: F401  # fixture

PERSON = openid(DEMO_APPID, 1)
LEDGER = """
from sends.acceptance_models import Acceptance
from templates_mgmt.models import Template
template = Template.objects.get(title="报修受理通知")
row = Acceptance.objects.get(template_id=template.template_id, openid=given["openid"])
print(json.dumps([row.accepted, row.used, row.left]))
"""


def add_from_the_library(page, url):  # noqa: F811
    page.goto(f"{url}/console/channels_wechat/channel/")
    page.get_by_role("link", name=re.compile("Spruce Living")).click()
    page.get_by_role("link", name=re.compile("Template library")).first.click()
    page.get_by_label("Title").fill("报修受理")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="报修受理通知").click()

    for name in ("报修单号", "受理状态", "预约时间"):
        page.get_by_role("checkbox", name=name).check()
    # By keys alone: the state goes to the top.
    page.get_by_role("button", name="受理状态: up").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-preview] dt").first).to_have_text("受理状态")
    # By mouse or finger: the time goes between the two.
    grip = (
        page.locator(".pick", has_text="预约时间").locator("[data-grip]").bounding_box()
    )
    above = page.locator(".pick", has_text="报修单号").bounding_box()
    page.mouse.move(grip["x"] + 8, grip["y"] + 8)
    page.mouse.down()
    page.mouse.move(grip["x"] + 8, above["y"] + 6, steps=8)
    page.mouse.up()
    expect(page.locator("[data-preview] dt")).to_have_text(
        ["受理状态", "预约时间", "报修单号"]
    )

    page.get_by_label("When are people notified?").fill("报修进度提醒")
    page.get_by_role("button", name="Add to the account").click()
    expect(page.get_by_text("“报修受理通知” was added.")).to_be_visible()


def bind_one_person(page, url, tmp_path):  # noqa: F811
    book = tmp_path / "one.csv"
    book.write_text(f"userid,wechatoa_openid\nu0001,{PERSON}\n")
    page.goto(f"{url}/console/users/upload/add/")
    page.get_by_label("File").set_input_files(book)
    page.get_by_label("Channel").select_option(label="Spruce Living")
    page.get_by_role("button", name=re.compile("Look at the file")).click()
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_text("Finished").first).to_be_visible()


def subscribe_on_the_phone(page, sandbox_url):  # noqa: F811
    page.goto(f"{sandbox_url}/sandbox/")
    phone = page.locator(f"[id='{PERSON}']")
    phone.locator(".chat.ours").click()
    phone.get_by_role("button", name="Subscribe").click()
    phone.get_by_role("button", name="Subscribe").first.click()
    phone.get_by_role("dialog").get_by_role("button", name="Allow").click()
    expect(page.get_by_role("status")).to_contain_text("Subscribed: 3")


def send(page, url, *, reachable):  # noqa: F811
    page.goto(f"{url}/console/sends/send/add/")
    page.locator("label.choice", has_text="报修受理通知").click()
    page.get_by_role("button", name="Next: audience").click()
    page.get_by_label("Everyone bound to the channel").check()
    page.get_by_role("button", name=re.compile("Next|Use")).first.click()
    page.get_by_label(re.compile("enum_string3")).fill("已受理")
    page.get_by_label(re.compile("time5")).fill("2026年5月8日 14:00")
    page.get_by_label(re.compile("character_string1")).fill("BX1")
    page.get_by_role("button", name="Next: check").click()
    forecast = page.locator("#forecast")
    expect(forecast).to_contain_text(f"Of 1 people {reachable} can be reached")
    if not reachable:
        forecast.get_by_label("Try them all the same").check()
        expect(forecast.get_by_label("Try them all the same")).to_be_checked()
        page.wait_for_load_state()
    page.get_by_role("button", name="Next: confirm").click()
    page.get_by_role("button", name=re.compile("Send to 1 ")).click()
    expect(page.get_by_text("Finished").first).to_be_visible()


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_one_acceptance_is_good_for_one_message(
    page,  # noqa: F811
    stack,
    sandbox,
    tmp_path,
):
    stack.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    stack.manage(
        "createsuperuser", "--noinput", f"--username={LOGIN}", "--email=o@x.cn"
    )
    stack.start("web", "worker", "beat")
    whole.log_in(page, stack.url)
    told = whole.connect_channel(page, stack.url)
    whole.configure_wechat(page, sandbox.url, told)
    add_from_the_library(page, stack.url)
    bind_one_person(page, stack.url, tmp_path)
    subscribe_on_the_phone(page, sandbox.url)

    send(page, stack.url, reachable=1)

    page.goto(f"{sandbox.url}/sandbox/")
    phone = page.locator(f"[id='{PERSON}']")
    expect(phone.locator(".card h3")).to_have_text("报修受理通知")
    expect(phone.get_by_text("已受理")).to_be_visible()

    # The forecast says that nobody is left; they are tried all the same.
    send(page, stack.url, reachable=0)

    reasons = page.locator("section", has_text="Why some did not get it")
    expect(reasons).to_contain_text("43101")
    expect(reasons).to_contain_text("no acceptance is left")
    assert len(sandbox.messages(PERSON)) == 1
    assert stack.ask(LEDGER, openid=PERSON) == [1, 1, 0]
