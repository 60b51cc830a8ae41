"""WeChat's calls for a third-party platform (component), and its authorisation pages.

The platform's AppID, AppSecret and the ticket that WeChat pushes give a component
token; with it an authorisation code becomes an account's tokens. Errors as in `client`:
a component token called stale is renewed once and the call repeated once.

Source: https://developers.weixin.qq.com/doc/oplatform/openApi/ticket-token/ and
.../authorization-management/ (read 2026-11).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from . import errors
from .calls import call, number_of, objects_of, open_session, text_of, to_json
from .client import Token, TokenSource

API: Final = "/cgi-bin/component"
AUTHORIZERS_A_PAGE: Final = 500
OFFICIAL_ACCOUNTS_ONLY: Final = "1"  # auth_type of the authorisation page


class PreAuthCode(NamedTuple):
    """What one attempt to authorise needs. No secret: it is in the page's address."""

    value: str
    expires_in_s: int


@dataclass(frozen=True, repr=False)
class AuthorizerToken(Token):
    """An account's access token, and the refresh token that replaces the one before."""

    refresh_token: str


@dataclass(frozen=True, repr=False)
class Authorization:
    """What a code was exchanged for."""

    appid: str
    token: AuthorizerToken
    permission_sets: tuple[int, ...]


@dataclass(frozen=True)
class AuthorizerInfo:
    """An account as WeChat tells it.

    `service_type`: 0 and 1 subscription account, 2 service account. `verify_type`: -1
    unverified, 0 verified, others verified in part. `status`: 1 normal, 14 closed, 16
    banned, 18 warned, 19 frozen. -1 and 0 when WeChat told nothing.
    """

    appid: str
    name: str
    avatar_url: str
    original_id: str
    principal: str
    service_type: int
    verify_type: int
    status: int
    is_mini_program: bool
    permission_sets: tuple[int, ...]


class Authorizer(NamedTuple):
    """A line of the list of accounts that have authorised the platform."""

    appid: str
    refresh_token: str
    authorised_at: datetime


def fetch_component_token(base_url: str, appid: str, secret: str, ticket: str) -> Token:
    """Return a component token, which lives two hours.

    Raises TicketMissing (61005, 61006), ChannelRefused (AppID, secret, IP whitelist),
    WeChatUnavailable.
    """
    path = f"{API}/api_component_token"
    body = {
        "component_appid": appid,
        "component_appsecret": secret,
        "component_verify_ticket": ticket,
    }
    with open_session() as session:
        try:
            answer, _headers = call(session, base_url, "POST", path, body=to_json(body))
        except errors.TokenRefused as refused:
            # 40001 is a stale token elsewhere; here it says that the secret is wrong.
            raise errors.ChannelRefused(
                refused.errmsg, refused.errcode, refused.rid
            ) from None
    return _token(path, answer, "component_access_token")


def start_push_ticket(base_url: str, appid: str, secret: str) -> None:
    """Ask WeChat to push tickets again; the next one comes within ten minutes."""
    # `component_secret` here, `component_appsecret` in the token's call: so it is.
    body = {"component_appid": appid, "component_secret": secret}
    path = f"{API}/api_start_push_ticket"
    with open_session() as session:
        call(session, base_url, "POST", path, body=to_json(body))


