"""Whole products as processes, each an installation of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from tests.services import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path, empty_database_url):
    """Settings of an installation of its own; the ports are free."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "HOME", "LANG", "TMPDIR"}
    }
    return kept | {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": empty_database_url,
        "PORT": str(free_port()),
        "SANDBOX_PORT": str(free_port()),
        "SWEEP_SECONDS": "1",
        "DJANGO_SETTINGS_MODULE": "jums.settings",
    }


@pytest.fixture
def one_connection():
    """Requests keep the test's own database connection, as Django's client has it."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def start(environment, tmp_path):
    """Start a command of manage.py; its output is in the file `out`."""
    started = []

    def start(*command, **extra):
        with open(tmp_path / "out", "w") as out:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env=environment | extra,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
