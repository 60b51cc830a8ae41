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
