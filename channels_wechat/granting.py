"""What an authorisation makes of an account: a channel, a renewed one, or a reason why
not."""

import logging
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from . import signals, token_leases
from .models import (
    AccessToken,
    Authorization,
    AuthorizationCode,
    Channel,
    PlatformLink,
)
from .wechat.client import Token
from .wechat.component import AuthorizerInfo

log = logging.getLogger(__name__)

SERVICE_ACCOUNT: Final = 2
UNVERIFIED: Final = -1

# Why an account is not connected; the words are stable.
PROBLEMS: Final = {
    "mini_program": _("This is a mini-program. Choose the Official Account."),
    "subscription": _(
        "This is a subscription account. Only verified service accounts can send these "
        "messages: choose one, or upgrade the account at WeChat."
    ),
    "unverified": _(
        "This service account is not verified by WeChat, so it may not send these "
        "messages. Have it verified at WeChat, then authorise again."
    ),
    "other_account": _(
        "Another account was chosen than the one this channel belongs to. Nothing was "
        "changed here; scan again and choose the right one."
    ),
    "connected": _(
        "This account is connected already, under another channel, whose authorisation "
        "was renewed. No second channel was made."
    ),
    "by_secret": _(
        "This account is connected already by AppID and AppSecret. Open that channel "
        "and press Authorise by scan there."
    ),
    "taken": _(
        "The channel's code or name was taken meanwhile. Make a new link with others."
    ),
}


class Problem(Exception):
    """Why an account does not become a channel; `word` is one of PROBLEMS."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


def connect(
    code: AuthorizationCode, info: AuthorizerInfo, token: Token | None
) -> Channel | None:
    """Return the channel that now has the authorisation, None if nobody asked for one.

    Raises Problem.
    """
    try:
        with transaction.atomic():
            channel, problem = _channel_for(code.link, info)
            if channel is None and problem is None:
                return None
            if channel is not None:
                _grant(channel, code, info, token)
                if problem is None:
                    _done(code, channel, info)
    except IntegrityError:
        raise Problem("taken") from None
    if problem is not None:
        raise problem
    return channel


def _channel_for(
    link: PlatformLink | None, info: AuthorizerInfo
) -> tuple[Channel | None, Problem | None]:
    """Return (the channel this authorisation belongs to, what is to be said).

    A platform channel of this account gets it in any case: with the new authorisation
    WeChat has made the old one void.
    """
    known = Channel.objects.filter(appid=info.appid).first()
    wanted = link.channel if link else None
    if known is not None and (known.is_authorised or known == wanted):
        if wanted is not None and known != wanted:
            return known, Problem("other_account")
        if link and wanted is None and known.code != link.code:
            return known, Problem("connected")
        return known, None
    if link is None:
        return None, None
    if wanted is not None:
        return None, Problem("other_account")
    if known is not None:
        return None, Problem("by_secret")
    if word := kind_problem(
        info.service_type, info.verify_type, mini_program=info.is_mini_program
    ):
        return None, Problem(word)
    channel = Channel(
        code=link.code,
        name=link.name or _free_name(info.name, link.code),
        appid=info.appid,
        created_by=link.created_by,
        authorization=Channel.By.PLATFORM,
    )
    channel.save(force_insert=True)
    return channel, None


def kind_problem(
    service_type: int | None, verify_type: int | None, *, mini_program: bool = False
) -> str:
    """Return why an account of this kind cannot send, a word of PROBLEMS, or ""."""
    if mini_program:
        return "mini_program"
    if service_type is not None and service_type != SERVICE_ACCOUNT:
        return "subscription"
    return "unverified" if verify_type == UNVERIFIED else ""


def _free_name(name: str, code: str) -> str:
    """Return the account's own name as far as it fits and is free, else the code."""
    wanted = name.strip()[:30] or code
    return code if Channel.objects.filter(name=wanted).exists() else wanted


def _grant(
    channel: Channel,
    code: AuthorizationCode,
    info: AuthorizerInfo,
    token: Token | None,
) -> None:
    """Write an authorisation to its channel, and go on with what waited for it."""
    facts = {
        "platform": code.platform,
        "refresh_token": code.refresh_token,
        # The exchange's word is as of this authorisation.
        "permission_sets": code.permission_sets or list(info.permission_sets),
        "authorised_at": code.authorised_at,
        "ended_at": None,
        "account_name": info.name[:100],
        "principal": info.principal[:200],
        "service_type": info.service_type,
        "verify_type": info.verify_type,
        "account_status": info.status,
    }
    AccessToken.objects.get_or_create(channel=channel)
    rows = AccessToken.objects.filter(channel=channel)
    token_leases.lock(rows)
    granted = Authorization.objects.filter(channel=channel)
    if not granted.update(number=F("number") + 1, **facts):
        Authorization.objects.create(channel=channel, **facts)
    channel.authorization = Channel.By.PLATFORM
    channel.app_secret = ""  # of no use any more, so not to be kept
    channel.original_id = info.original_id[:32] or channel.original_id
    channel.token_ok_at = timezone.now()
    channel.refused_at = channel.refused_errcode = None
    channel.refused_errmsg = ""
    channel.save(
        update_fields=[
            "authorization",
            "app_secret",
            "original_id",
            "token_ok_at",
            "refused_at",
            "refused_errcode",
            "refused_errmsg",
        ]
    )
    if token:
        token_leases.hold(rows, token, channel.credentials)
    else:
        token_leases.drop(rows)
    signals.authorized.send(Channel, channel=channel)
    log.info("authorised channel=%s sets=%s", channel.code, facts["permission_sets"])


def _done(code: AuthorizationCode, channel: Channel, info: AuthorizerInfo) -> None:
    if code.link:
        PlatformLink.objects.filter(pk=code.link.pk).update(
            state=PlatformLink.State.DONE,
            channel=channel,
            problem="",
            errcode=None,
            errmsg="",
            account_name=info.name[:100],
            ended_at=timezone.now(),
        )
