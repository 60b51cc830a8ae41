"""Authorising: a scan becomes a channel, or renews one.

WeChat brings the authorisation code by the browser and by an event, in either order,
both twice or one of them never. Whichever comes first stores it; it is exchanged once,
by whoever holds the row's lease. What the exchange gave is stored before anything else
is asked, so that a death in between loses nothing.
"""

import logging
from datetime import datetime, timedelta
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from . import avatars, links, platforms, signals, token_leases, tokens
from .background import start_on_commit
from .models import (
    AccessToken,
    Authorization,
    AuthorizationCode,
    Channel,
    Platform,
    PlatformEvent,
    PlatformLink,
)
from .platform_tokens import component, listed_refresh_token
from .wechat import component_events
from .wechat.client import Token
from .wechat.component import AuthorizerInfo, Component
from .wechat.component_events import ComponentEvent
from .wechat.errors import ChannelRefused, WeChatError

log = logging.getLogger(__name__)
State = AuthorizationCode.State
Kind = PlatformEvent.Kind

# Codes live ten minutes, older ones an hour; WeChat refuses what is too old.
CODE_LIFE: Final = timedelta(hours=1)
LEASE: Final = timedelta(minutes=2)
RETRY_S: Final = (1, 2, 5, 10, 30)
CODE_USED: Final = {61009, 61010}
GONE: Final = {61003, 61023}
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


class _Problem(Exception):
    """Why an account does not become a channel; `word` is one of PROBLEMS."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


# -- what comes in ---------------------------------------------------------------------


def come_back(link: PlatformLink, code: str, expires_in_s: int) -> None:
    """The browser brought a code: exchange it now, while somebody watches."""
    now = timezone.now()
    row = _keep(
        link.platform, code, "", link, now, now + timedelta(seconds=expires_in_s)
    )
    redeem(row.pk)


def take(platform: Platform, event: ComponentEvent) -> None:
    """Act on a push to the authorisation event URL; a repeat changes nothing.

    Everything that must not be lost is in the database when this returns.
    """
    match event.info_type:
        case component_events.TICKET:
            if event.ticket:
                platforms.take_ticket(platform, event.ticket, event.created_at)
        case component_events.AUTHORIZED:
            _take_code(platform, event, Kind.AUTHORIZED)
        case component_events.UPDATED:
            _take_code(platform, event, Kind.UPDATED)
        case component_events.UNAUTHORIZED:
            _take_end(platform, event)
        case _:
            platforms.note(
                platform,
                Kind.OTHER,
                appid=event.appid,
                detail=event.info_type,
                key=event.key,
            )


def _take_code(platform: Platform, event: ComponentEvent, kind: Kind) -> None:
    with transaction.atomic():
        if not platforms.note(platform, kind, appid=event.appid, key=event.key):
            return
        if not event.code:
            return
        link = links.of_pre_auth_code(event.pre_auth_code)
        expires_at = event.code_expires_at or timezone.now() + CODE_LIFE
        row = _keep(
            platform, event.code, event.appid, link, event.created_at, expires_at
        )
        start_on_commit(lambda: redeem(row.pk), "redeem")


def _keep(
    platform: Platform,
    code: str,
    appid: str,
    link: PlatformLink | None,
    authorised_at: datetime,
    expires_at: datetime,
) -> AuthorizationCode:
    """Store a code, or add to what is stored what this messenger knows more."""
    now = timezone.now()
    row, made = AuthorizationCode.objects.get_or_create(
        fingerprint=links.fingerprint(code),
        defaults={
            "platform": platform,
            "value": code,
            "appid": appid,
            "link": link,
            "authorised_at": authorised_at,
            "received_at": now,
            "expires_at": expires_at,
            "due_at": now,
        },
    )
    if made:
        return row
    rows = AuthorizationCode.objects.filter(pk=row.pk)
    if link:
        rows.filter(link=None).update(link=link)
    if appid:
        rows.filter(appid="").update(appid=appid)
        # Knowing the account, a code that somebody used up can be made up for.
        rows.filter(state=State.FAILED).update(
            state=State.WAITING, due_at=now, value=code
        )
    if authorised_at < row.authorised_at:
        # WeChat's own time is the better one.
        rows.update(authorised_at=authorised_at)
        Authorization.objects.filter(
            channel__appid=row.appid, authorised_at=row.authorised_at
        ).update(authorised_at=authorised_at)
    return row


def _take_end(platform: Platform, event: ComponentEvent) -> None:
    with transaction.atomic():
        if not platforms.note(
            platform, Kind.UNAUTHORIZED, appid=event.appid, key=event.key
        ):
            return
        granted = (
            Authorization.objects.select_related("channel")
            .filter(platform=platform, channel__appid=event.appid, ended_at=None)
            .first()
        )
        if granted is None:
            return
        since = granted.authorised_at.replace(microsecond=0)
        if event.created_at > since:
            end(granted.channel, event.created_at)
        elif event.created_at == since:
            # In the same second: only WeChat knows which came first.
            channel = granted.channel
            start_on_commit(lambda: verify(channel), "verify")
        else:
            log.info("old withdrawal ignored channel=%s", granted.channel.code)


# -- the end ---------------------------------------------------------------------------


def end(channel: Channel, at: datetime) -> None:
    """The account withdrew its authorisation: no call is made for it from now on."""
    refusal = ChannelRefused("The account withdrew its authorisation.", 61003)
    with transaction.atomic():
        if not Authorization.objects.filter(channel=channel, ended_at=None).update(
            ended_at=at, refresh_token=""
        ):
            return
        token_leases.drop(AccessToken.objects.filter(channel=channel))
        if channel.is_authorised:
            platforms.refuse(channel, refusal)
            signals.authorization_ended.send(Channel, channel=channel)
    log.warning("authorisation ended channel=%s", channel.code)


def verify(channel: Channel) -> None:
    """Ask WeChat whether the account is still authorised, and end it here if not."""
    try:
        tokens.ask(channel)
    except ChannelRefused as refused:
        if refused.errcode in GONE:
            end(channel, timezone.now())
    except WeChatError as error:
        log.warning("not verified channel=%s error=%s", channel.code, error)


# -- the exchange ----------------------------------------------------------------------


def due_codes() -> list[int]:
    """Return codes to exchange that nobody is exchanging."""
    now = timezone.now()
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    waiting = AuthorizationCode.objects.filter(
        free, state=State.WAITING, due_at__lte=now
    )
    return list(waiting.values_list("pk", flat=True))


def redeem(pk: int) -> None:
    """Exchange a code and connect its account. Safe to call twice or to lose."""
    now = timezone.now()
    rows = AuthorizationCode.objects.filter(pk=pk)
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    if not rows.filter(free, state=State.WAITING).update(
        claimed_until=now + LEASE, attempts=F("attempts") + 1
    ):
        return
    code = rows.select_related("link", "platform").get()
    try:
        platform = component()
        token = None if code.refresh_token else _exchange(platform, code)
        info = platform.authorizer_info(code.appid)
    except WeChatError as error:
        _put_off(code, error)
        return
    try:
        channel = _connect(code, info, token)
    except _Problem as problem:
        _settle(code, State.FAILED)
        _tell(code, PlatformLink.State.FAILED, problem=problem.word, info=info)
        return
    _settle(code, State.DONE)
    if channel is None:
        log.warning("an account authorised without a link appid=%s", code.appid)
        return
    avatars.copy(channel, info.avatar_url)


def _exchange(platform: Component, code: AuthorizationCode) -> Token | None:
    """Exchange the code and store what came of it; return the access token if any."""
    token: Token | None = None
    try:
        granted = platform.query_auth(code.value)
    except ChannelRefused as refused:
        if refused.errcode not in CODE_USED or not code.appid:
            raise
        # Used by somebody who died before storing it: the list still has the rest.
        code.refresh_token = listed_refresh_token(platform, code.appid)
        if not code.refresh_token:
            raise
        code.permission_sets = []
    else:
        token = granted.token
        code.appid = granted.appid
        code.refresh_token = granted.token.refresh_token
        code.permission_sets = list(granted.permission_sets)
    code.value = ""
    code.save(update_fields=["value", "appid", "refresh_token", "permission_sets"])
    return token


def _put_off(code: AuthorizationCode, error: WeChatError) -> None:
    """Try again later as long as the code may live; say why on the link's page."""
    now = timezone.now()
    hopeless = error.errcode in CODE_USED and not code.refresh_token
    too_late = now > code.expires_at and not code.refresh_token
    if hopeless or too_late or now - code.received_at > CODE_LIFE:
        _settle(code, State.FAILED)
        _tell(code, PlatformLink.State.FAILED, error=error)
        return
    wait_s = RETRY_S[min(code.attempts, len(RETRY_S)) - 1]
    AuthorizationCode.objects.filter(pk=code.pk, state=State.WAITING).update(
        claimed_until=None, due_at=now + timedelta(seconds=wait_s)
    )
    _tell(code, PlatformLink.State.WAITING, error=error)


