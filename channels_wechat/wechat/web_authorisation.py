"""Who opened a page of ours inside WeChat: web authorisation with `snsapi_base`.

Silent for the visitor: WeChat sends the browser back with a code that works once, for
five minutes, and the code is exchanged for the visitor's openID. The access token that
comes with it is of no use to us and is dropped.

Source: https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/
Wechat_webpage_authorization.html; for a third-party platform
https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/
Before_Develop/Official_Accounts/official_account_website_authorization.html (read
2026-11).
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from . import errors
from .calls import call, number_of, open_session, text_of

# Of the code alone: the visitor may simply begin anew.
BAD_CODE = frozenset({40029, 40163, 41008, 42003})


class CodeRefused(errors.WeChatError):
    """The code is used, too old or none at all: the visitor has to begin anew."""


class Visitor(NamedTuple):
    """Whoever opened the page.

    A snapshot visitor has not really arrived: WeChat gives everyone who looks at the
    page's snapshot one and the same made-up openID, which must not be kept.
    """

    openid: str
    is_snapshot: bool


def authorise_url(
    open_base: str, appid: str, redirect_uri: str, state: str, component_appid: str = ""
) -> str:
    """Return where to send a browser inside WeChat. It comes back to `redirect_uri`
    with `code` and `state`; `state` is at most 128 letters and digits.

    The host of `redirect_uri` must be the account's 网页授权域名, or with
    `component_appid` the platform's 公众号开发域名.
    """
    # WeChat asks for this very order.
    query = (
        f"appid={appid}&redirect_uri={quote(redirect_uri, safe='')}"
        f"&response_type=code&scope=snsapi_base&state={state}"
    )
    if component_appid:
        query += f"&component_appid={component_appid}"
    return f"{open_base.rstrip('/')}/connect/oauth2/authorize?{query}#wechat_redirect"


def fetch_visitor(base_url: str, appid: str, secret: str, code: str) -> Visitor:
    """Exchange a code of an account connected by AppID and AppSecret.

    Raises CodeRefused, ChannelRefused (AppID, secret), WeChatUnavailable.
    """
    path = "/sns/oauth2/access_token"
    return _exchange(base_url, path, {"appid": appid, "secret": secret}, code)


def fetch_visitor_of_authorizer(
    base_url: str, appid: str, component_appid: str, component_token: str, code: str
) -> Visitor:
    """Exchange a code of an account that authorised a third-party platform.

    Raises CodeRefused, TokenRefused (the component token is stale), ChannelRefused,
    WeChatUnavailable.
    """
    params = {
        "appid": appid,
        "component_appid": component_appid,
        "component_access_token": component_token,
    }
    return _exchange(base_url, "/sns/oauth2/component/access_token", params, code)


def _exchange(
    base_url: str, path: str, params: Mapping[str, str], code: str
) -> Visitor:
    query = {**params, "code": code, "grant_type": "authorization_code"}
    with open_session() as session:
        try:
            answer, _headers = call(session, base_url, "GET", path, params=query)
        except errors.WeChatError as error:
            if error.errcode in BAD_CODE:
                raise CodeRefused(error.errmsg, error.errcode, error.rid) from None
            raise
    openid = text_of(answer, "openid")
    if not openid:
        raise errors.WeChatUnavailable(f"{path}: no openid in the answer")
    return Visitor(openid, number_of(answer, "is_snapshotuser") == 1)
