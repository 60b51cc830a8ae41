"""Web pages opened inside WeChat: who is looking, and the JS-SDK they load.

A person carries the same number in every account. The cookie `sandbox_person`, which
`/sandbox/open` sets, says whose browser it is; a browser that calls itself
MicroMessenger and has none is person 1's. `/sandbox/browser` shows a page on a phone of
the phones page: it is fetched as WeChat's browser would, redirects included.
"""

import asyncio
import html
import http.cookiejar
import json
import re
import urllib.error
import urllib.request
from collections.abc import Awaitable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from . import people, subscribing, webauth
from .accounts import Account
from .http import Reply, Request, payload
from .people import openid as openid_of
from .subscribing import Unsubscribable

if TYPE_CHECKING:
    from .control import Control
    from .pages import Pages

AGENT = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/126.0 Mobile Safari/537.36 MicroMessenger/8.0.50 Language/zh_CN"
)
COOKIE = "sandbox_person"
MAX_PAGE = 4 * 1024 * 1024
FETCH_S = 15
AUTHORIZE = "/connect/oauth2/authorize"
SCRIPT = "/open/js/jweixin-1.6.0.js"
CHAT = "/cgi-bin/singlesendpage"
PAGES = {
    AUTHORIZE,
    SCRIPT,
    CHAT,
    "/sandbox/open",
    "/sandbox/browser",
    "/sandbox/jssdk",
}
_HTML = "text/html; charset=utf-8"


def person_of(request: Request) -> int | None:
    """Return the number of whoever is looking, None outside of WeChat."""
    try:
        cookie = SimpleCookie(request.header("Cookie")).get(COOKIE)
    except CookieError:
        cookie = None
    if cookie and cookie.value.isdecimal():
        return int(cookie.value)
    return 1 if "MicroMessenger" in request.header("User-Agent") else None


class Inside:
    def __init__(self, control: "Control", pages: "Pages") -> None:
        self.control, self.world, self.pages = control, control.world, pages

    def answer(self, request: Request) -> Reply | Awaitable[Reply]:
        if request.method not in ("GET", "HEAD"):
            return Reply(payload(405, b"", "text/plain"))
        if request.path == AUTHORIZE:
            return self._authorize(request)
        if request.path == SCRIPT:
            return self.pages.answer(request._replace(path="/sandbox/jweixin.js"))
        if request.path == CHAT:
            return self._chat(request)
        if request.path == "/sandbox/jssdk":
            return self._jssdk(request)
        target = urlsplit(request.argument("url"))
        if target.scheme not in ("http", "https") or not target.netloc:
            return _page(422, "An http or https address, please.")
        person = request.argument("person")
        number = int(person) if person.isdecimal() else 1
        if request.path == "/sandbox/browser" and self._is_known(request, target):
            return self._browse(request, target.geturl(), number)
        return _redirect(target.geturl(), number)

    def _is_known(self, request: Request, target: Any) -> bool:
        """Whether a page may be shown on our own origin: the products' only."""
        platform = self.world.platform
        ours = [platform.event_url, platform.message_url, f"//{request.header('Host')}"]
        for account in self.world.accounts.values():
            if account.callback:
                ours.append(account.callback.url)
        hosts = {urlsplit(url).hostname for url in ours if url}
        return target.hostname in hosts | {"127.0.0.1", "localhost"}

    # -- authorisation -----------------------------------------------------------------
    def _authorize(self, request: Request) -> Reply:
        person = person_of(request)
        if person is None:
            return self._choose(request)
        try:
            return _redirect(webauth.authorize(self.world, request, person))
        except webauth.ErrorPage as wrong:
            text = webauth.ERROR_PAGES[wrong.number]
            return _page(200, text, f"错误码 {wrong.number}")

    def _choose(self, request: Request) -> Reply:
        """WeChat asks to open the page in WeChat; here one may say as whom."""
        url = f"http://{request.header('Host')}{request.path}?{request.query}"
        links = "".join(
            f'<li><a href="/sandbox/open?{_attribute(person=n, url=url)}">{name}</a>'
            for n, name in (
                (n, f"{people.person(n).name_zh} {people.person(n).name_en}")
                for n in range(1, 9)
            )
        )
        text = "请在微信客户端打开链接 · Open this link in WeChat"
        return _page(200, text, "Sandbox: open it as", f"<ul>{links}</ul>")

    # -- the chat page of an account ------------------------------------------------
    def _chat(self, request: Request) -> Reply:
        """The chat page of mp.weixin.qq.com, whose address has the openid."""
        openid = request.argument("tofakeid")
        for account in self.world.accounts.values():
            state = account.people.get(openid)
            if state is not None:
                found = people.person(state >> 3)
                return _page(200, f"{found.name_zh} {found.name_en}", account.name)
        return _page(404, "没有此用户 · Nobody has this tofakeid.")

    # -- a page on a phone -------------------------------------------------------------
    async def _browse(self, request: Request, url: str, person: int) -> Reply:
        own = f"http://{request.header('Host')}"
        try:
            status, final, body, kind = await asyncio.to_thread(
                fetch, url, own, person, request.header("Accept-Language")
            )
        except (OSError, ValueError) as failed:
            return _page(200, "网页无法打开 · The page cannot be opened.", str(failed))
        if not kind.startswith("text/html"):
            return Reply(payload(status, body, kind))
        head = (
            f'<base href="{html.escape(final, quote=True)}">'
            f'<meta name="sandbox-person" content="{person}">'
        )
        text = body.decode("utf-8", "replace")
        shown, count = re.subn(
            r"<head[^>]*>", lambda found: found[0] + head, text, count=1
        )
        framed = ("X-Frame-Options: SAMEORIGIN", "Cache-Control: no-store")
        return Reply(
            payload(status, (shown if count else head + text).encode(), _HTML, framed)
        )

    # -- JS-SDK -----------------------------------------------------------------------
    def _jssdk(self, request: Request) -> Reply:
        """What jweixin.js asks, as a script that calls `callback` with the answer:
        a page of another origin can load nothing else from here."""
        if request.header("Sec-Fetch-Site") == "cross-site":
            return Reply(payload(403, b"", "text/plain"))
        asked = dict(parse_qsl(request.query))
        callback = asked.get("callback", "")
        if not re.fullmatch(r"sandboxWx\d{1,9}", callback):
            return Reply(payload(422, b"", "text/plain"))
        answer = json.dumps(self._asked(request, asked), ensure_ascii=True)
        script = f"{callback}({answer});".encode()
        kept = ("Cache-Control: no-store", "X-Content-Type-Options: nosniff")
        return Reply(payload(200, script, "text/javascript; charset=utf-8", kept))

    def _asked(self, request: Request, asked: dict[str, str]) -> dict[str, Any]:
        account = self.world.accounts.get(asked.get("appId", ""))
        person = asked.get("person", "")
        number = int(person) if person.isdecimal() else person_of(request)
        if account is None:
            return {"errMsg": "config:fail,Error: invalid appid"}
        if number is None:
            return {"errMsg": "config:fail,Error: not in WeChat"}
        if problem := webauth.config_problem(self.world, account, asked):
            return {"errMsg": problem}
        openid = openid_of(account.appid, number)
        account.people.setdefault(openid, number << 3)
        if asked.get("do") == "config":
            return {"errMsg": "config:ok", "account": account.name}
        return self._subscribe(account, openid, asked)

    def _subscribe(
        self, account: Account, openid: str, asked: dict[str, str]
    ) -> dict[str, Any]:
        ids = [part.strip() for part in asked.get("template", "").split(",")]
        ours = self.world.subscriptions[account.appid]
        try:
            if asked.get("do") == "look":
                return subscribing.offer(account, ours, openid, ids)
            accepted = set(asked.get("accept", "").split(","))
            refused = set(asked.get("reject", "").split(","))
            choices = {
                i: "accept" if i in accepted else "reject"
                for i in ids
                if i in accepted | refused
            }
            keep = asked.get("keep") == "1"
            return subscribing.choose(
                self.control, account, openid, ids, choices, keep, subscribing.WEB_PAGE
            )
        except Unsubscribable as wrong:
            return wrong.told()


