"""The console's own scripts and styles, in a real browser."""

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import sync_playwright

from tests.factories import ChannelFactory, SendFactory, TemplateFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def browser(chromium_path):
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox"]
        )
        yield started
        started.close()


@pytest.fixture
def page(browser, live_server):
    """A page of somebody who may do everything, in Berlin; it must log no error."""
    UserFactory(username="lin", is_superuser=True)
    context = browser.new_context(
        base_url=live_server.url,
        timezone_id="Europe/Berlin",
        viewport={"width": 1440, "height": 900},
    )
    page = context.new_page()
    complaints = []
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type == "error" else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/console/login/")
    page.fill("#id_username", "lin")
    page.fill("#id_password", "correct horse")
    page.click("button[type=submit]")
    page.wait_for_url("**/console/")
    yield page
    context.close()
    assert complaints == []


def test_the_dashboard_shows_a_new_send_without_being_asked(page):
    page.wait_for_selector("text=From nothing to the first message")

    SendFactory(title="Autumn news", status="running", n_waiting=300, n_accepted=700)

    page.wait_for_selector("text=Autumn news", timeout=15_000)
    assert "700 of 1,000" in page.inner_text("body")


def test_an_answer_that_never_comes_does_not_end_the_refreshing(page):
    page.clock.install()
    page.reload()
    asked = []
    address = page.get_attribute("[data-live-url]", "data-live-url")
    page.route(f"**{address}", lambda route: asked.append(route))
    page.clock.run_for(12_000)
    for _look in range(200):
        if asked:
            break
        page.wait_for_timeout(50)  # of this side's time
    assert len(asked) == 1

    page.unroute(f"**{address}")
    SendFactory(title="Autumn news", status="running", n_waiting=300, n_accepted=700)
    for _second in range(30):
        page.clock.run_for(1_000)

    page.wait_for_selector("text=Autumn news", timeout=15_000)


def test_times_are_the_operators_own_from_the_second_page_on(page):
    template = TemplateFactory()
    type(template).objects.update(first_seen_at="2026-11-22T19:30:00Z")

    page.goto(reverse("admin:templates_mgmt_template_change", args=[template.pk]))

    assert "2026-11-22 20:30" in page.inner_text("body")


def test_copy_copies_and_says_so(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    template = TemplateFactory()
    page.goto(reverse("admin:templates_mgmt_template_change", args=[template.pk]))

    page.click("button[data-copy]")

    page.wait_for_selector("button.is-done:has-text('Copied')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == template.template_id


def test_a_form_is_sent_once_and_its_button_is_shut(page):
    channel = ChannelFactory()
    page.goto(reverse("admin:templates_mgmt_template_changelist"))
    # Nobody answers at the WeChat of the tests, and the button must wait for that.
    page.evaluate(
        "document.addEventListener('submit', event => event.preventDefault())"
    )

    page.click("button:has-text('Refresh')")

    page.wait_for_selector("button:has-text('Refresh')[disabled]")
    assert channel.templates.count() == 0


def test_dark_and_light_follow_the_choice(page):
    def background():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = background()
    page.click("#nav-sidebar-inner >> text=lin")
    page.click("text=Dark")

    page.wait_for_function("document.documentElement.classList.contains('dark')")
    assert background() != light


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_no_page_is_wider_than_a_phone(page, live_server, language):
    now = timezone.now()
    channel = ChannelFactory(
        token_ok_at=now, refused_at=now, refused_errmsg="x" * 120, refused_errcode=1
    )
    template = TemplateFactory(
        channel=channel, title="很长的模板标题" * 8, example="Topic:" + "w" * 120
    )
    SendFactory(template=template, status="running", n_waiting=5, title="t" * 80)
    SendFactory(template=template, status="finished", n_refused=5)
    page.context.add_cookies(
        [{"name": "django_language", "value": language, "url": live_server.url}]
    )
    page.set_viewport_size({"width": 390, "height": 844})

    for address in (
        "/console/",
        reverse("admin:templates_mgmt_template_changelist"),
        reverse("admin:templates_mgmt_template_change", args=[template.pk]),
        reverse("admin:channels_wechat_channel_change", args=[channel.pk]),
        "/console/auth/group/add/",
        "/console/auditlog/logentry/",
    ):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        width = page.evaluate("document.documentElement.scrollWidth")
        wide = page.evaluate(
            "[...document.querySelectorAll('#main *')]"
            ".filter(e => e.getBoundingClientRect().right > 391)"
            ".map(e => e.className).slice(0, 5)"
        )
        assert width <= 390, (address, wide)