class Component:
    """The platform's own calls. Not for several threads at once."""

    def __init__(
        self,
        base_url: str,
        appid: str,
        tokens: TokenSource,
        on_refusal: Callable[[errors.WeChatError, str], None] | None = None,
    ) -> None:
        """`on_refusal` is told of every refusal, with the account's AppID or ""."""
        self._on_refusal = on_refusal
        self.base_url, self.appid = base_url.rstrip("/"), appid
        self._tokens = tokens
        self._session = open_session()

    def __repr__(self) -> str:
        return f"Component({self.appid}, {urlsplit(self.base_url).hostname})"

    def _call(self, name: str, **body: object) -> dict[str, Any]:
        token = self._tokens.get()
        try:
            return self._call_with(token, name, body)
        except errors.TokenRefused:
            token = self._tokens.renew(token)
        try:
            return self._call_with(token, name, body)
        except errors.TokenRefused as refused:
            # A fresh token refused as well: never a loop.
            raise errors.ChannelRefused(
                refused.errmsg, refused.errcode, refused.rid
            ) from None

    def _call_with(
        self, token: str, name: str, body: Mapping[str, object]
    ) -> dict[str, Any]:
        try:
            answer, _headers = call(
                self._session,
                self.base_url,
                "POST",
                f"{API}/{name}",
                params={"component_access_token": token},
                body=to_json({"component_appid": self.appid, **body}),
            )
        except errors.ChannelRefused as refused:
            if self._on_refusal:
                self._on_refusal(refused, str(body.get("authorizer_appid", "")))
            raise
        return answer

    def pre_auth_code(self) -> PreAuthCode:
        """Return a code for one authorisation page."""
        path = "api_create_preauthcode"
        answer = self._call(path)
        value = text_of(answer, "pre_auth_code")
        if not value:
            raise errors.WeChatUnavailable(f"{path}: no code in the answer")
        return PreAuthCode(value, number_of(answer, "expires_in") or 600)

    def query_auth(self, code: str) -> Authorization:
        """Exchange an authorisation code, which works once.

        Raises ChannelRefused: 61009 or 61010 for a code that was used or is too old.
        """
        path = "api_query_auth"
        answer = self._call(path, authorization_code=code)
        info = _object(answer, "authorization_info")
        appid = text_of(info, "authorizer_appid")
        if not appid:
            raise errors.WeChatUnavailable(f"{path}: no account in the answer")
        return Authorization(appid, _authorizer_token(path, info), _sets(info))

    def authorizer_token(self, appid: str, refresh_token: str) -> AuthorizerToken:
        """Return an access token of the account, with the refresh token to keep.

        The access token before it works on for some minutes. Raises ChannelRefused:
        61003 the account has not authorised us, 61023 the refresh token is dead.
        """
        path = "api_authorizer_token"
        answer = self._call(
            path, authorizer_appid=appid, authorizer_refresh_token=refresh_token
        )
        token = _authorizer_token(path, answer)
        # Usually the same one; never without.
        return AuthorizerToken(
            token.value, token.expires_in_s, token.refresh_token or refresh_token
        )

    def authorizer_info(self, appid: str) -> AuthorizerInfo:
        """Return what WeChat tells of an authorised account."""
        answer = self._call("api_get_authorizer_info", authorizer_appid=appid)
        info = _object(answer, "authorizer_info")
        grant = _object(answer, "authorization_info")
        return AuthorizerInfo(
            appid=appid,
            name=text_of(info, "nick_name"),
            avatar_url=text_of(info, "head_img"),
            original_id=text_of(info, "user_name"),
            principal=text_of(info, "principal_name"),
            service_type=_id(info, "service_type_info"),
            verify_type=_id(info, "verify_type_info"),
            status=number_of(info, "account_status"),
            # Mini-programs are "subscription accounts" but for this block.
            is_mini_program="MiniProgramInfo" in info,
            permission_sets=_sets(grant),
        )

    def authorizers(self) -> Iterator[Authorizer]:
        """Yield every account that has authorised the platform, 500 a call."""
        offset = 0
        while True:
            answer = self._call(
                "api_get_authorizer_list", offset=offset, count=AUTHORIZERS_A_PAGE
            )
            page = objects_of(answer, "list")
            for item in page:
                at = datetime.fromtimestamp(number_of(item, "auth_time"), UTC)
                yield Authorizer(
                    text_of(item, "authorizer_appid"),
                    text_of(item, "refresh_token"),
                    at,
                )
            offset += len(page)
            if not page or offset >= number_of(answer, "total_count"):
                return


def pc_url(
    mp_base: str, component_appid: str, code: str, redirect_uri: str, appid: str = ""
) -> str:
    """Return the address of WeChat's page with the QR code to scan.

    It works only when a page of the platform's login domain links to it: WeChat checks
    the Referer. With `appid` that account is chosen already.
    """
    query = _page_query(component_appid, code, redirect_uri, appid)
    return f"{mp_base.rstrip('/')}/cgi-bin/componentloginpage?{query}"


def mobile_url(
    open_base: str, component_appid: str, code: str, redirect_uri: str, appid: str = ""
) -> str:
    """Return the address to open inside WeChat on the phone; see `pc_url`."""
    query = _page_query(component_appid, code, redirect_uri, appid)
    return (
        f"{open_base.rstrip('/')}/wxaopen/safe/bindcomponent"
        f"?action=bindcomponent&no_scan=1&{query}#wechat_redirect"
    )


def _page_query(component_appid: str, code: str, redirect_uri: str, appid: str) -> str:
    query = {
        "component_appid": component_appid,
        "pre_auth_code": code,
        "redirect_uri": redirect_uri,
        "auth_type": OFFICIAL_ACCOUNTS_ONLY,
    }
    if appid:
        query["biz_appid"] = appid
    return urlencode(query)


def _token(path: str, answer: Mapping[str, Any], key: str) -> Token:
    value, expires_in_s = text_of(answer, key), number_of(answer, "expires_in")
    if not value or expires_in_s <= 0:
        raise errors.WeChatUnavailable(f"{path}: no token in the answer")
    return Token(value, expires_in_s)


def _authorizer_token(path: str, answer: Mapping[str, Any]) -> AuthorizerToken:
    token = _token(path, answer, "authorizer_access_token")
    refresh_token = text_of(answer, "authorizer_refresh_token")
    return AuthorizerToken(token.value, token.expires_in_s, refresh_token)


def _object(answer: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = answer.get(key)
    return value if isinstance(value, dict) else {}


def _id(info: Mapping[str, Any], key: str) -> int:
    value = _object(info, key).get("id")
    return value if isinstance(value, int) else -1


def _sets(info: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the ids of `func_info`, in order, each once."""
    ids = (_id(item, "funcscope_category") for item in objects_of(info, "func_info"))
    return tuple(sorted({number for number in ids if number > 0}))
