"""Every setting comes from the environment: `jums.env` reads, `.env.example` lists.

With nothing set, JUMS runs embedded: SQLite and a queue folder below DATA_DIR.
"""

import base64
import binascii
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from . import env as environment
from .console import UNFOLD as UNFOLD

env = environment.load()
BASE_DIR = environment.BASE_DIR

# -- places and secrets ----------------------------------------------------------------
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "data"))).absolute()
DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY_IS_KEPT = "SECRET_KEY" not in env.ENVIRON
SECRET_KEY = env.str("SECRET_KEY", default="") or environment.kept_secret(
    DATA_DIR / "secret_key", "secret_key"
)
FIELD_KEYS_ARE_KEPT = "FIELD_KEYS" not in env.ENVIRON
_field_keys = env.str("FIELD_KEYS", default="") or environment.kept_secret(
    DATA_DIR / "field_keys", "field_keys"
)


def _key_ring(text: str) -> dict[str, bytes]:
    ring: dict[str, bytes] = {}
    for part in text.replace("\n", ",").split(","):
        if not part.strip():
            continue
        key_id, colon, encoded = part.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not colon or not key_id.isalnum() or len(key) != 32:
            raise ImproperlyConfigured(
                "FIELD_KEYS: each key is `id:base64 of 32 bytes`, comma-separated; "
                "the first one encrypts. Make one with: "
                "echo k2:$(head -c 32 /dev/urandom | base64)"
            )
        ring[key_id] = key
    if not ring:
        raise ImproperlyConfigured("FIELD_KEYS is empty.")
    return ring


# Ordered: the first key encrypts, every key decrypts.
FIELD_KEYS = _key_ring(_field_keys)

# -- how we are reached ----------------------------------------------------------------
PORT = env.int("PORT", default=8000)
SANDBOX_PORT = env.int("SANDBOX_PORT", default=8001)
PUBLIC_URL = env.str("PUBLIC_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
_public = urlsplit(PUBLIC_URL)
if _public.scheme not in {"http", "https"} or not _public.hostname:
    raise ImproperlyConfigured("PUBLIC_URL must look like https://jums.example.com")
ALLOWED_HOSTS = [
    *env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"]),
    _public.hostname,
]
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]
if _public.scheme == "https":
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
# Shown to operators for WeChat's IP whitelist.
SERVER_IPS: list[str] = env.list("SERVER_IPS", default=[])

# -- WeChat ----------------------------------------------------------------------------
WECHAT_API_BASE = env.str("WECHAT_API_BASE", default="https://api.weixin.qq.com")
WECHAT_MP_BASE = env.str("WECHAT_MP_BASE", default="https://mp.weixin.qq.com")
WECHAT_OPEN_BASE = env.str("WECHAT_OPEN_BASE", default="https://open.weixin.qq.com")

# The third-party platform; all four or none. A second key, after a comma, is the one
# before: WeChat may use either for a while after a change.
WECHATTPP_COMPONENT_APP_ID = env.str("WECHATTPP_COMPONENT_APP_ID", default="")
WECHATTPP_COMPONENT_APP_SECRET = env.str("WECHATTPP_COMPONENT_APP_SECRET", default="")
WECHATTPP_ENCODING_TOKEN = env.str("WECHATTPP_ENCODING_TOKEN", default="")
WECHATTPP_ENCODING_AES_KEYS: list[str] = env.list(
    "WECHATTPP_ENCODING_AES_KEY", default=[]
)
environment.check_shapes(
    ("WECHATTPP_COMPONENT_APP_ID", r"wx[0-9a-zA-Z]{16}", [WECHATTPP_COMPONENT_APP_ID]),
    ("WECHATTPP_ENCODING_TOKEN", r"[A-Za-z0-9]{3,32}", [WECHATTPP_ENCODING_TOKEN]),
    ("WECHATTPP_ENCODING_AES_KEY", r"[A-Za-z0-9]{43}", WECHATTPP_ENCODING_AES_KEYS),
)

