"""Whose push it is, and whether it is believed: one account's way and the platform's.

Shared by the views and by the receiver (sends.api.receiver). They differ in how they
find channels and in how they answer, and in nothing else.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, cast

from django.conf import settings
from django.db.models import QuerySet

from channels_wechat import release_test
from channels_wechat.models import Channel
from channels_wechat.wechat.callbacks import (
    Mode,
    Push,
    PushRefused,
    open_push,
    parse_body,
)

# The addresses, without their leading slash, as `re_path` takes them.
ACCOUNT_PATH = r"^v1/wechatoa/callback(?:/(?P<code>[A-Za-z0-9]+))?/?\Z"
PLATFORM_PATH = r"^wechattpp/(?P<appid>wx[0-9A-Za-z]{1,30})/message\Z"


class Believed(NamedTuple):
    channel: Channel
    push: Push


def channels() -> QuerySet[Channel]:
    """Return the channels without what no push needs: opening a secret costs time."""
    return Channel.objects.defer("app_secret", "findings")


def named(code: str) -> list[Channel]:
    """Return the channel `code`, if there is one."""
    return list(channels().filter(code=code))


def receiver_of(body: bytes) -> str | None:
    """Return whom a push names as its receiver, unproven; None when it does not."""
    try:
        receiver = parse_body(body.decode()).get("ToUserName")
    except (UnicodeDecodeError, PushRefused):
        return None
    return receiver if isinstance(receiver, str) and receiver.isprintable() else None


def addressed(receiver: str) -> list[Channel]:
    """Return the channels that a push to `receiver` may be for: those of that original
    id, else those whose original id is not known yet."""
    named = list(channels().filter(original_id=receiver)) if receiver else []
    return named or list(channels().filter(original_id=""))


def authorised(appid: str) -> Channel | None:
    """Return the channel that is connected through the platform as `appid`."""
    return channels().filter(appid=appid, authorization=Channel.By.PLATFORM).first()


def for_account(
    body: bytes, query: dict[str, str], candidates: Iterable[Channel], now: datetime
) -> Believed:
    """Return the push and the one channel whose secrets it fits. Raises PushRefused."""
    believed = []
    refusal = PushRefused("wrong_receiver", "No channel has this original id.")
    for channel in candidates:
        try:
            push = open_push(
                body,
                query,
                mode=cast(Mode, channel.callback_mode),
                token=channel.callback_token,
                aes_keys=channel.aes_keys,
                receive_id=channel.appid,
                now=now,
            )
        except PushRefused as problem:
            refusal = problem
        else:
            believed.append(Believed(channel, push))
    # Two channels that share a token: nothing says whose push it is.
    if len(believed) != 1:
        raise refusal
    return believed[0]


def for_platform(
    body: bytes,
    query: dict[str, str],
    appid: str,
    channel: Channel | None,
    now: datetime,
) -> Push:
    """Return the push that came to the address of the platform's account `appid`,
    which is `channel` if we know it. Raises PushRefused."""
    push = open_push(
        body,
        query,
        mode="safe",
        token=settings.WECHATTPP_ENCODING_TOKEN,
        aes_keys=settings.WECHATTPP_ENCODING_AES_KEYS,
        receive_id=settings.WECHATTPP_COMPONENT_APP_ID,
        now=now,
    )
    expected = release_test.ACCOUNTS.get(appid) or (channel and channel.original_id)
    if expected and push.to_user != expected:
        raise PushRefused(
            "wrong_receiver", "The push is for another account than its address."
        )
    return push