def fetch(
    url: str, own: str, person: int, language: str
) -> tuple[int, str, bytes, str]:
    """Return (status, last address, body, content type) of a page as WeChat's browser
    gets it. Raises OSError, ValueError."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar)
    )
    headers = {"User-Agent": AGENT, "Accept-Language": language or "zh-CN"}
    # To the sandbox itself, on the way to an openid, this says who is looking.
    somewhere = urlencode({"person": person, "url": f"{own}/sandbox/icon.svg"})
    opener.open(f"{own}/sandbox/open?{somewhere}", timeout=FETCH_S).close()
    try:
        answer = opener.open(
            urllib.request.Request(url, headers=headers), timeout=FETCH_S
        )
    except urllib.error.HTTPError as refused:
        answer = refused
    with answer:
        body = answer.read(MAX_PAGE)
        kind = answer.headers.get("Content-Type", "text/html")
        return answer.status, answer.url, body, kind


def _attribute(**query: Any) -> str:
    return html.escape(urlencode(query), quote=True)


def _redirect(to: str, person: int | None = None) -> Reply:
    headers = [f"Location: {_one_line(to)}", "Cache-Control: no-store"]
    if person is not None:
        headers.append(f"Set-Cookie: {COOKIE}={person}; Path=/; SameSite=Lax")
    return Reply(payload(302, b"", "text/plain", tuple(headers)))


def _one_line(text: str) -> str:
    # Whatever was asked for comes back in a header.
    return re.sub(r"[\x00-\x20\x7f]", "", text).encode("ascii", "ignore").decode()


def _page(status: int, title: str, detail: str = "", more: str = "") -> Reply:
    body = (
        '<!doctype html><html lang="zh-CN"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title>"
        '<link rel="stylesheet" href="/sandbox/look.css">'
        f'<body class="plain"><h1>{html.escape(title)}</h1>'
        f"<p>{html.escape(detail)}</p>{more}"
    )
    safe = ("Content-Security-Policy: default-src 'self'", "Cache-Control: no-store")
    return Reply(payload(status, body.encode(), _HTML, safe))


# -- the control API -------------------------------------------------------------------
def show(
    control: "Control", request: Request, body: dict[str, Any], rest: list[str]
) -> dict[str, Any]:
    """The domains of an account or the platform, which web pages must lie on."""
    return control.world.domains[_appid(control, rest)].listing()


def change(
    control: "Control", request: Request, body: dict[str, Any], rest: list[str]
) -> dict[str, Any]:
    domains = control.world.domains[_appid(control, rest)]
    domains.change(body)
    return domains.listing()


def _appid(control: "Control", rest: list[str]) -> str:
    if rest and rest[0] == control.world.platform.appid:
        return rest[0]
    return control.account(rest[0] if rest else "").appid


CALLS = {("GET", "domains"): show, ("PATCH", "domains"): change}
