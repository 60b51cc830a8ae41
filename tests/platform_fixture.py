"""A third-party platform between the sandbox and the product, both on real ports."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from channels_wechat import links
from channels_wechat.models import Channel, PlatformLink
from tests.sandbox_fixture import SECOND_APPID, SandboxProcess


def wait_until(condition: Callable[[], Any], timeout_s: float = 15) -> Any:
    """Return what `condition()` gives once it is true."""
    until = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < until, f"not within {timeout_s} s"
        time.sleep(0.05)
    return found


class OpenPlatform:
    """What an account's administrator does, and the sandbox itself."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox

    def scan(self, link: PlatformLink, appid: str = SECOND_APPID, **how: Any) -> None:
        """Authorise over a link, as the browser and the phone do."""
        self.follow(self.sandbox.scan(links.addresses(link).pc_url, appid, **how))

    def follow(self, redirect: str) -> None:
        if redirect:
            requests.get(redirect, timeout=30).raise_for_status()

    def connect(self, code: str = "second", **how: Any) -> Channel:
        """Return the channel that a scan made."""
        link = links.make_link(code, "")
        self.scan(link, **how)
        return wait_until(lambda: Channel.objects.filter(code=code).first())


@pytest.fixture
def platform_set_up(settings):
    """The four settings of a third-party platform: the sandbox's own."""
    settings.WECHATTPP_COMPONENT_APP_ID = "wx5a0db0c5e70000c0"
    settings.WECHATTPP_COMPONENT_APP_SECRET = "c0c0c0c05a0db0c5c0c0c0c05a0db0c5"
    settings.WECHATTPP_ENCODING_TOKEN = "sandboxplatform"
    settings.WECHATTPP_ENCODING_AES_KEYS = [
        "SpruceLivingSandboxPlatformKey0123456789abc"
    ]
    return settings


@pytest.fixture
def open_platform(sandbox, platform_set_up, live_server) -> Iterator[OpenPlatform]:
    """The sandbox knows our addresses and has pushed a ticket."""
    platform_set_up.PUBLIC_URL = live_server.url
    platform_set_up.WECHAT_API_BASE = sandbox.url
    platform_set_up.WECHAT_MP_BASE = platform_set_up.WECHAT_OPEN_BASE = sandbox.url
    sandbox.platform(connect=live_server.url)
    sandbox.push_ticket()
    yield OpenPlatform(sandbox)
    # A push of this test that comes late must not meet the next one, nor the emptying
    # of the tables.
    sandbox.platform(event_url="", message_url="")
    sandbox.reset()
    for thread in threading.enumerate():
        if thread.name in {"redeem", "verify", "release test"}:
            wait_until(lambda thread=thread: thread.ident)  # it may be just starting
            thread.join(15)
