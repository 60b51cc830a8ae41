"""The stage of one benchmark run: database, far end, worker. All of it ours, all of it
taken down."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from tests import services

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Stage:
    far_end: str
    broker_url: str
    env: dict[str, str]
    log: Path
    worker: subprocess.Popen[bytes] | None = None

    def start_worker(self, *app: str) -> None:
        """Start one Celery worker process and wait until it takes tasks."""
        self.stop_worker()
        command = [sys.executable, "-m", "celery", "-A", *(app or ("jums", "worker"))]
        if not app:
            command += ["-P", "threads", "-c", "8"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        self.worker = _start(command, self.env, self.log)

    def stop_worker(self) -> None:
        if self.worker is not None:
            _stop(self.worker)
            self.worker = None

    def worker_rss_mb(self) -> float:
        """Return the worker's greatest resident size so far, in MB."""
        assert self.worker is not None
        status = Path(f"/proc/{self.worker.pid}/status").read_text()
        (line,) = [x for x in status.splitlines() if x.startswith("VmHWM")]
        return int(line.split()[1]) / 1024


@contextlib.contextmanager
def stage(latency_ms: float = 0) -> Iterator[Stage]:
    """Set everything up and point this process's settings at it."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        database = stack.enter_context(services.postgresql().fresh("bench"))
        port = services.free_port()
        log = place / "log"
        far_end = [sys.executable, "-m", "bench.farend", "--port", str(port)]
        process = _start(
            [*far_end, "--latency-ms", str(latency_ms)], dict(os.environ), log
        )
        stack.callback(_stop, process)
        broker_url = f"{services.redis().rstrip('/')}/15"
        env = {
            **os.environ,
            "DATA_DIR": str(place),
            "SECRET_KEY": secrets.token_hex(),
            "DATABASE_URL": database,
            "CELERY_BROKER_URL": broker_url,
            "NAIVE_BROKER_URL": f"{services.redis().rstrip('/')}/14",
            "WECHAT_API_BASE": f"http://127.0.0.1:{port}",
            "DJANGO_SETTINGS_MODULE": "jums.settings",
            "PYTHONPATH": str(ROOT),
        }
        os.environ.update(env)
        _wait_for(f"http://127.0.0.1:{port}/")
        it = Stage(f"http://127.0.0.1:{port}", broker_url, env, log)
        stack.callback(it.stop_worker)
        yield it


def _start(
    command: list[str], env: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(command, env=env, cwd=ROOT, stdout=out, stderr=out)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for(url: str) -> None:
    for _ in range(100):
        with contextlib.suppress(requests.ConnectionError):
            requests.post(url, data=b"{}", timeout=5)
            return
        time.sleep(0.1)
    raise TimeoutError(url)
