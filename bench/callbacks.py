"""Encrypted delivery callbacks, durable before the answer, beside a plain view."""

import subprocess
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests import services

from .load import post_all
from .measure import Row, Size, in_turn, ratio
from .receipts import FIRST_MSGID
from .stage import Stage, stage, wait_for

if TYPE_CHECKING:
    from channels_wechat.models import Channel

CONNECTIONS, THREADS = 64, 8
GUNICORN = ["-m", "gunicorn", "--worker-class", "gthread", "--workers", "1"]
GUNICORN += ["--no-control-socket", "--log-level", "warning", "--keep-alive", "30"]
RECEIPT = """<xml><ToUserName><![CDATA[{to}]]></ToUserName>
<FromUserName><![CDATA[{openid}]]></FromUserName>
<CreateTime>{at}</CreateTime>
<MsgType><![CDATA[event]]></MsgType>
<Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>
<MsgID>{msgid}</MsgID>
<Status><![CDATA[success]]></Status>
</xml>"""


def run(size: Size) -> list[Row]:
    with stage() as it:
        from django.db import connection

        from sends.models import Delivery, InboundEvent, Send

        from . import product

        count = size.callbacks
        product.make_people(1)
        channel = product.make_channel(1)
        send = product.new_send(channel, status=Send.Status.FINISHED)

        def refill() -> None:
            with connection.cursor() as cursor:
                cursor.execute("TRUNCATE sends_delivery, sends_inboundevent CASCADE")
                cursor.execute(
                    "INSERT INTO sends_delivery (send_id, channel_id, userid, openid,"
                    " status, reason, error, wechat_msgid) SELECT %s, %s, '',"
                    f" {product.openid_sql('n')}, 2, '', '', n + %s"
                    " FROM generate_series(1, %s) AS n",
                    [send.pk, channel.pk, FIRST_MSGID, count],
                )
            product.tidy()

        def ours() -> float:
            refill()
            port = services.free_port()
            server = _serve(it, port)
            address = f"/v1/wechatoa/callback/{channel.code}"
            post_all(port, list(_pushes(channel, address, 500, "early")), CONNECTIONS)
            pushes = list(_pushes(channel, address, count))
            rate = count / post_all(port, pushes, CONNECTIONS)
            it.stop(server)
            kept = InboundEvent.objects.filter(msgid__gte=FIRST_MSGID).count()
            assert kept == count, f"{count - kept} of {count} were lost"
            return rate

        def plain() -> float:
            refill()
            port = services.free_port()
            command = [*GUNICORN, "--threads", str(THREADS)]
            server = it.start(
                [*command, "--bind", f"127.0.0.1:{port}", "bench.plainview"],
                PLAIN_TOKEN=channel.callback_token,
                PLAIN_AES_KEY=channel.encoding_aes_key,
                PLAIN_APPID=channel.appid,
            )
            wait_for(f"http://127.0.0.1:{port}/")
            part = max(count // 5, 2000)
            post_all(port, list(_pushes(channel, "/callback", 500)), CONNECTIONS)
            pushes = list(_pushes(channel, "/callback", part))
            rate = part / post_all(port, pushes, CONNECTIONS)
            it.stop(server)
            done = Delivery.objects.filter(status=Delivery.Status.DELIVERED).count()
            assert done == part, (done, part)
            return rate

        sides = in_turn(size.rounds, "callbacks/s", {"ours": ours, "plain": plain})
        return [
            Row(
                "encrypted callbacks, none lost / a plain view with an ORM UPDATE",
                ratio(sides, "ours", "plain"),
                5,
                "at least",
                sides,
                "callbacks/s",
            )
        ]


def _serve(it: Stage, port: int) -> "subprocess.Popen[bytes]":
    """Start the receiver and wait until it listens."""
    server = it.start(["manage.py", "receiver", "--port", str(port)])
    wait_for(f"http://127.0.0.1:{port}/")
    return server


def _pushes(
    channel: "Channel", address: str, count: int, prefix: str = ""
) -> Iterator[bytes]:
    """Yield receipts as WeChat posts them: signed, encrypted, whole HTTP requests."""
    from channels_wechat.wechat.crypto import MessageCrypt, sign

    from . import rivals

    token = channel.callback_token
    crypt = MessageCrypt(token, channel.encoding_aes_key, channel.appid)
    at = int(time.time())
    for number in range(1, count + 1):
        openid = prefix + rivals.openid(number)
        text = RECEIPT.format(
            to=channel.original_id,
            openid=openid,
            at=at,
            msgid=number + (0 if prefix else FIRST_MSGID),
        )
        encrypted = crypt.encrypt(text)
        body = (
            f"<xml><ToUserName><![CDATA[{channel.original_id}]]></ToUserName>"
            f"<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        )
        nonce = f"{number:010d}"
        query = (
            f"signature={sign(token, str(at), nonce)}&timestamp={at}&nonce={nonce}"
            f"&openid={openid}&encrypt_type=aes"
            f"&msg_signature={sign(token, str(at), nonce, encrypted)}"
        )
        yield (
            f"POST {address}?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
