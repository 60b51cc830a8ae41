"""The stage of one row: database, far ends, worker. All of it ours, all of it taken
down. Django's settings are read once a process, so each row has a process of its own.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests import services

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
# As docs/operations.md has a database made for volume.
AS_WE_SAY = "LOCALE 'C' ENCODING 'UTF8' TEMPLATE template0"


@dataclass
class Stage:
    place: Path
    far_end: str
    env: dict[str, str]
    worker: subprocess.Popen[bytes] | None = None
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, command: list[str], **env: str) -> subprocess.Popen[bytes]:
        """Start a Python program that ends with the stage."""
        with (self.place / "log").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, *command],
                env={**self.env, **env},
                cwd=ROOT,
                stdout=out,
                stderr=out,
            )
        self.started.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        self.started.remove(process)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start_worker(self, *app: str) -> None:
        """Start one Celery worker process, the product's or another app's."""
        self.stop_worker()
        command = ["-m", "celery", "-A", *(app or ("jums", "worker"))]
        if not app:
            command += ["-P", "threads", "-c", "8"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        self.worker = self.start(command)

    def stop_worker(self) -> None:
        if self.worker is not None:
            self.stop(self.worker)
            self.worker = None

    def worker_rss_mb(self) -> float:
        """Return the worker's greatest resident size so far, in MB."""
        assert self.worker is not None
        return peak_rss_mb(self.worker.pid)

    def worker_cpu_s(self) -> float:
        """Return the CPU time the worker has used so far."""
        assert self.worker is not None
        return cpu_s(self.worker.pid)


def peak_rss_mb(pid: int | str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [x for x in status.splitlines() if x.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def stage(latency_ms: float = 0, *, sqlite: bool = False) -> Iterator[Stage]:
    """Set everything up, point this process's settings at it, make the tables."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        port = services.free_port()
        env = {
            **os.environ,
            "DATA_DIR": str(place),
            "SECRET_KEY": secrets.token_hex(),
            "WECHAT_API_BASE": f"http://127.0.0.1:{port}",
            "DJANGO_SETTINGS_MODULE": "jums.settings",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
        }
        if sqlite:
            env |= {
                "DATABASE_URL": f"sqlite:///{place / 'jums.sqlite3'}",
                "CELERY_BROKER_URL": "filesystem://",
                "NAIVE_BROKER_FOLDER": str(place / "naive-queue"),
            }
            (place / "naive-queue").mkdir()
        else:
            # Not the one of the system: what another run left would be worked on here.
            redis = stack.enter_context(_redis())
            env |= {
                "DATABASE_URL": stack.enter_context(
                    services.postgresql().fresh("bench", AS_WE_SAY)
                ),
                "CELERY_BROKER_URL": redis,
            }
        os.environ.update(env)
        it = Stage(place, f"http://127.0.0.1:{port}", env)
        stack.callback(_stop_all, it)
        far_end = ["-m", "bench.farend", "--port", str(port)]
        it.start([*far_end, "--latency-ms", str(latency_ms)])
        wait_for(it.far_end)
        stack.callback(_make_tables())
        yield it


def _make_tables() -> Any:
    """Make Django's own and ours; return what closes the connection."""
    import logging

    import django

    django.setup()
    logging.disable(logging.WARNING)
    from django.core.management import call_command
    from django.db import connections

    call_command("migrate", verbosity=0)
    return connections.close_all


def _stop_all(it: Stage) -> None:
    it.stop_worker()
    for process in list(it.started):
        it.stop(process)


@contextlib.contextmanager
def _redis() -> Iterator[str]:
    server = services.own_redis().start()
    try:
        yield server.url
    finally:
        server.kill()


def wait_for(url: str) -> None:
    for _ in range(200):
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            requests.post(url, data=b"{}", timeout=5)
            return
        time.sleep(0.1)
    raise TimeoutError(url)
