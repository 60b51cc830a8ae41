"""Authorising: a scan becomes a channel, or renews one.

WeChat brings the authorisation code by the browser and by an event, in either order,
both twice or one of them never. Whichever comes first stores it; it is exchanged once,
by whoever holds the row's lease. What the exchange gave is stored before anything else
is asked, so that a death in between loses nothing.
"""

import logging
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from . import avatars, links, platforms, signals, token_leases, tokens
from .background import start_on_commit
from .granting import Problem, connect
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
        if link:
            links.spend(link)
        return row
    rows = AuthorizationCode.objects.filter(pk=row.pk)
    if link and rows.filter(link=None).update(link=link):
        links.spend(link)
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
    token = AccessToken.objects.filter(channel=channel)
    with transaction.atomic():
        token_leases.lock(token)
        if not Authorization.objects.filter(channel=channel, ended_at=None).update(
            ended_at=at, refresh_token=""
        ):
            return
        token_leases.drop(token)
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
        channel = connect(code, info, token)
    except Problem as problem:
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
