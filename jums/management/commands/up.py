"""`manage.py up`: web, worker and schedule under one roof."""

import secrets
import socket
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from channels_wechat import token_leases
from channels_wechat.models import AccessToken, Channel, Platform
from jums.supervising import Child, Supervisor
from sandbox import platform as sandbox_platform
from sandbox.accounts import DEMO_APPID

COLOURS = {"web": 36, "worker": 32, "beat": 33, "sandbox": 35}


class Command(BaseCommand):
    help = "Start web server, worker and schedule, and keep them running until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--sandbox", action="store_true", help="also start the stand-in WeChat"
        )
        parser.add_argument(
            "--bind",
            default="127.0.0.1",
            metavar="ADDRESS",
            help="address the web server listens on (default: %(default)s)",
        )

    def handle(self, *args: Any, sandbox: bool, bind: str, **options: Any) -> None:
        check_ports(bind, sandbox=sandbox)
        migrate()
        if sandbox:
            forget_tokens()
        login = first_login()
        with Supervisor(children(bind, sandbox=sandbox), show) as running:
            self.stdout.write(f"JUMS: {settings.PUBLIC_URL}/console/  (Ctrl-C stops)")
            if sandbox:
                self.stdout.write(f"Sandbox: {sandbox_url()}/sandbox/")
            elif Channel.objects.filter(appid=DEMO_APPID).exists():
                self.stdout.write(
                    "The demo's channel is in this database, and the real WeChat does "
                    "not know it. Begin real work with an empty DATA_DIR."
                )
            if login:
                self.stdout.write(
                    f"First login: {login[0]}  {login[1]}\n"
                    "Shown this once; change it with: "
                    f"python manage.py changepassword {login[0]}"
                )
            self.stdout.flush()  # also into a pipe or a file
            while running.tend(3600):
                pass


def sandbox_url() -> str:
    return f"http://127.0.0.1:{settings.SANDBOX_PORT}"


def children(bind: str, *, sandbox: bool) -> list[Child]:
    """Return the processes that make up the product, in the order they start."""
    wechat = {}
    python = sys.executable
    address = f"[{bind}]" if ":" in bind else bind
    celery = [python, "-m", "celery", "--quiet", "-A", "jums"]
    found: list[Child] = []
    if sandbox:
        wechat = {
            name: sandbox_url()
            for name in ("WECHAT_API_BASE", "WECHAT_MP_BASE", "WECHAT_OPEN_BASE")
        }
        wechat |= sandbox_platform_settings()
        manage = str(settings.BASE_DIR / "manage.py")
        command = [python, manage, "sandbox", "--port", str(settings.SANDBOX_PORT)]
        here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(address, address)
        command += ["--product-url", f"http://{here}:{settings.PORT}"]
        found.append(Child("sandbox", [*command, "--ticket-interval", "20"]))
    web = [python, "-m", "gunicorn", "jums.wsgi:application"]
    web += ["--bind", f"{address}:{settings.PORT}", "--worker-class", "gthread"]
    web += ["--workers", "1", "--threads", "16", "--graceful-timeout", "5"]
    # Its control socket would lie in the home folder, one for all installations.
    web += ["--no-control-socket", "--log-level", "warning"]
    worker = [*celery, "worker", "-P", "threads", "-c", "8", "--loglevel", "warning"]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    beat = [*celery, "beat", "--pidfile=", "--loglevel", "warning"]
    # Root in a container is no news; tasks are JSON and cannot carry code.
    no_news = {"PYTHONWARNINGS": "ignore:You're running the worker with superuser"}
    return [
        *found,
        Child("web", web, wechat),
        Child("worker", worker, wechat | no_news),
        Child("beat", beat, wechat),
    ]


def sandbox_platform_settings() -> dict[str, str]:
    """The sandbox's third-party platform as our settings know a platform."""
    given = sandbox_platform.Platform()
    return {
        "WECHATTPP_COMPONENT_APP_ID": given.appid,
        "WECHATTPP_COMPONENT_APP_SECRET": given.secret,
        "WECHATTPP_ENCODING_TOKEN": given.token,
        "WECHATTPP_ENCODING_AES_KEY": given.encoding_aes_key,
    }


def check_ports(bind: str, *, sandbox: bool) -> None:
    """Raise CommandError, which says what to do, when a port is taken."""
    wanted = [(bind, settings.PORT, "PORT")]
    if sandbox:
        wanted.append(("127.0.0.1", settings.SANDBOX_PORT, "SANDBOX_PORT"))
    for address, port, name in wanted:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                raise CommandError(
                    f"Port {port} of {address} cannot be used ({error.strerror}): "
                    f"another program has it, perhaps JUMS itself. "
                    f"Choose another one with {name}, for example "
                    f"{name}={port + 10}."
                ) from None


def migrate() -> None:
    """Bring the database up to date."""
    call_command("migrate", interactive=False, verbosity=0)
    # Children open connections of their own.
    connections.close_all()


def forget_tokens() -> None:
    """Drop tokens and tickets: a new sandbox knows none of the old ones."""
    AccessToken.objects.all().delete()
    known = Platform.objects.filter(
        component_appid=sandbox_platform.DEMO_COMPONENT_APPID
    )
    token_leases.drop(known)
    known.update(ticket="", ticket_created_at=None, ticket_received_at=None)


def first_login() -> tuple[str, str] | None:
    """Make the first administrator; return name and password, None if there is one."""
    users = get_user_model()
    if users.objects.exists():
        return None
    password = secrets.token_urlsafe(9)
    users.objects.create_superuser("admin", email="", password=password)
    connections.close_all()
    return "admin", password


def show(name: str, line: str) -> None:
    """Print one line of a child's output behind its name."""
    label = f"{name:<8}|"
    if sys.stdout.isatty():
        label = f"\033[{COLOURS.get(name, 37)}m{label}\033[0m"
    print(f"{label} {line}", flush=True)
