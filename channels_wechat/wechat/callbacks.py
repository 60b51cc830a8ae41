"""What WeChat pushes to us: verified by the configured mode, decrypted, parsed.

The configured mode decides, never the request: an attacker who leaves `encrypt_type`
out of a query must not be believed with a readable body. The body is XML or JSON, told
apart by its first character. Nothing here acts on a push: whoever calls stores it once
by its `key`, answers `success`, and works later. Order is not guaranteed, repeats are
normal.

Source: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/
Access_Overview.html, .../Message_Management/Receiving_event_pushes.html and
https://developers.weixin.qq.com/miniprogram/dev/framework/server-ability/
message-push.html (read 2026-11).
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from xml.parsers import expat

from .crypto import WRONG_RECEIVER, CryptoError, MessageCrypt, sign

Mode = Literal["plain", "compatible", "safe"]
Reason = Literal[
    "bad_signature",
    "downgraded",
    "stale",
    "bad_body",
    "wrong_receiver",
    "too_large",
    "not_decrypted",
]

# WeChat's largest pushes are a few kilobytes; texts of users are 2 kB at most.
MAX_BODY_BYTES = 256 * 1024
MAX_DEPTH = 8
MAX_KEY = 200
MAX_NAME = 64
MAX_REASON = 100

_UNSTORABLE = re.compile(r"[\ud800-\udfff]|\\u0000")
_ECHO = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")


class PushRefused(Exception):
    """A push that is not believed. `reason` is a stable word, `sentence` English."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(reason, sentence)
        self.reason, self.sentence = reason, sentence

    def __str__(self) -> str:
        return f"{self.reason}: {self.sentence}"


@dataclass(frozen=True)
class Push:
    """A message or an event of one user.

    `event` is in lower case, "" for messages; `fields` holds the rest of the body as it
    came (text or JSON's numbers; repeated elements are a list); `text` is the readable
    body. `key` is the same for a repeat of the same push, at most 200 characters.
    """

    to_user: str
    from_user: str
    created_at: datetime
    msg_type: str
    event: str
    fields: dict[str, Any]
    text: str
    key: str


class Receipt(NamedTuple):
    """WeChat's later word on one template message. `msgid` is 0 when it gave none;
    `reason` is WeChat's, in lower case, e.g. "user block"; "" on success."""

    msgid: int
    status: Literal["success", "failed"]
    reason: str


def verify_url(query: Mapping[str, str], token: str) -> str:
    """Return the echostr to answer when the administrator saves our address.

    It is not encrypted in any mode. Raises PushRefused (bad_signature, bad_body).
    """
    _check_signature(query, "signature", token)
    echostr = query.get("echostr", "")
    # Anything else is no echostr of WeChat's, and could be a page to reflect.
    if not _ECHO.match(echostr):
        raise PushRefused("bad_body", "The echostr is missing or not WeChat's.")
    return echostr


def open_push(
    body: bytes,
    query: Mapping[str, str],
    *,
    mode: Mode,
    token: str,
    aes_keys: Sequence[str],
    receive_id: str,
    now: datetime,
    window_s: int = 1800,
) -> Push:
    """Return the push in a request's `body` and `query`, believed by `mode`.

    `aes_keys` are the current EncodingAESKey and the previous one: after a change
    WeChat may use either for a while. `now` is aware. Raises PushRefused.
    """
    return _push(
        open_text(
            body,
            query,
            mode=mode,
            token=token,
            aes_keys=aes_keys,
            receive_id=receive_id,
            now=now,
            window_s=window_s,
        )
    )


