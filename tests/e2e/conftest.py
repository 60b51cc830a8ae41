"""The whole product, started for one test."""

import os

import pytest
import redis

from tests.e2e.stack import Stack


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
