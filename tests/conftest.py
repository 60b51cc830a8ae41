"""What every test may use. The fakes of one app's tests live in that app's folder."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.utils import translation

from tests import services

pytest_plugins = [
    "tests.api_fixture",
    "tests.jums_fixture",
    "tests.sandbox_fixture",
    "tests.platform_fixture",
]

# Playwright's driver runs an event loop in the test's own thread.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture(autouse=True)
def _language_of_its_own() -> Iterator[None]:
    """A page asked for in Chinese leaves the thread Chinese; the next test is not."""
    with translation.override("en"):
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Primary keys begin above a thousand, as they soon do in use.

    A page that writes one with a thousands separator into an address fails then.
    """
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        tables = connection.introspection.django_table_names(only_existing=True)
        for table in tables:
            for sequence in connection.introspection.get_sequences(cursor, table):
                if connection.vendor == "postgresql":
                    sql = "SELECT setval(pg_get_serial_sequence(%s, %s), 123456)"
                    cursor.execute(sql, [sequence["table"], sequence["column"]])
                else:
                    # AUTOINCREMENT's own table; a row exists once something was added.
                    sql = "INSERT INTO sqlite_sequence (name, seq) VALUES (%s, 123456)"
                    cursor.execute(
                        "DELETE FROM sqlite_sequence WHERE name = %s", [table]
                    )
                    cursor.execute(sql, [table])
    yield
    # A server's thread of the last test may still be on its way out; a database that
    # somebody is connected to cannot be dropped.
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


def pytest_report_header() -> str:
    return f"database: {os.environ.get('TEST_DATABASE', 'sqlite')}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("stack"):
            # One worker takes them in turn: two whole products at once on a small
            # machine only make each other late.
            item.add_marker(pytest.mark.xdist_group("stack"))


@pytest.fixture(scope="session")
def postgres() -> services.Postgres:
    """A PostgreSQL server; `.fresh()` gives an empty database's URL."""
    return services.postgresql()


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A Redis database that other runs on the same server hardly ever share."""
    number = 1 + int(os.environ["TEST_RUN"], 16) % 15
    return f"{services.redis()}/{number}"


@pytest.fixture(scope="session")
def amqp_url() -> str:
    return services.rabbitmq()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """A Chromium for Playwright's `executable_path`."""
    return services.chromium()


@pytest.fixture
def empty_database_url(request: pytest.FixtureRequest, tmp_path) -> Iterator[str]:
    """A `DATABASE_URL` of the kind this run tests, for processes of their own."""
    if os.environ.get("TEST_DATABASE") == "postgres":
        with services.postgresql().fresh() as url:
            yield url
    else:
        yield f"sqlite:///{tmp_path / 'jums.sqlite3'}"