def open_text(
    body: bytes,
    query: Mapping[str, str],
    *,
    mode: Mode,
    token: str,
    aes_keys: Sequence[str],
    receive_id: str,
    now: datetime,
    window_s: int = 1800,
) -> str:
    """Return the readable body of a request, believed as by `open_push`."""
    if len(body) > MAX_BODY_BYTES:
        raise PushRefused("too_large", f"The body has {len(body)} bytes.")
    if mode == "plain":
        _check_signature(query, "signature", token)
        _check_age(query, now, window_s)
        return _decoded(body)
    if query.get("encrypt_type") != "aes" or not query.get("msg_signature"):
        raise PushRefused(
            "downgraded",
            f"The channel is in {mode} mode, but the push is not encrypted. Choose the "
            "same mode here and in WeChat's console.",
        )
    encrypted = parse_body(_decoded(body)).get("Encrypt")
    if not isinstance(encrypted, str) or not encrypted.isascii() or not encrypted:
        raise PushRefused("downgraded", "The push has no encrypted part.")
    # `signature` says nothing about the body; only this one covers it.
    _check_signature(query, "msg_signature", token, encrypted)
    _check_age(query, now, window_s)
    return _decrypted(encrypted.strip(), token, aes_keys, receive_id)


def receipt_of(push: Push) -> Receipt | None:
    """Return the receipt in `push`, None when it is something else.

    Source: https://developers.weixin.qq.com/doc/offiaccount/Message_Management/
    Template_Message_Interface.html#6 (read 2026-11).
    """
    if push.event != "templatesendjobfinish":
        return None
    msgid = field_of(push.fields, "msgid")
    # "failed:user block" and "failed: system failed" both occur.
    status, _colon, reason = (
        field_of(push.fields, "status").strip().lower().partition(":")
    )
    if status.strip() == "success":
        return Receipt(_integer(msgid), "success", "")
    reason = reason.strip() or status.strip()
    return Receipt(_integer(msgid), "failed", reason[:MAX_REASON])


def parse_body(text: str) -> dict[str, Any]:
    """Return the fields of an XML or JSON body. Raises PushRefused (bad_body)."""
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return _parse_json(text.lstrip("\ufeff"))
    return _parse_xml(text.lstrip("\ufeff \t\r\n"))


# -- believing -------------------------------------------------------------------------


def _check_signature(
    query: Mapping[str, str], name: str, token: str, *parts: str
) -> None:
    expected = sign(token, query.get("timestamp", ""), query.get("nonce", ""), *parts)
    given = query.get(name, "")
    # An empty token would let anyone sign.
    if not token or not hmac.compare_digest(expected.encode(), given.encode()):
        raise PushRefused(
            "bad_signature",
            "The signature does not fit. Compare the Token here and in WeChat's "
            "console.",
        )


def _check_age(query: Mapping[str, str], now: datetime, window_s: int) -> None:
    sent_at = _integer(query.get("timestamp", ""))
    age_s = round(now.timestamp()) - sent_at
    if abs(age_s) > window_s:
        raise PushRefused(
            "stale",
            f"The push is {abs(age_s)} s {'old' if age_s > 0 else 'in the future'}; "
            f"at most {window_s} s are believed. Compare this server's clock.",
        )


def _decrypted(
    encrypted: str, token: str, aes_keys: Sequence[str], receive_id: str
) -> str:
    refused = PushRefused("not_decrypted", "The channel has no EncodingAESKey.")
    for aes_key in aes_keys:
        try:
            return MessageCrypt(token, aes_key, receive_id).decrypt(encrypted)
        except CryptoError as error:
            if error.code == WRONG_RECEIVER:
                # The key opened it, so no other key will do better.
                raise PushRefused(
                    "wrong_receiver",
                    "The push is for another AppID. Compare the AppID here and in "
                    "WeChat's console.",
                ) from None
            refused = PushRefused(
                "not_decrypted",
                f"{error.message} Compare the EncodingAESKey here and in WeChat's "
                "console.",
            )
    raise refused


# -- reading ---------------------------------------------------------------------------


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise PushRefused("bad_body", "The body is not UTF-8.") from None


