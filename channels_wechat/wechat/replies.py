"""What is answered to a push at once: a text to the sender, encrypted like the push.

Source: https://developers.weixin.qq.com/doc/offiaccount/Message_Management/
Passive_user_reply_message.html (read 2026-11).
"""

import secrets
from datetime import datetime

from .callbacks import Push
from .crypto import MessageCrypt, sign


def text_reply(push: Push, content: str, now: datetime) -> str:
    """Return the XML that shows `content` to whoever sent `push`."""
    return (
        f"<xml><ToUserName>{_cdata(push.from_user)}</ToUserName>"
        f"<FromUserName>{_cdata(push.to_user)}</FromUserName>"
        f"<CreateTime>{int(now.timestamp())}</CreateTime>"
        "<MsgType><![CDATA[text]]></MsgType>"
        f"<Content>{_cdata(content)}</Content></xml>"
    )


def sealed(reply: str, crypt: MessageCrypt, now: datetime) -> str:
    """Return `reply` encrypted and signed, as the body of the answer."""
    encrypted = crypt.encrypt(reply)
    timestamp, nonce = str(int(now.timestamp())), str(secrets.randbelow(10**9))
    signature = sign(crypt.token, timestamp, nonce, encrypted)
    return (
        f"<xml><Encrypt>{_cdata(encrypted)}</Encrypt>"
        f"<MsgSignature>{_cdata(signature)}</MsgSignature>"
        f"<TimeStamp>{timestamp}</TimeStamp><Nonce>{_cdata(nonce)}</Nonce></xml>"
    )


def _cdata(text: str) -> str:
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"
