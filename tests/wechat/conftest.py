from collections.abc import Iterator

import pytest

from tests.wechat.scripted import ScriptedServer


@pytest.fixture
def wechat() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    try:
        server.stop_listening()
    except OSError:
        return  # the test stopped it