# -- business systems ------------------------------------------------------------------
# Whether status callbacks may go to private addresses and to any port.
STATUS_CALLBACK_ALLOW_PRIVATE = env.bool("STATUS_CALLBACK_ALLOW_PRIVATE", default=False)
# JUMS' own table of statuses has no 429, but programs that know nothing of JUMS do.
RATE_LIMIT_STATUS = env.int("RATE_LIMIT_STATUS", default=400)
if RATE_LIMIT_STATUS not in {400, 429}:
    raise ImproperlyConfigured("RATE_LIMIT_STATUS is 400 or 429.")

# -- database, cache, broker -----------------------------------------------------------
_sqlite = f"sqlite:///{DATA_DIR / 'jums.sqlite3'}"
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.db("DATABASE_URL", default=_sqlite)
}
_database = DATABASES["default"]
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # IMMEDIATE takes the write lock at BEGIN: a transaction that first reads and then
    # writes can otherwise fail at once with "database is locked", timeout or not.
    _database["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;"
        "PRAGMA cache_size=-20000;PRAGMA mmap_size=134217728",
    }
    _database["CONN_MAX_AGE"] = None
else:
    _database["CONN_MAX_AGE"] = 600
    _database["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {"default": env.cache("CACHE_URL", default="locmemcache://")}

SWEEP_SECONDS = env.int("SWEEP_SECONDS", default=10)
CLAIM_SECONDS = env.int("CLAIM_SECONDS", default=60)
if not 1 <= CLAIM_SECONDS <= 300:
    # A dead worker's rows are repeated after the lease, inside WeChat's ten minutes.
    raise ImproperlyConfigured("CLAIM_SECONDS must be between 1 and 300.")
# A send pauses when more than so many percent of its latest messages are refused, or of
# the few that go first fail. 100: never.
BRAKE_REFUSED_PERCENT = env.int("BRAKE_REFUSED_PERCENT", default=50)
if not 0 <= BRAKE_REFUSED_PERCENT <= 100:
    raise ImproperlyConfigured("BRAKE_REFUSED_PERCENT must be between 0 and 100.")
# -- retention, in days; 0: for ever ---------------------------------------------------
KEEP_EVENTS_DAYS = env.int("KEEP_EVENTS_DAYS", default=90)
KEEP_DELIVERIES_DAYS = env.int("KEEP_DELIVERIES_DAYS", default=0)
# Whether what goes is written to DATA_DIR/archive first.
ARCHIVE = env.bool("ARCHIVE", default=True)
for _days in (KEEP_EVENTS_DAYS, KEEP_DELIVERIES_DAYS):
    if _days and _days < 3:
        # Receipts are waited for during a day, and repeats look back as long.
        raise ImproperlyConfigured(
            "KEEP_EVENTS_DAYS and KEEP_DELIVERIES_DAYS are at least 3, or 0 for ever."
        )

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="filesystem://")
if CELERY_BROKER_URL.startswith("filesystem:"):
    _queue = DATA_DIR / "queue"
    _queue.mkdir(exist_ok=True, mode=0o700)
    (DATA_DIR / "queue-control").mkdir(exist_ok=True, mode=0o700)
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "data_folder_in": str(_queue),
        "data_folder_out": str(_queue),
        "control_folder": DATA_DIR / "queue-control",
        "polling_interval": 0.2,
    }
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# After a crash of the broker there may be wake-ups that nobody can confirm any more.
CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULER = "jums.beat:Scheduler"
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat-schedule")
# A wake-up nobody heard is worthless once the next one is out: let it expire.
_stale = {"expires": 3 * SWEEP_SECONDS}
CELERY_BEAT_SCHEDULE = {
    "sweep sends": {
        "task": "sends.tasks.sweep",
        "schedule": SWEEP_SECONDS,
        "options": _stale,
    },
    "sweep uploads": {
        "task": "users.tasks.sweep_uploads",
        "schedule": SWEEP_SECONDS,
        "options": _stale,
    },
    "sweep platform": {
        "task": "channels_wechat.tasks.sweep_platform",
        "schedule": SWEEP_SECONDS,
        "options": _stale,
    },
    "sweep followers": {
        "task": "users.tasks.sweep_followers",
        "schedule": SWEEP_SECONDS,
        "options": _stale,
    },
    "forget used tickets": {
        "task": "users.tasks.tidy",
        "schedule": 3600,
        "options": {"expires": 3600},
    },
    "renew access tokens": {
        "task": "channels_wechat.tasks.renew_tokens",
        "schedule": 240,
        "options": {"expires": 240},
    },
    "tidy": {
        "task": "channels_wechat.tasks.tidy",
        "schedule": 3600,
        "options": {"expires": 3600},
    },
    "retain": {
        "task": "sends.tasks.retain",
        "schedule": 3600,
        "options": {"expires": 3600},
    },
    "forget status callbacks told": {
        "task": "sends.tasks.forget_told",
        "schedule": 24 * 3600,
        "options": {"expires": 3600},
    },
    "refresh templates": {
        "task": "templates_mgmt.tasks.refresh_all",
        "schedule": 24 * 3600,
        "options": {"expires": 3600},
    },
}

