"""The test before nationwide release (全网发布): automatic accounts that are never
authorised, and what they expect.

Source: https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/
operation/thirdparty/releases_instructions.html (read 2026-11); case 4 is in older
editions only.
"""

import hashlib
import logging
from datetime import datetime
from typing import Final

from django.conf import settings

from . import platforms
from .background import start_on_commit
from .models import Platform, PlatformEvent
from .platform_tokens import component
from .wechat.callbacks import Push, field_of
from .wechat.client import Client
from .wechat.crypto import MessageCrypt
from .wechat.errors import ChannelRefused, WeChatError
from .wechat.replies import sealed, text_reply

log = logging.getLogger(__name__)

# AppID -> original id; an Official Account and a mini-program in each of five groups.
ACCOUNTS: Final = {
    "wx570bc396a51b8ff8": "gh_3c884a361561",
    "wxd101a85aa106f53e": "gh_8dad206e9538",
    "wx9252c5e0bb1836fc": "gh_c0f28a78b318",
    "wxc39235c15087f6f3": "gh_905ae9d01059",
    "wx8e1097c5bc82cde9": "gh_3f222ed8d140",
    "wx7720d01d4b2a4500": "gh_393666f1fdf4",
    "wx14550af28c71a144": "gh_26128078e9ab",
    "wx05d483572dcd5d8b": "gh_39abb5d4e1b7",
    "wxa35b9c23cfe664eb": "gh_2b3713f184a6",
    "wx5910277cae6fd970": "gh_7818dcb60240",
}
TEXT: Final = "TESTCOMPONENT_MSG_TYPE_TEXT"
CODE: Final = "QUERY_AUTH_CODE:"


def answer(platform: Platform, appid: str, push: Push, now: datetime) -> str:
    """Return the body that an automatic account expects as the answer to `push`."""
    content = field_of(push.fields, "content")
    if push.event:
        _note(platform, appid, push, "case 4")
        # The event's name in WeChat's own letters, not in our lower case.
        return _sealed(push, f"{field_of(push.fields, 'event')}from_callback", now)
    if content == TEXT:
        _note(platform, appid, push, "case 2")
        return _sealed(push, f"{TEXT}_callback", now)
    if content.startswith(CODE):
        # Pushed again when the answer is slow: the code works once.
        if _note(platform, appid, push, "case 3"):
            code, openid = content.removeprefix(CODE), push.from_user
            start_on_commit(
                lambda: send_back(platform, appid, code, openid), "release test"
            )
        return ""
    return "success"


def send_back(platform: Platform, appid: str, code: str, openid: str) -> None:
    """Case 3's second half: exchange the code and send it back as a message."""
    try:
        granted = component().query_auth(code)
        client = Client(settings.WECHAT_API_BASE, _Fixed(granted.token.value))
        client.send_text(openid, f"{code}_from_api")
    except WeChatError as error:
        platforms.note(
            platform,
            PlatformEvent.Kind.RELEASE_TEST,
            appid=appid,
            errcode=error.errcode,
            detail=f"case 3: {error.errmsg}",
        )
        return
    platforms.note(
        platform,
        PlatformEvent.Kind.RELEASE_TEST,
        appid=appid,
        detail="case 3, message sent",
    )


class _Fixed:
    """The token just obtained, which nobody renews: the account is not kept."""

    def __init__(self, value: str) -> None:
        self._value = value

    def get(self) -> str:
        return self._value

    def renew(self, refused: str) -> str:
        raise ChannelRefused(
            "WeChat refuses the access token it has just given.", 40001
        )


def _note(platform: Platform, appid: str, push: Push, case: str) -> bool:
    key = hashlib.sha256(f"{appid} {push.key}".encode()).hexdigest()
    log.info("release test %s appid=%s", case, appid)
    return platforms.note(
        platform, PlatformEvent.Kind.RELEASE_TEST, appid=appid, detail=case, key=key
    )


def _sealed(push: Push, content: str, now: datetime) -> str:
    crypt = MessageCrypt(
        settings.WECHATTPP_ENCODING_TOKEN,
        settings.WECHATTPP_ENCODING_AES_KEYS[0],
        settings.WECHATTPP_COMPONENT_APP_ID,
    )
    return sealed(text_reply(push, content, now), crypt, now)
