"""Passive replies: what a callback answers a message with, checked as WeChat does."""

import hmac
import xml.etree.ElementTree as ElementTree

from channels_wechat.wechat.crypto import CryptoError, sign

from .outgoing import Answer
from .pushing import Route


class BadReply(ValueError):
    """WeChat would not show this reply; the sentence says why."""


def passive_text(
    route: Route, answer: Answer, openid: str, original_id: str
) -> str | None:
    """Return the text an answer shows on the phone; None for "success" and empty.

    Raises BadReply. In safe mode the reply must be encrypted, with its signature.
    """
    if answer.error:
        raise BadReply(answer.error)
    if answer.status != 200:
        raise BadReply(f"HTTP {answer.status}")
    if answer.body in (b"", b"success"):
        return None
    fields = _fields(answer.body)
    if "Encrypt" in fields:
        fields = _opened(route, fields)
    elif route.callback.mode == "safe":
        raise BadReply("the reply is not encrypted")
    if fields.get("ToUserName") != openid:
        raise BadReply(f"ToUserName is {fields.get('ToUserName')!r}, not the sender")
    if fields.get("FromUserName") != original_id:
        raise BadReply(
            f"FromUserName is {fields.get('FromUserName')!r}, not {original_id}"
        )
    if not fields.get("CreateTime", "").isdigit():
        raise BadReply("CreateTime is no number")
    if fields.get("MsgType") != "text":
        raise BadReply(f"MsgType is {fields.get('MsgType')!r}, not text")
    return fields.get("Content", "")


def _fields(body: bytes) -> dict[str, str]:
    if b"<!" in body.replace(b"<![CDATA[", b""):
        raise BadReply("a declaration in the XML")
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        text = body[:80].decode(errors="replace")
        raise BadReply(f"neither success nor XML: {text}") from None
    return {element.tag: element.text or "" for element in root}


def _opened(route: Route, fields: dict[str, str]) -> dict[str, str]:
    callback = route.callback
    try:
        parts = fields["TimeStamp"], fields["Nonce"], fields["Encrypt"]
        signature = fields["MsgSignature"]
    except KeyError as missing:
        raise BadReply(f"{missing.args[0]} is missing") from None
    if not hmac.compare_digest(sign(callback.token, *parts), signature):
        raise BadReply("MsgSignature is wrong")
    try:
        text = callback.crypt(route.receive_id).decrypt(fields["Encrypt"])
    except CryptoError as closed:
        raise BadReply(str(closed)) from None
    return _fields(text.encode())
