"""WeChat's end of its pushes to us."""

import json
import time
from urllib.parse import urlencode

from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpResponse
from django.test import Client

from channels_wechat.models import Channel
from channels_wechat.wechat.crypto import MessageCrypt, sign
from sends.api.http11 import Request
from sends.api.receiver import Receiver

RECEIPT = """<xml><ToUserName><![CDATA[{to}]]></ToUserName>
<FromUserName><![CDATA[{openid}]]></FromUserName><CreateTime>{at}</CreateTime>
<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>
<MsgID>{msgid}</MsgID><Status><![CDATA[{status}]]></Status></xml>"""


class ReceiverClient:
    """Django's test client, as far as WeChat needs it, at the receiver's door."""

    def __init__(self) -> None:
        self.receiver = Receiver()

    def post(self, path, body=b"", content_type="text/xml", query_params=None):
        return self.call(self.request(path, body, content_type, query_params))[0]

    def get(self, path, query):
        return self.call(Request("GET", path, urlencode(query), {}, b"", "127.0.0.1"))[
            0
        ]

    @staticmethod
    def request(path, body=b"", content_type="text/xml", query_params=None):
        body = body.encode() if isinstance(body, str) else body
        headers = {"host": "testserver", "content-type": content_type}
        query = urlencode(query_params or {})
        return Request("POST", path, query, headers, body, "127.0.0.1")

    def call(self, *requests):
        """Return the answers to requests of one round."""
        # As Django's client does: a test's connection stays open.
        for begins_or_ends in (request_started, request_finished):
            begins_or_ends.disconnect(close_old_connections)
        try:
            answers = dict(self.receiver(requests))
        finally:
            for begins_or_ends in (request_started, request_finished):
                begins_or_ends.connect(close_old_connections)
        return [
            HttpResponse(
                answers[number].body,
                status=answers[number].status,
                headers=dict(answers[number].headers),
            )
            for number in range(len(requests))
        ]


class WeChat:
    """Pushes to a channel as WeChat would, in the channel's own mode unless told."""

    def __init__(self, channel: Channel, client=None) -> None:
        self.channel, self.client = channel, client or Client()
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