def _settle(code: AuthorizationCode, state: AuthorizationCode.State) -> None:
    AuthorizationCode.objects.filter(pk=code.pk, state=State.WAITING).update(
        state=state, value="", refresh_token="", claimed_until=None
    )


def _tell(
    code: AuthorizationCode,
    state: PlatformLink.State,
    *,
    problem: str = "",
    error: WeChatError | None = None,
    info: AuthorizerInfo | None = None,
) -> None:
    """Note on the link's page how it stands; what was reached once stays."""
    if code.link is None:
        return
    PlatformLink.objects.filter(pk=code.link.pk).exclude(
        state=PlatformLink.State.DONE
    ).update(
        state=state,
        problem=problem,
        errcode=error.errcode if error else None,
        errmsg=error.errmsg[:500] if error else "",
        account_name=info.name[:100] if info else "",
        ended_at=timezone.now(),
    )


# -- the channel -----------------------------------------------------------------------


def _connect(
    code: AuthorizationCode, info: AuthorizerInfo, token: Token | None
) -> Channel | None:
    """Return the channel that now has the authorisation, None if nobody asked for one.

    Raises _Problem.
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
        raise _Problem("taken") from None
    if problem is not None:
        raise problem
    return channel


def _channel_for(
    link: PlatformLink | None, info: AuthorizerInfo
) -> tuple[Channel | None, _Problem | None]:
    """Return (the channel this authorisation belongs to, what is to be said).

    A platform channel of this account gets it in any case: with the new authorisation
    WeChat has made the old one void.
    """
    known = Channel.objects.filter(appid=info.appid).first()
    wanted = link.channel if link else None
    if known is not None and (known.is_authorised or known == wanted):
        if wanted is not None and known != wanted:
            return known, _Problem("other_account")
        if link and wanted is None and known.code != link.code:
            return known, _Problem("connected")
        return known, None
    if link is None:
        return None, None
    if wanted is not None:
        return None, _Problem("other_account")
    if known is not None:
        return None, _Problem("by_secret")
    if word := kind_problem(
        info.service_type, info.verify_type, mini_program=info.is_mini_program
    ):
        return None, _Problem(word)
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
    granted = Authorization.objects.select_for_update().filter(channel=channel)
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
    AccessToken.objects.get_or_create(channel=channel)
    rows = AccessToken.objects.filter(channel=channel)
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
