"""What WeChat pushes to a platform's authorisation event URL.

Always encrypted for the platform (its AppID is the receive id); the outer body has
`AppId` and `Encrypt`. Answered `success`, else pushed again.

Source: https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/
Before_Develop/component_verify_ticket.html and .../authorize_event.html (read 2026-11).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from .callbacks import PushRefused, field_of, open_text, parse_body

TICKET: Final = "component_verify_ticket"
AUTHORIZED: Final = "authorized"
UPDATED: Final = "updateauthorized"
UNAUTHORIZED: Final = "unauthorized"


@dataclass(frozen=True)
class ComponentEvent:
    """One event. `info_type` as WeChat writes it; what the event has not is "".

    `code_expires_at` is None unless it is a time. `key` is the same for a repeat.
    Ticket and code are secrets and left out of `repr`.
    """

    info_type: str
    created_at: datetime
    appid: str
    ticket: str = field(repr=False)
    code: str = field(repr=False)
    code_expires_at: datetime | None
    pre_auth_code: str
    key: str


def open_event(
    body: bytes,
    query: Mapping[str, str],
    *,
    token: str,
    aes_keys: Sequence[str],
    component_appid: str,
    now: datetime,
) -> ComponentEvent:
    """Return the event in a request's `body` and `query`. Raises PushRefused."""
    text = open_text(
        body,
        query,
        mode="safe",
        token=token,
        aes_keys=aes_keys,
        receive_id=component_appid,
        now=now,
    )
    fields = parse_body(text)
    info_type = field_of(fields, "infotype")
    created_at = _moment(field_of(fields, "createtime"))
    if not info_type or created_at is None or len(info_type) > 64:
        raise PushRefused("bad_body", "The push names no kind or time of creation.")
    appid = field_of(fields, "authorizerappid")
    if len(appid) > 32 or not appid.isprintable():
        raise PushRefused("bad_body", "A name in the push is too long.")
    return ComponentEvent(
        info_type=info_type,
        created_at=created_at,
        appid=appid,
        ticket=field_of(fields, "componentverifyticket"),
        code=field_of(fields, "authorizationcode"),
        code_expires_at=_moment(field_of(fields, "authorizationcodeexpiredtime")),
        pre_auth_code=field_of(fields, "preauthcode"),
        key=hashlib.sha256(text.encode()).hexdigest(),
    )


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        return None
