"""Bodies as HTTP clients really send them, before Django sees the request.

* A chunked body has no length, and Django reads none without one; Java's and Node's
  clients send theirs so. It is kept aside and measured.
* What a refused call leaves unread is read all the same. The web server closes such a
  connection, and a client that is still sending then never sees why it was refused.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterable
from typing import IO, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from channels_wechat.refusals import ILLEGAL

# More than the largest file that is taken.
AT_MOST: Final = 128 * 1024 * 1024
IN_MEMORY: Final = 1024 * 1024
PIECE: Final = 64 * 1024


class WholeBodies:
    """The application, given each body with its length and left with none unread."""

    def __init__(self, application: WSGIApplication) -> None:
        self.application = application

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        # Without it a read past the end would wait for the client's next request.
        if not environ.get("wsgi.input_terminated"):
            return self.application(environ, start_response)
        if environ.pop("HTTP_TRANSFER_ENCODING", "").strip().lower() == "chunked":
            with tempfile.SpooledTemporaryFile(IN_MEMORY) as whole:
                if not _keep(environ["wsgi.input"], whole):
                    return _too_large(environ, start_response)
                environ["CONTENT_LENGTH"] = str(whole.tell())
                whole.seek(0)
                environ["wsgi.input"] = whole
                return self.application(environ, start_response)
        body: IO[bytes] = environ["wsgi.input"]
        answer = self.application(environ, start_response)
        with contextlib.suppress(OSError):  # the client is gone
            _skip(body)
        return answer


def _keep(body: IO[bytes], whole: IO[bytes]) -> bool:
    """Copy the body; False if it is too large."""
    while piece := body.read(PIECE):
        whole.write(piece)
        if whole.tell() > AT_MOST:
            return False
    return True


def _skip(body: IO[bytes]) -> None:
    left = AT_MOST
    while left > 0 and (piece := body.read(PIECE)):
        left -= len(piece)


def _too_large(
    environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    sentence = f"The body may be at most {AT_MOST} bytes."
    told: dict[str, object] = {"code": "too_large", "detail": sentence, "fields": {}}
    if environ.get("PATH_INFO", "").startswith("/v1/"):
        told = {"code": ILLEGAL, "message": sentence}
    start_response(
        "413 Request Entity Too Large",
        [("Content-Type", "application/json; charset=utf-8")],
    )
    return [json.dumps(told).encode()]