# -- Django ----------------------------------------------------------------------------
INSTALLED_APPS = [
    "jums.apps.JumsConfig",
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "auditlog",
    "channels_wechat",
    "users",
    "templates_mgmt",
    "sends",
    "sandbox",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "jums.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "jums.middleware.operator_time_zone",
    "auditlog.middleware.AuditlogMiddleware",
    "axes.middleware.AxesMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
ROOT_URLCONF = "jums.urls"
WSGI_APPLICATION = "jums.wsgi.application"
LOGIN_URL = LOGOUT_REDIRECT_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "jums" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en"
LANGUAGES = [("zh-hans", _("Chinese (simplified)")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["jums.formats"]
TIME_ZONE = "Asia/Shanghai"
USE_TZ = True
USE_THOUSAND_SEPARATOR = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Served from where the packages keep them: no collectstatic before the first page,
# which takes half a minute and forgotten leaves every page broken.
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 600
# Only for `collectstatic`, when a web server in front shall serve them.
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
MEDIA_ROOT = DATA_DIR / "files"
FILE_UPLOAD_PERMISSIONS = 0o600
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024  # a paste of 100,000 ids

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "channels_wechat.api.auth.AccessKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["channels_wechat.api.auth.ResourcePermission"],
    "DEFAULT_PAGINATION_CLASS": "channels_wechat.api.pagination.CursorPagination",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["channels_wechat.api.parsing.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "channels_wechat.api.envelope.exception_handler",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "JUMS API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    # /api/ describes its own; the calls below /v1/ look at their keys themselves.
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "channelKey": {
                "type": "http",
                "scheme": "basic",
                "description": "ChannelKey as the user name, MasterSecret as the "
                "password.",
            }
        }
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    # Several resources have a `status` or `kind`, each with words of its own.
    "ENUM_NAME_OVERRIDES": {
        "ChannelStatus": "channels_wechat.api.serializers.STATUSES",
        "DeliveryStatus": "sends.api.serializers.DELIVERY_STATUSES",
        "EventStatus": "sends.api.serializers.EVENT_STATUSES",
        "ListKind": "users.models.UserList.Kind",
        "SendStatus": "sends.models.Send.Status",
        "TemplateKind": "templates_mgmt.api.serializers.KINDS",
        "UploadStatus": "users.models.Upload.Status",
    },
    # Swagger UI would ask a validator on another host.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "format": "{asctime} {levelname} {name} {message}",
            "style": "{",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # They log whole URLs, and WeChat carries the access token in the URL.
        "urllib3": {"level": "WARNING"},
        "requests": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        # "No hostname was supplied": a folder has none.
        "kombu.connection": {"level": "ERROR"},
    },
}
