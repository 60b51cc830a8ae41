"""The product as processes of its own, each of which a test may kill."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

from tests.services import free_port

ROOT = Path(__file__).parents[2]
WORKER = ["-P", "threads", "-c", "4", "--without-gossip", "--without-mingle"]
# One send to everyone, for `Stack.ask`: `channel` are its fields, `openids` the people.
SUBMIT = """
from channels_wechat.models import Channel
from sends import control
from sends.models import Send
from templates_mgmt import refreshing
from templates_mgmt.models import Template
from users.models import OpenID, Recipient

channel = Channel(callback_mode="safe", **given["channel"])
channel.full_clean()
channel.save()
refreshing.refresh(channel)
openids = given["openids"]
people = Recipient.objects.bulk_create(
    [Recipient(userid=f"u{n}") for n in range(len(openids))], batch_size=2000
)
OpenID.objects.bulk_create(
    [OpenID(channel=channel, recipient=p, openid=o) for p, o in zip(people, openids)],
    batch_size=2000,
)
send = control.new_draft(
    None,
    title="Meeting",
    channel=channel,
    template=Template.objects.get(channel=channel, title="会议预约提醒"),
    audience=Send.Audience.ALL,
    data={"thing1": "{{userid}}", "time2": "2026年5月8日 10:00", "thing3": "三楼"},
)
control.submit(send)
print(json.dumps(send.pk))
"""

SENDS = """
from sends.models import Send

asked = ("id", "status", "prepared_at", "prepare_lease_until", "submitted_at")
print(json.dumps(list(Send.objects.values(*asked)), default=str))
"""


class Stack:
    """Database, web, worker and beat against a sandbox; logs below `place`."""

    def __init__(self, place, sandbox, database_url, broker_url):
        self.place, self.sandbox = place, sandbox
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.receiver_port = free_port()
        self.running = {}
        kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG"}}
        self.environment = kept | {
            "DATA_DIR": str(place / "data"),
            "DATABASE_URL": database_url,
            "PORT": str(self.port),
            "SWEEP_SECONDS": "1",
            "CLAIM_SECONDS": "2",
            "DJANGO_SETTINGS_MODULE": "jums.settings",
            "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
            "WECHAT_API_BASE": sandbox.url,
            "WECHAT_MP_BASE": sandbox.url,
            "WECHAT_OPEN_BASE": sandbox.url,
            "PYTHONWARNINGS": "ignore",
            # At SIGABRT a process tells where each of its threads is: see `autopsy`.
            "PYTHONFAULTHANDLER": "1",
        }
        if broker_url:
            self.environment["CELERY_BROKER_URL"] = broker_url
        self.manage("migrate", "--verbosity", "0")

    def manage(self, *arguments):
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, code, **values):
        """Run Python inside the product; return what it prints as JSON."""
        given = self.place / "given.json"
        given.write_text(json.dumps(values))
        head = f"import json\ngiven = json.load(open({str(given)!r}))\n"
        return json.loads(self.manage("shell", "--verbosity", "0", "-c", head + code))

    def start(self, *names):
        """Start processes: web, worker, beat, receiver; "worker 2" is one more."""
        celery = [sys.executable, "-m", "celery", "-q", "-A", "jums"]
        commands = {
            "web": [sys.executable, "-m", "gunicorn", "jums.wsgi:application"]
            + ["--bind", f"127.0.0.1:{self.port}", "--worker-class", "gthread"]
            + ["--threads", "8", "--no-control-socket", "--log-level", "warning"],
            "worker": [*celery, "worker", *WORKER, "--loglevel", "warning"],
            "beat": [*celery, "beat", "--pidfile=", "--loglevel", "warning"],
            "receiver": [sys.executable, "manage.py", "receiver"]
            + ["--port", str(self.receiver_port)],
        }
        for name in names:
            with open(self.place / f"{name}.log", "a") as log:
                self.running[name] = subprocess.Popen(
                    commands[name.split()[0]],
                    cwd=ROOT,
                    env=self.environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # A group of its own: a kill reaches whatever it has started.
                    start_new_session=True,
                )
        if "web" in names:
            self.wait_for(self._web_answers, 60, "the web server did not start")

    def _web_answers(self):
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        except requests.RequestException:
            return False

    def kill(self, name):
        """SIGKILL: no goodbye, nothing flushed."""
        process = self.running.pop(name)
        assert process.poll() is None, self.log(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self):
        for process in self.running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.running.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def autopsy(self):
        """End every process; return the sends, and each process's log with where its
        threads were."""
        try:
            sends = self.ask(SENDS)
        except Exception as error:  # whatever keeps it from telling is news as well
            sends = repr(error)
        for process in self.running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGABRT)
        for process in self.running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        logs = ((name, self.log(name, 20_000)) for name in self.running)
        return "\n".join([f"{sends}", *(f"-- {name}\n{log}" for name, log in logs)])

    def log(self, name, size=4000):
        path = self.place / f"{name}.log"
        return path.read_text()[-size:] if path.exists() else ""

    def wait_for(self, condition, seconds, what):
        """Return the first true answer of `condition`, or fail with the logs."""
        end = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(what)
            time.sleep(0.05)
