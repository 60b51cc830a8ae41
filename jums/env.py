"""Settings from the environment and from `.env`, and nothing else.

Names are case-insensitive. `NAME_FILE` names a file that holds the value of `NAME`,
as container secrets do. A value that cannot be read stops the start with a sentence.
"""

import base64
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent


def gather(environment: Mapping[str, str], dotenv: Path) -> dict[str, str]:
    """Return all variables by upper-case name; the environment wins over `.env`."""
    values: dict[str, str] = {}
    if dotenv.is_file():
        values |= dict(_dotenv(dotenv.read_text("utf-8")))
    values |= {name.upper(): value for name, value in environment.items()}
    for name in [name for name in values if name.endswith("_FILE")]:
        wanted = name.removesuffix("_FILE")
        # Only names we know: the environment is full of other programs' *_FILE.
        if wanted in FROM_FILE and wanted not in values:
            try:
                values[wanted] = Path(values[name]).read_text("utf-8").strip()
            except OSError as error:
                raise ImproperlyConfigured(f"{name}: {error.strerror}") from None
    return values


FROM_FILE = {
    "SECRET_KEY",
    "FIELD_KEYS",
    "DATABASE_URL",
    "CELERY_BROKER_URL",
    "CACHE_URL",
    "WECHATTPP_COMPONENT_APP_SECRET",
    "WECHATTPP_ENCODING_TOKEN",
    "WECHATTPP_ENCODING_AES_KEY",
}


def _dotenv(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#") or "=" not in line:
            continue
        name, _, value = line.removeprefix("export ").partition("=")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        yield name.strip().upper(), value


class Env(environ.Env):
    """django-environ's casts over our own gathered variables.

    An empty value counts as absent, so that a line `NAME=` in `.env` means the default.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__()
        self.ENVIRON = {name: value for name, value in values.items() if value != ""}


def load() -> Env:
    return Env(gather(os.environ, BASE_DIR / ".env"))


def check_shapes(*shapes: tuple[str, str, Iterable[str]]) -> None:
    """Stop the start unless each value of (name, pattern, values) is empty or fits."""
    for name, pattern, values in shapes:
        if any(value and not re.fullmatch(pattern, value) for value in values):
            # Never the value: it may be a secret that went into the wrong line.
            raise ImproperlyConfigured(f"{name} must look like {pattern}")


def kept_secret(path: Path, make: str) -> str:
    """Return the secret kept at `path`, made on first use and readable by us alone.

    `make` is "secret_key" or "field_keys". Several processes may start at once: the
    file appears whole or not at all, and the first one wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        if make == "field_keys":
            key = base64.b64encode(secrets.token_bytes(32)).decode()
            value = f"k1:{key}"
        else:
            value = secrets.token_urlsafe(48)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(value)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text("utf-8").strip()
