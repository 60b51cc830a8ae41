"""Take the pictures of the README from a running `make demo`.

    python docs/images/take.py USER PASSWORD

Addresses from PORT and SANDBOX_PORT; needs Chromium and the development packages.
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).parent
WEB = f"http://127.0.0.1:{os.environ.get('PORT', '8000')}"
SANDBOX = f"http://127.0.0.1:{os.environ.get('SANDBOX_PORT', '8001')}"


def take(browser: Browser, user: str, password: str, language: str, name: str) -> None:
    context = browser.new_context(
        locale=language, viewport={"width": 1440, "height": 900}
    )
    page = context.new_page()
    page.goto(f"{WEB}/console/login/")
    page.fill("[name=username]", user)
    page.fill("[name=password]", password)
    page.click("[type=submit]")
    page.wait_for_url(f"{WEB}/console/")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=HERE / f"dashboard{name}.png")
    page.goto(f"{WEB}/console/sends/send/")
    # The oldest of the demo: the one to everyone, which the README tells of.
    page.locator("table tbody td.lead a").last.click()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=HERE / f"send-result{name}.png")
    page.goto(f"{SANDBOX}/sandbox/")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)
    page.screenshot(path=HERE / f"phones{name}.png")
    context.close()


def main() -> None:
    user, password = sys.argv[1:3]
    path = shutil.which("chromium") or shutil.which("google-chrome-stable")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        take(browser, user, password, "en-US", "")
        take(browser, user, password, "zh-CN", ".zh-CN")
        browser.close()


if __name__ == "__main__":
    main()