def _push(text: str) -> Push:
    fields = parse_body(text)
    if "FromUserName" not in fields and "Encrypt" in fields:
        raise PushRefused(
            "bad_body",
            "The push is encrypted, but the channel is in plain mode. Choose the same "
            "mode here and in WeChat's console.",
        )
    plain = _plain(fields)
    to_user = plain.get("tousername", "")
    from_user = plain.get("fromusername", "")
    msg_type = plain.get("msgtype", "").lower()
    event = plain.get("event", "").lower()
    if not to_user or not from_user or not msg_type:
        raise PushRefused("bad_body", "The push names no sender, receiver or type.")
    if max(map(len, (to_user, from_user, msg_type, event))) > MAX_NAME:
        raise PushRefused("bad_body", "A name in the push is too long.")
    try:
        created_at = datetime.fromtimestamp(int(plain.get("createtime", "")), UTC)
    except (ValueError, OverflowError, OSError):
        raise PushRefused("bad_body", "The push has no time of creation.") from None
    if msg_type != "event":
        event = ""
    return Push(
        to_user=to_user,
        from_user=from_user,
        created_at=created_at,
        msg_type=msg_type,
        event=event,
        fields=fields,
        text=text,
        key=_key(fields, plain, round(created_at.timestamp()), event),
    )


def _key(
    fields: Mapping[str, Any], plain: Mapping[str, str], created: int, event: str
) -> str:
    """Return what is the same in every repeat, and differs between two pushes.

    WeChat says sender and time suffice for events; two results for one user in the same
    second show that they do not.
    """
    msgid = plain.get("msgid", "")
    if not event and msgid:
        return f"msg {msgid}"[:MAX_KEY]
    from_user, event_key = plain["fromusername"], plain.get("eventkey", "")
    parts = [from_user, str(created), event, msgid, event_key]
    parts += sorted(_all_values(fields, "TemplateId"))
    key = " ".join(parts)
    if len(key) > MAX_KEY:
        return "sha256 " + hashlib.sha256(key.encode()).hexdigest()
    return key


def field_of(fields: Mapping[str, Any], name: str) -> str:
    """Return the text of a field whatever the case of its name: MsgID and MsgId both
    occur. "" when absent or not plain."""
    for key, value in fields.items():
        if key.lower() == name and isinstance(value, str | int):
            return str(value)
    return ""


def _plain(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return what `field_of` finds, by name: one walk instead of one for each."""
    found: dict[str, str] = {}
    for key, value in fields.items():
        if isinstance(value, str | int):
            found.setdefault(key.lower(), str(value))
    return found


def _all_values(value: Any, name: str) -> Iterator[str]:
    """Yield every text called `name` at any depth: one List is a dict, two are a
    list."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == name and isinstance(inner, str):
                yield inner
            else:
                yield from _all_values(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _all_values(inner, name)


def _integer(text: str) -> int:
    """Return a number that fits into 63 bits, 0 for anything else."""
    number = int(text) if re.fullmatch(r"[0-9]{1,19}", text) else 0
    return number if number < 1 << 63 else 0


def _parse_json(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        raise PushRefused("bad_body", "The body is not valid JSON.") from None
    if not isinstance(fields, dict):
        raise PushRefused("bad_body", "The body is no JSON object.")
    # Escapes can smuggle in what no database stores: U+0000 and half surrogate pairs.
    if "\\u" in text and _UNSTORABLE.search(json.dumps(fields, ensure_ascii=False)):
        raise PushRefused("bad_body", "The body has characters that are no text.")
    return fields


def _parse_xml(text: str) -> dict[str, Any]:
    """Return the children of the root: text, a dict of children, or a list where a name
    repeats. expat alone is half the cost of a tree that is then walked, and of all that
    can go wrong in XML only a DTD matters to it: it is refused."""
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    root: dict[str, Any] = {}
    stack: list[tuple[str, dict[str, Any], list[str]]] = []

    def start(name: str, _attributes: object) -> None:
        if len(stack) >= MAX_DEPTH:
            raise PushRefused("bad_body", "The body is nested too deeply.")
        stack.append((name, {}, []))

    def end(_name: str) -> None:
        name, children, texts = stack.pop()
        if not stack:
            root.update(children)
            return
        value: Any = children or "".join(texts)
        siblings = stack[-1][1]
        if name not in siblings:
            siblings[name] = value
        elif isinstance(siblings[name], list):
            siblings[name].append(value)
        else:
            siblings[name] = [siblings[name], value]

    def text_piece(piece: str) -> None:
        stack[-1][2].append(piece)

    def doctype(*_: object) -> None:
        raise PushRefused("bad_body", "The body has a document type.")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text_piece
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError:
        raise PushRefused("bad_body", "The body is neither XML nor JSON.") from None
    return root
