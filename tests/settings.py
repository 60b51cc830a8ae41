"""The product's own settings on throw-away places: few lines differ.

`TEST_DATABASE` chooses `sqlite` (default) or `postgres`. Every run has names of its
own, so any number of runs may go on at once; the workers of one run share its names.
"""

import atexit
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

RUN = os.environ.get("TEST_RUN", "")
if "mypy" in sys.modules:
    # The type check reads settings and ends without cleaning up.
    RUN = "types"
    os.environ["TEST_PLACE"] = os.path.join(tempfile.gettempdir(), "jums-types")
elif not RUN:
    RUN = os.environ["TEST_RUN"] = secrets.token_hex(4)
    _place = Path(tempfile.mkdtemp(prefix=f"jums-test-{RUN}-"))
    os.environ["TEST_PLACE"] = str(_place)
    # Whoever made it removes it: the first process of the run, which ends last.
    atexit.register(shutil.rmtree, _place, ignore_errors=True)
PLACE = Path(os.environ["TEST_PLACE"])

# Nothing from this machine's environment or `.env` decides what a test sees.
_ours = {
    "SECRET_KEY": "tests-only-tests-only-tests-only-tests-only-tests-only",
    "FIELD_KEYS": "t1:dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk=",
    "DEBUG": "false",
    "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    "PUBLIC_URL": "https://jums.example.com",
    "DATA_DIR": str(PLACE / "data"),
    "CELERY_BROKER_URL": "memory://",
    "CACHE_URL": "locmemcache://",
    "SERVER_IPS": "203.0.113.7",
    # Nobody listens here: a test that forgets its fake fails at once, offline.
    "WECHAT_API_BASE": "http://127.0.0.1:9",
    "WECHAT_MP_BASE": "http://127.0.0.1:9",
    "WECHAT_OPEN_BASE": "http://127.0.0.1:9",
}
from jums import env as _environment  # noqa: E402  # the lines above come first

_gather = _environment.gather
_environment.gather = lambda environment, dotenv: _gather(_ours, Path(os.devnull))
try:
    from jums.settings import *  # noqa: E402, F403  # all of them, then few overridden
finally:
    _environment.gather = _gather

TEST_DATABASE = os.environ.get("TEST_DATABASE", "sqlite")
if TEST_DATABASE == "postgres":
    from tests import services

    DATABASES["default"] = {  # noqa: F405  # from jums.settings
        **services.postgresql().as_django(),
        "TEST": {"NAME": f"test_jums_{RUN}"},
    }
elif TEST_DATABASE == "sqlite":
    # A file, not memory: several connections and the write-ahead log, as in use.
    DATABASES["default"]["TEST"] = {"NAME": str(PLACE / "test.sqlite3")}  # noqa: F405
else:
    raise SystemExit("TEST_DATABASE is sqlite or postgres.")

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECURE_PROXY_SSL_HEADER = None  # type: ignore[assignment]  # Django's default
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False
LOGGING = {**LOGGING, "handlers": {}, "root": {"handlers": [], "level": "INFO"}}  # noqa: F405
