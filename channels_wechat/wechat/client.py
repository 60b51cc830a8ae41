"""WeChat's server API for one account: everything but bulk sending (see `bulk`).

A method per endpoint, which gives back values. All of them raise the classes of
`errors`; calls with an access token renew it once when WeChat calls it stale, and
repeat the call once. Nothing here waits or retries otherwise: whoever calls knows how
long.
"""

import email.utils
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests

from . import errors
from .calls import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    call,
    number_of,
    objects_of,
    open_session,
    text_of,
    to_json,
)
from .library import LONG_TERM, LibraryCalls


@dataclass(frozen=True)
class Token:
    """An access token and how long it lives from now. Not shown by `repr`."""

    value: str
    expires_in_s: int

    def __repr__(self) -> str:
        return f"Token(…, expires_in_s={self.expires_in_s})"


class TokenSource(Protocol):
    """Whoever owns the access token of one account."""

    def get(self) -> str:
        """Return a usable token."""

    def renew(self, refused: str) -> str:
        """Return another token than `refused`, which WeChat called stale."""


@dataclass(frozen=True)
class WeChatTemplate:
    """A template message's template, as the account's list tells it."""

    template_id: str
    title: str
    content: str
    example: str
    primary_industry: str
    deputy_industry: str


@dataclass(frozen=True)
class WeChatSubscribeTemplate:
    """A subscribe-notification's template, as the account's list tells it.

    `listed` is the only values that WeChat takes of its enumerated fields, by key.
    """

    template_id: str
    title: str
    content: str
    example: str
    long_term: bool  # else each acceptance is good for one message
    listed: dict[str, list[str]]


@dataclass(frozen=True)
class FollowerPage:
    """At most 10,000 followers, and where the next page begins: "" after the last.

    `total` is how many there are over all pages; they change while one reads.
    """

    openids: list[str]
    total: int
    next_openid: str


@dataclass(frozen=True)
class UserInfo:
    """What WeChat tells about one openID. Of a non-follower only `openid` is known."""

    openid: str
    follows: bool
    subscribed_at: int  # epoch seconds, 0 when unknown
    unionid: str


@dataclass(frozen=True)
class Quota:
    """Calls of one API today: allowed, made, left."""

    daily_limit: int
    used: int
    remain: int


def fetch_stable_token(
    base_url: str, appid: str, secret: str, force_refresh: bool = False
) -> Token:
    """Return the account's access token from `stable_token`.

    Repeated calls give the same token until five minutes before its end, so the life is
    what remains, not always two hours. `force_refresh` kills the previous one at once;
    WeChat does it at most 20 times a day and every 30 seconds, else it changes nothing.
    Raises ChannelRefused (AppID, secret, IP whitelist), WeChatUnavailable.

    Source: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/
    getStableAccessToken.html (read 2026-11).
    """
    body = {
        "grant_type": "client_credential",
        "appid": appid,
        "secret": secret,
        "force_refresh": force_refresh,
    }
    with open_session() as session:
        try:
            answer, _headers = call(
                session, base_url, "POST", "/cgi-bin/stable_token", body=to_json(body)
            )
        except errors.TokenRefused as refused:
            # 40001 is a stale token elsewhere; here it says that the secret is wrong.
            raise errors.ChannelRefused(
                refused.errmsg, refused.errcode, refused.rid
            ) from None
    value, expires_in_s = (
        text_of(answer, "access_token"),
        number_of(answer, "expires_in"),
    )
    if not value or expires_in_s <= 0:
        raise errors.WeChatUnavailable("/cgi-bin/stable_token: no token in the answer")
    return Token(value, expires_in_s)


