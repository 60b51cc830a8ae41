"""A third-party platform to test the sandbox with: it receives, opens and calls."""

import time
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace
from urllib.parse import parse_qsl, quote, urlsplit

from channels_wechat.wechat.crypto import MessageCrypt, sign
from sandbox.bundled import SECOND_APPID


def fields_of(text):
    return {element.tag: element.text or "" for element in ElementTree.fromstring(text)}


class Component:
    """What a JUMS does as a platform, by hand."""

    def __init__(self, sandbox, receiver):
        self.sandbox, self.receiver = sandbox, receiver
        self.base = receiver.url.removesuffix("/callback")
        self.set = sandbox.platform(connect=self.base)
        self.appid, self.secret = self.set["appid"], self.set["secret"]
        self.crypt = MessageCrypt(
            self.set["token"], self.set["encoding_aes_key"], self.appid
        )

    def opened(self, push):
        """The fields inside a push, its signature and shell checked."""
        shell, query = fields_of(push.body), push.query
        parts = query["timestamp"], query["nonce"], shell["Encrypt"]
        assert query["msg_signature"] == sign(self.set["token"], *parts)
        assert query["encrypt_type"] == "aes"
        return fields_of(self.crypt.decrypt(shell["Encrypt"]))

    def passive(self, text, *, receive_id="", to="", sender="", signed=True):
        """A receiver's reply: `text`, as a platform answers a message with it."""

        def reply(push):
            fields = self.opened(push)
            plain = (
                f"<xml><ToUserName>{to or fields['FromUserName']}</ToUserName>"
                f"<FromUserName>{sender or fields['ToUserName']}</FromUserName>"
                f"<CreateTime>12345678</CreateTime><MsgType>text</MsgType>"
                f"<Content>{text}</Content></xml>"
            )
            crypt = MessageCrypt(
                self.set["token"],
                self.set["encoding_aes_key"],
                receive_id or self.appid,
            )
            parts = ["1713424427", "415670741", crypt.encrypt(plain)]
            token = self.set["token"] if signed else "another"
            return (
                f"<xml><Encrypt>{parts[2]}</Encrypt>"
                f"<MsgSignature>{sign(token, *parts)}</MsgSignature>"
                f"<TimeStamp>{parts[0]}</TimeStamp><Nonce>{parts[1]}</Nonce></xml>"
            )

        return reply

    def events(self, *kinds):
        """Authorisation events so far, tickets left out unless asked for."""
        pushes = [p for p in self.receiver.pushes if p.path == "/wechattpp/event"]
        opened = [self.opened(push) for push in pushes]
        wanted = kinds or ("authorized", "updateauthorized", "unauthorized")
        return [event for event in opened if event["InfoType"] in wanted]

    def wait_for_event(self, kind, seconds=5):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.events(kind):
                return found[-1]
            time.sleep(0.02)
        raise AssertionError(f"no {kind} within {seconds} s")

    def ticket(self):
        self.sandbox.push_ticket()
        return self.events("component_verify_ticket")[-1]["ComponentVerifyTicket"]

    def token(self, **changed):
        body = {
            "component_appid": self.appid,
            "component_appsecret": self.secret,
            "component_verify_ticket": changed.get("component_verify_ticket")
            or self.ticket(),
            **changed,
        }
        return self.sandbox.post("/cgi-bin/component/api_component_token", body)

    def call(self, name, token, /, **body):
        return self.sandbox.post(
            f"/cgi-bin/component/{name}",
            {"component_appid": self.appid, **body},
            component_access_token=token,
        )

    def link(self, token, page="/cgi-bin/componentloginpage", **more):
        code = self.call("api_create_preauthcode", token)["pre_auth_code"]
        back = quote(f"{self.base}/wechattpp/authorized/state", safe="")
        rest = "".join(f"&{name}={value}" for name, value in more.items())
        return (
            f"https://mp.weixin.qq.com{page}?component_appid={self.appid}"
            f"&pre_auth_code={quote(code, safe='')}&redirect_uri={back}{rest}"
        )

    def authorise(self, token, appid=SECOND_APPID, **how):
        """Authorise an account; return its authorization_info."""
        back = self.sandbox.scan(self.link(token), appid, **how)
        code = dict(parse_qsl(urlsplit(back).query))["auth_code"]
        answer = self.call("api_query_auth", token, authorization_code=code)
        return SimpleNamespace(code=code, **answer["authorization_info"])
