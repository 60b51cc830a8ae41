"""One round trip of a visitor through WeChat: away with a state, back with a code.

The state is signed, ends after ten minutes and works once. What the visit is for stays
in a signed cookie of the same name: so a state that somebody else brings back, from a
link they were sent or a log they read, is refused.
"""

import hashlib
import hmac
import re
import secrets
import time
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from channels_wechat.models import Channel

from . import binding

LIFE_S: Final = 600
_SALT: Final = "jums visit"
# WeChat allows letters and digits, 128 at most.
_STATE: Final = re.compile(r"([0-9a-f]{32})([0-9a-f]{8})([0-9a-f]{40})").fullmatch


class StateRefused(ValueError):
    """A state that is not this visitor's; `reason` is "forged", "expired", "stolen" or
    "used"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Purpose(NamedTuple):
    """What a visit is for: back to a login page with the enterprise's own state, or a
    link that carries a userid."""

    login_page: str = ""
    their_state: str = ""
    link: str = ""


def begin(channel: Channel, purpose: Purpose) -> tuple[str, tuple[str, str]]:
    """Return the state for WeChat, and the cookie (name, value) to set with it."""
    nonce, issued = secrets.token_hex(16), f"{int(time.time()):08x}"
    state = f"{nonce}{issued}{_signature(channel, nonce, issued)}"
    kept = signing.dumps({"n": nonce, "p": list(purpose)}, salt=_SALT, compress=True)
    return state, (_cookie_name(nonce), kept)


def set_cookie(response: HttpResponse, cookie: tuple[str, str]) -> None:
    """Keep the visit in the browser that began it. Lax: it comes back from WeChat's
    page by a link, not by a form."""
    name, value = cookie
    response.set_cookie(
        name,
        value,
        max_age=LIFE_S,
        path="/bind/",
        httponly=True,
        samesite="Lax",
        secure=settings.PUBLIC_URL.startswith("https:"),
    )


def finish(channel: Channel, request: HttpRequest, state: str) -> Purpose:
    """Return what the visit was for; from now on its state is used.

    Raises StateRefused.
    """
    found = _STATE(state)
    if not found:
        raise StateRefused("forged")
    nonce, issued, signature = found.groups()
    if not hmac.compare_digest(signature, _signature(channel, nonce, issued)):
        raise StateRefused("forged")
    ends = int(issued, 16) + LIFE_S
    if ends < time.time():
        raise StateRefused("expired")
    kept = _kept(request.COOKIES.get(_cookie_name(nonce), ""))
    if kept.get("n") != nonce:
        raise StateRefused("stolen")
    digest = hashlib.sha256(f"visit {nonce}".encode()).hexdigest()
    if not binding.spend(digest, datetime.fromtimestamp(ends, UTC)):
        raise StateRefused("used")
    return Purpose(*kept["p"])


def forget_cookie(response: HttpResponse, state: str) -> None:
    """Take the cookie of a finished visit away."""
    response.delete_cookie(_cookie_name(state[:32]), path="/bind/", samesite="Lax")


def _kept(cookie: str) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = signing.loads(cookie, salt=_SALT, max_age=LIFE_S)
    except signing.BadSignature:
        return {}
    return kept


def _cookie_name(nonce: str) -> str:
    return f"jums_bind_{nonce[:12]}"


def _signature(channel: Channel, nonce: str, issued: str) -> str:
    key = hashlib.sha256(b"jums visit" + settings.SECRET_KEY.encode()).digest()
    text = f"{channel.code} {nonce} {issued}".encode()
    return hmac.digest(key, text, "sha256").hex()[:40]
