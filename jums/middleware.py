"""What every answer carries, and the zone its times are shown in."""

import zoneinfo
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

Handler = Callable[[HttpRequest], HttpResponse]

STRICT = (
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
    "form-action 'self'; base-uri 'self'; object-src 'none'"
)
# Alpine.js inside the console's theme compiles expressions, hence unsafe-eval; styles
# are set from scripts, hence unsafe-inline for styles alone.
CONSOLE = STRICT + "; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"
TIME_ZONE_COOKIE = "jums_tz"


def content_security_policy(get_response: Handler) -> Handler:
    """Say which scripts and hosts a page may use: our own only."""

    def handle(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        console = request.path.startswith(("/console/", "/api/docs"))
        response.headers.setdefault(
            "Content-Security-Policy", CONSOLE if console else STRICT
        )
        return response

    return handle


def operator_time_zone(get_response: Handler) -> Handler:
    """Show times in the zone the operator's browser named in a cookie."""

    def handle(request: HttpRequest) -> HttpResponse:
        name = request.COOKIES.get(TIME_ZONE_COOKIE, "")
        if name in _zones():
            with timezone.override(zoneinfo.ZoneInfo(name)):
                return get_response(request)
        return get_response(request)

    return handle


def _zones() -> set[str]:
    global _known
    if not _known:
        _known = zoneinfo.available_timezones()
    return _known


_known: set[str] = set()
