"""The receiver: WeChat's pushes at volume, answered after a commit that many share.

What a round of the server brought is verified one by one and stored by one INSERT;
`success` leaves when that is committed. Everything else (a push that is not believed, a
look at the address, an account of the release test) goes to the views, through Django's
own handler: so a refusal is the same here as there, and is noted alike.

Channels are looked up at most once a second. A push that does not fit what is known
goes to the view, which looks itself.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from io import BytesIO
from re import compile as pattern
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

from django.core.signals import request_started
from django.core.wsgi import get_wsgi_application
from django.db import DatabaseError, InterfaceError, OperationalError
from django.utils import timezone

from channels_wechat import platforms, release_test
from channels_wechat.models import Channel
from channels_wechat.secrets import SecretUnreadable
from channels_wechat.wechat.callbacks import PushRefused
from sends import believing
from sends.believing import Believed
from sends.receiving import store_many

from .http11 import FAULT, Answer, Request
from .ringing import ring

log = logging.getLogger(__name__)
Found = TypeVar("Found")

LOOK_EVERY_S: Final = 1.0
SUCCESS: Final = Answer(200, b"success")
NOT_HERE: Final = Answer(404, b"not_found")
ALIVE: Final = Answer(200, b"ok")

_ACCOUNT = pattern(believing.ACCOUNT_PATH)
_PLATFORM = pattern(believing.PLATFORM_PATH)


class Receiver:
    """Answers the requests of one round; see `http11.Handle`."""

    def __init__(self) -> None:
        self._django = get_wsgi_application()
        self._known: dict[object, Any] = {}
        self._known_until = 0.0

    def __call__(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        # A round is to the database what a request is: a broken connection goes first.
        request_started.send(sender=type(self))
        if time.monotonic() >= self._known_until:
            self._known.clear()
            self._known_until = time.monotonic() + LOOK_EVERY_S
        now = timezone.now()
        try:
            believed, others = self._sorted(requests, now)
            stored = self._store(list(believed.values()), now)
        except (OperationalError, InterfaceError) as error:
            # The database is away: WeChat pushes again.
            log.error("nothing stored error=%s", type(error).__name__)
            yield from ((number, FAULT) for number in range(len(requests)))
            return
        if stored:
            yield from ((number, SUCCESS) for number in believed)
        else:
            others += believed
        for number in others:
            yield number, self._from_view(requests[number])

    def _sorted(
        self, requests: Sequence[Request], now: datetime
    ) -> tuple[dict[int, Believed], list[int]]:
        """Return what is believed by the number of its request, and the rest."""
        believed: dict[int, Believed] = {}
        others = []
        for number, request in enumerate(requests):
            found = self._believed(request, now) if request.method == "POST" else None
            if found:
                believed[number] = found
            else:
                others.append(number)
        return believed, others

    def _store(self, believed: Sequence[Believed], now: datetime) -> bool:
        """Store all in one; False when the database does not take them as they are:
        then the views take them one by one, and only the culprit fails."""
        if not believed:
            return True
        try:
            to_apply = store_many(believed, now)
        except (OperationalError, InterfaceError):
            raise
        except DatabaseError as error:
            log.warning("one by one error=%s", type(error).__name__)
            self._known_until = 0.0
            return False
        for channel_pk in to_apply:
            ring(channel_pk)
        return True

    def _believed(self, request: Request, now: datetime) -> Believed | None:
        path = request.path[1:]
        try:
            query = _parsed(request.query)
            if match := _ACCOUNT.match(path):
                channels = self._channels(match["code"] or "", request.body)
                return believing.for_account(request.body, query, channels, now)
            if match := _PLATFORM.match(path):
                return self._of_platform(match["appid"], query, request.body, now)
        except (PushRefused, SecretUnreadable, ValueError):
            pass  # the view says so
        return None

    def _channels(self, code: str, body: bytes) -> list[Channel]:
        if code:
            return self._look(("code", code), lambda: believing.named(code))
        receiver = believing.receiver_of(body)
        if receiver is None:
            return []
        return self._look(("receiver", receiver), lambda: believing.addressed(receiver))

    def _of_platform(
        self, appid: str, query: dict[str, str], body: bytes, now: datetime
    ) -> Believed | None:
        if not platforms.is_set_up() or appid in release_test.ACCOUNTS:
            return None
        channel = self._look(("appid", appid), lambda: believing.authorised(appid))
        if channel is None:
            return None
        push = believing.for_platform(body, query, appid, channel, now)
        return Believed(channel, push)

    def _look(self, key: object, find: Callable[[], Found]) -> Found:
        if key not in self._known:
            self._known[key] = find()
        found: Found = self._known[key]
        return found

    def _from_view(self, request: Request) -> Answer:
        """Answer as the view does."""
        path = unquote_to_bytes(request.path).decode("latin-1")
        if path == "/healthz":
            return ALIVE
        if not _ACCOUNT.match(path[1:]) and not _PLATFORM.match(path[1:]):
            return NOT_HERE
        head: list[tuple[str, list[tuple[str, str]]]] = []

        def start(
            status: str, headers: list[tuple[str, str]], _info: object = None
        ) -> Callable[[bytes], object]:
            head.append((status, headers))
            return lambda _body: None

        pieces = self._django(_environ(request, path), start)
        body = b"".join(pieces)
        if hasattr(pieces, "close"):
            pieces.close()
        status, headers = head[-1]
        kept = [(k, v) for k, v in headers if k.lower() != "content-length"]
        return Answer(int(status.split(" ", 1)[0]), body, tuple(kept))


def _parsed(query: str) -> dict[str, str]:
    """Return a query as Django reads it. Raises ValueError for too many parts."""
    if "%" in query or "+" in query:
        return dict(parse_qsl(query, True, max_num_fields=100))
    parts = (part.partition("=") for part in query.split("&"))
    return {name: value for name, _equals, value in parts}


def _environ(request: Request, path: str) -> dict[str, Any]:
    """Return the request as WSGI knows it (PEP 3333)."""
    headers = {
        "HTTP_" + name.upper().replace("-", "_"): value
        for name, value in request.headers.items()
        # `_` and `-` would become the same: a client must not write a proxy's header.
        if "_" not in name
    }
    return {
        **headers,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": request.query,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": request.address,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(request.body),
        "wsgi.errors": None,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
