"""One call to WeChat's server API: the connection, the bounds, the answer's errcode.

Texts go out as raw UTF-8 JSON. Answers are read as UTF-8 whatever their header says,
and leniently: raw control characters and an `errcode` in quotes both occur. Nothing
here waits or retries.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

import certifi
import requests
from urllib3.exceptions import HTTPError

from . import errors

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 15
WHOLE_ANSWER_S = 60
# A follower page of 10,000 openIDs is 320 kB.
MAX_ANSWER_BYTES = 8 * 1024 * 1024


def open_session() -> requests.Session:
    """Return a session that takes nothing from the environment."""
    session = requests.Session()
    # No proxy, netrc or CA bundle from the environment: the token is in every URL.
    session.trust_env = False
    session.verify = certifi.where()
    session.headers["User-Agent"] = "jums"
    return session


def call(
    session: requests.Session,
    base_url: str,
    method: str,
    path: str,
    *,
    params: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Return (answer, headers), the errcode checked. Raises WeChatError classes."""
    try:
        with session.request(
            method,
            base_url.rstrip("/") + path,
            params=params,
            data=body,
            headers={"Content-Type": "application/json"} if body is not None else None,
            timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            allow_redirects=False,
            stream=True,
        ) as response:
            raw = _read(response, time.monotonic() + WHOLE_ANSWER_S)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        # `from None`: the cause's text repeats the URL, and the URL the access token.
        raise errors.WeChatUnavailable(f"{path}: {type(error).__name__}") from None
    if response.status_code != 200:
        raise errors.WeChatUnavailable(f"{path}: HTTP {response.status_code}")
    answer = parse_answer(raw)
    if answer is None:
        raise errors.WeChatUnavailable(f"{path}: the answer is not JSON")
    errcode = errcode_of(answer)
    if errcode:
        raise errors.error_for(errcode, str(answer.get("errmsg", "")))
    return answer, response.headers


def _read(response: requests.Response, deadline: float) -> bytes:
    """Return the body. The read time-out alone is for each piece, of which a slow
    sender could make any number. Raises ValueError past either bound."""
    body = bytearray()
    while piece := response.raw.read1(65536, decode_content=True):
        body += piece
        if len(body) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
            raise ValueError
    return bytes(body)


def parse_answer(raw: bytes) -> dict[str, Any] | None:
    """Return WeChat's JSON object, None if it is none."""
    try:
        answer = json.loads(raw.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def errcode_of(answer: Mapping[str, Any]) -> int:
    """Return the answer's errcode; 0 when it is absent, -1 when it is no number."""
    try:
        return int(answer.get("errcode") or 0)
    except (TypeError, ValueError):
        return -1


def text_of(answer: Mapping[str, Any], key: str) -> str:
    """Return the text of a field, "" when it is none."""
    value = answer.get(key)
    return value if isinstance(value, str) else ""


def number_of(answer: Mapping[str, Any], key: str) -> int:
    """Return the number of a field, 0 when it is none."""
    try:
        return int(answer.get(key) or 0)
    except (TypeError, ValueError):
        return 0


def objects_of(answer: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the objects in a list, [] when it is none."""
    value = answer.get(key)
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, dict)]


def to_json(body: object) -> bytes:
    """Return `body` as WeChat wants it: raw UTF-8, no spaces."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
