from collections.abc import Iterator

import pytest

from tests.wechat.scripted import ScriptedServer


@pytest.fixture
def scripted(settings) -> Iterator[ScriptedServer]:
    """A WeChat that answers what the test says, in the place of the real one."""
    server = ScriptedServer()
    settings.WECHAT_API_BASE = server.url
    yield server
    try:
        server.stop_listening()
    except OSError:
        return  # the test stopped it


@pytest.fixture
def at_sandbox(sandbox, settings):
    """The sandbox in the place of WeChat."""
    settings.WECHAT_API_BASE = sandbox.url
    return sandbox


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
