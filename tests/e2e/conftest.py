"""The whole product, started for one test."""

import os

import pytest
import redis

from tests.e2e.stack import Stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Tell of a failed test what the processes of its stack were doing."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.when == "call" and report.failed and stack is not None:
        report.sections.append(("Processes of the stack", stack.autopsy()))
    return report


@pytest.fixture
def broker_url(request):
    """The folder with SQLite, Redis with PostgreSQL."""
    if os.environ.get("TEST_DATABASE") != "postgres":
        yield ""
        return
    url = request.getfixturevalue("redis_url")
    redis.Redis.from_url(url).flushdb()
    yield url
    redis.Redis.from_url(url).flushdb()


@pytest.fixture
def stack(tmp_path, sandbox, empty_database_url, broker_url):
    running = Stack(tmp_path, sandbox, empty_database_url, broker_url)
    yield running
    running.stop()