def server_time(base_url: str) -> datetime | None:
    """Return WeChat's clock from its Date header (aware, whole seconds), None if it
    tells none. Raises WeChatUnavailable."""
    with open_session() as session:
        try:
            response = session.head(
                base_url,
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            raise errors.WeChatUnavailable(type(error).__name__) from None
    try:
        told = email.utils.parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return told if told.tzinfo else told.replace(tzinfo=UTC)


class Client(LibraryCalls):
    """The API of one account. Not for several threads at once."""

    def __init__(
        self,
        base_url: str,
        tokens: TokenSource,
        on_refusal: Callable[[errors.ChannelRefused], None] | None = None,
    ) -> None:
        """`on_refusal` is told of every call refused for the whole account."""
        self._on_refusal = on_refusal
        self.base_url = base_url.rstrip("/")
        self._tokens = tokens
        self._session = open_session()

    def __repr__(self) -> str:
        return f"Client({urlsplit(self.base_url).hostname})"

    def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> dict[str, Any]:
        token = self._tokens.get()
        try:
            return self._call_with(token, method, path, params, body)
        except errors.TokenRefused:
            token = self._tokens.renew(token)
        try:
            return self._call_with(token, method, path, params, body)
        except errors.TokenRefused as refused:
            # A fresh token refused as well: never a loop.
            raise errors.ChannelRefused(
                refused.errmsg, refused.errcode, refused.rid
            ) from None

    def _call_with(
        self,
        token: str,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: bytes | None,
    ) -> dict[str, Any]:
        query = {"access_token": token, **(params or {})}
        try:
            answer, _headers = call(
                self._session, self.base_url, method, path, params=query, body=body
            )
        except errors.ChannelRefused as refused:
            if self._on_refusal:
                self._on_refusal(refused)
            raise
        return answer

    def templates(self) -> list[WeChatTemplate]:
        """Return every template of the account (at most 25).

        The system's own template of the one-time API (`{{content.DATA}}` alone) may be
        among them. Raises ChannelRefused, QuotaUsedUp, WeChatUnavailable.

        Source: https://developers.weixin.qq.com/doc/offiaccount/Message_Management/
        Template_Message_Interface.html (read 2026-11).
        """
        path = "/cgi-bin/template/get_all_private_template"
        answer = self._call("GET", path)
        if not isinstance(answer.get("template_list"), list):
            # Taking this for an empty list would mark every template as removed.
            raise errors.WeChatUnavailable(f"{path}: no template_list in the answer")
        return [
            WeChatTemplate(
                template_id=text_of(item, "template_id"),
                title=text_of(item, "title"),
                content=text_of(item, "content"),
                example=text_of(item, "example"),
                primary_industry=text_of(item, "primary_industry"),
                deputy_industry=text_of(item, "deputy_industry"),
            )
            for item in objects_of(answer, "template_list")
            if text_of(item, "template_id")
        ]

    def subscribe_templates(self) -> list[WeChatSubscribeTemplate]:
        """Return every subscribe-notification template of the account (at most 50).

        Raises ChannelRefused (48001, 200100, 61007: not for this account), QuotaUsedUp,
        WeChatUnavailable.

        Source: https://developers.weixin.qq.com/doc/offiaccount/Subscription_Messages/
        api.html (read 2026-11).
        """
        path = "/wxaapi/newtmpl/gettemplate"
        answer = self._call("GET", path)
        if not isinstance(answer.get("data"), list):
            # As with template messages: no list is not an empty list.
            raise errors.WeChatUnavailable(f"{path}: no data in the answer")
        return [
            WeChatSubscribeTemplate(
                template_id=text_of(item, "priTmplId"),
                title=text_of(item, "title"),
                content=text_of(item, "content"),
                example=text_of(item, "example"),
                long_term=number_of(item, "type") == LONG_TERM,
                listed=_listed(item),
            )
            for item in objects_of(answer, "data")
            if text_of(item, "priTmplId")
        ]

    def follower_page(self, next_openid: str = "") -> FollowerPage:
        """Return the followers after `next_openid`, from the first one on when empty.

        500 calls a day. Raises ChannelRefused, QuotaUsedUp, WeChatUnavailable.

        Source: https://developers.weixin.qq.com/doc/offiaccount/User_Management/
        Getting_a_User_List.html (read 2026-11).
        """
        params = {"next_openid": next_openid} if next_openid else {}
        answer = self._call("GET", "/cgi-bin/user/get", params)
        # At the end `data` is missing, and a next_openid may be there all the same; one
        # that repeats would never end.
        data = answer.get("data")
        page = data.get("openid") if isinstance(data, dict) else None
        openids = (
            [item for item in page if isinstance(item, str)]
            if isinstance(page, list)
            else []
        )
        following = text_of(answer, "next_openid")
        return FollowerPage(
            openids,
            number_of(answer, "total"),
            following if openids and following != next_openid else "",
        )

    def followers(self) -> Iterator[str]:
        """Yield the openID of every follower, asking for 10,000 at a time. Raises as
        `follower_page`."""
        next_openid, read = "", 0
        while True:
            page = self.follower_page(next_openid)
            yield from page.openids
            read += len(page.openids)
            next_openid = page.next_openid
            if not next_openid or (page.total and read >= page.total):
                return

    def jsapi_ticket(self) -> Token:
        """Return the ticket that the account's pages are signed with for the JS-SDK.

        It lives two hours and is as secret as a token; keep it, the calls are counted.

        Source: https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/
        JS-SDK.html, appendix 1 (read 2026-11).
        """
        path = "/cgi-bin/ticket/getticket"
        answer = self._call("GET", path, {"type": "jsapi"})
        value, expires_in_s = text_of(answer, "ticket"), number_of(answer, "expires_in")
        if not value or expires_in_s <= 0:
            raise errors.WeChatUnavailable(f"{path}: no ticket in the answer")
        return Token(value, expires_in_s)

    def user_info(self, openid: str) -> UserInfo:
        """Return what WeChat tells about `openid`. Raises RecipientRefused when it is
        malformed or of another account."""
        answer = self._call(
            "GET", "/cgi-bin/user/info", {"openid": openid, "lang": "zh_CN"}
        )
        return UserInfo(
            openid=text_of(answer, "openid") or openid,
            follows=number_of(answer, "subscribe") == 1,
            subscribed_at=number_of(answer, "subscribe_time"),
            unionid=text_of(answer, "unionid"),
        )

    def quota(self, cgi_path: str) -> Quota:
        """Return today's quota of one API, e.g. "/cgi-bin/message/template/send"."""
        answer = self._call(
            "POST", "/cgi-bin/openapi/quota/get", body=to_json({"cgi_path": cgi_path})
        )
        quota = answer.get("quota")
        if not isinstance(quota, dict):
            quota = {}
        return Quota(
            daily_limit=number_of(quota, "daily_limit"),
            used=number_of(quota, "used"),
            remain=number_of(quota, "remain"),
        )

    def callback_ips(self) -> list[str]:
        """Return the addresses WeChat pushes from, single or in CIDR notation."""
        ips = self._call("GET", "/cgi-bin/getcallbackip").get("ip_list")
        if not isinstance(ips, list):
            return []
        return [ip for ip in ips if isinstance(ip, str)]

    def send_template(self, body: bytes) -> int | None:
        """Send one template message (see `messages`) and return WeChat's msgid, None
        when the answer has none. For many, use `bulk`.

        Raises every class of `errors`; after WeChatUnavailable the message may have
        been sent: repeat it with the same client_msg_id only, within ten minutes.
        """
        answer = self._call("POST", "/cgi-bin/message/template/send", body=body)
        return number_of(answer, "msgid") or None

    def send_text(self, openid: str, content: str) -> None:
        """Send a customer-service text to somebody who wrote within 48 hours.

        Raises RecipientRefused (45015: too long ago), ChannelRefused,
        WeChatUnavailable.

        Source: https://developers.weixin.qq.com/doc/offiaccount/Message_Management/
        Service_Center_messages.html (read 2026-11).
        """
        body = {"touser": openid, "msgtype": "text", "text": {"content": content}}
        self._call("POST", "/cgi-bin/message/custom/send", body=to_json(body))


def _listed(item: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the only values of a template's enumerated fields, by key."""
    found: dict[str, list[str]] = {}
    for keyword in objects_of(item, "keywordEnumValueList"):
        key = text_of(keyword, "keywordCode").removesuffix(".DATA")
        values = keyword.get("enumValueList")
        if key and isinstance(values, list):
            found[key] = [value for value in values if isinstance(value, str)]
    return found
