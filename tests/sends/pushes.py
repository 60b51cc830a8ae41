"""WeChat's end of its pushes to us."""

import json
import time

from django.test import Client

from channels_wechat.models import Channel
from channels_wechat.wechat.crypto import MessageCrypt, sign

RECEIPT = """<xml><ToUserName><![CDATA[{to}]]></ToUserName>
<FromUserName><![CDATA[{openid}]]></FromUserName><CreateTime>{at}</CreateTime>
<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>
<MsgID>{msgid}</MsgID><Status><![CDATA[{status}]]></Status></xml>"""


class WeChat:
    """Pushes to a channel as WeChat would, in the channel's own mode unless told."""

    def __init__(self, channel: Channel) -> None:
        self.channel, self.client = channel, Client()
        self.path = f"/v1/wechatoa/callback/{channel.code}"

    def query(self, *parts: str, at: float | None = None, **more: str) -> dict:
        stamp = str(int(at or time.time()))
        token = self.channel.callback_token
        return {
            "timestamp": stamp,
            "nonce": "1320562132",
            "signature": sign(token, stamp, "1320562132"),
            **(
                {"msg_signature": sign(token, stamp, "1320562132", *parts)}
                if parts
                else {}
            ),
            **more,
        }

    def push(
        self, text, *, mode=None, key=None, appid=None, at=None, path=None, **more
    ):
        mode = mode or self.channel.callback_mode
        if mode == "plain":
            return self.post(text, self.query(at=at, **more), path)
        crypt = MessageCrypt(
            self.channel.callback_token,
            key or self.channel.encoding_aes_key,
            appid or self.channel.appid,
        )
        encrypted = crypt.encrypt(text)
        query = {**self.query(encrypted, at=at), "encrypt_type": "aes", **more}
        if text.startswith("{"):
            outer = json.loads(text) if mode == "compatible" else {}
            body = json.dumps(
                {**outer, "ToUserName": self.channel.original_id, "Encrypt": encrypted}
            )
        else:
            to_user = f"<ToUserName>{self.channel.original_id}</ToUserName>"
            readable = text[5:-6] if mode == "compatible" else to_user
            body = f"<xml>{readable}<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        return self.post(body, query, path)

    def post(self, body, query, path=None):
        return self.client.post(
            path or self.path, body, content_type="text/xml", query_params=query
        )

    def receipt(self, msgid=1, status="success", openid="o-1", **how):
        text = RECEIPT.format(
            to=self.channel.original_id,
            openid=openid,
            at=int(time.time()),
            msgid=msgid,
            status=status,
        )
        return self.push(text, **how)
