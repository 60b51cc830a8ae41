"""The third-party platform as WeChat's Open Platform holds it.

Sources: developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/
Before_Develop (ticket.html, authorize_event.html) and doc/oplatform/openApi/
ticket-token and authorization-management, read 2026-11.
"""

import re
import secrets
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from .accounts import Account, Callback, is_listed, networks
from .answers import Refusal

DEMO_COMPONENT_APPID = "wx5a0db0c5e70000c0"
# Every permission set a platform of this kind would ask for; the ids are WeChat's.
ASKED = [1, 2, 3, 4, 7, 8, 11, 15, 89]
# Expired ones are kept for a while: their answer differs from an unknown one's.
KEPT_TICKETS = 1000
# Nationwide release: accounts of WeChat's own that test a platform, appid -> user name.
AUTOMATIC = {
    "wx570bc396a51b8ff8": "gh_3c884a361561",
    "wx9252c5e0bb1836fc": "gh_c0f28a78b318",
    "wx8e1097c5bc82cde9": "gh_3f222ed8d140",
    "wx14550af28c71a144": "gh_26128078e9ab",
    "wxa35b9c23cfe664eb": "gh_2b3713f184a6",
}
_NEEDED = {
    "/cgi-bin/message/template/": (7, 100, 101),
    "/cgi-bin/template/": (7, 100, 101),
    "/cgi-bin/message/subscribe/": (89,),
    "/wxaapi/newtmpl/": (89,),
    "/cgi-bin/message/custom/": (1, 6),
    "/cgi-bin/user/": (2, 100),
    "/cgi-bin/tags/": (2, 100),
    "/cgi-bin/ticket/": (4,),
    "/cgi-bin/draft/": (11, 100),
    "/cgi-bin/material/": (11, 100),
}


@cache
def needed(path: str) -> frozenset[int]:
    """Return the permission sets any of which opens a call; empty: none is needed."""
    for start, ids in _NEEDED.items():
        if path.startswith(start):
            return frozenset(ids)
    return frozenset()


@dataclass(eq=False)
class Grant:
    """An account's authorisation. A new one replaces it, and its refresh token."""

    appid: str
    func_ids: list[int]
    at: float
    refresh_token: str
    ended: bool = False

    def opens(self, path: str) -> bool:
        ids = needed(path)
        return not ids or not ids.isdisjoint(self.func_ids)

    def replace_refresh_token(self) -> None:
        self.refresh_token = new_refresh_token()

    def func_info(self) -> list[dict[str, Any]]:
        return [{"funcscope_category": {"id": n}} for n in self.func_ids]


@dataclass
class PreAuthCode:
    value: str
    ends_at: float
    used: bool = False


@dataclass
class AuthCode:
    value: str
    appid: str
    ends_at: float
    used: bool = False


def new_refresh_token() -> str:
    return f"refreshtoken@@@{secrets.token_urlsafe(32)}"


@dataclass
class Platform:
    # What its owner sees and fills in at the Open Platform.
    appid: str = DEMO_COMPONENT_APPID
    secret: str = "c0c0c0c05a0db0c5c0c0c0c05a0db0c5"
    token: str = "sandboxplatform"
    encoding_aes_key: str = "SpruceLivingSandboxPlatformKey0123456789abc"
    event_url: str = ""
    message_url: str = ""
    # Host that authorisations start from and come back to; "": any one host.
    login_domain: str = ""
    ip_whitelist: list[str] | None = None
    # Before the release only accounts of the test list may authorise it.
    released: bool = True
    test_list: list[str] = field(default_factory=list)
    permission_sets: list[int] = field(default_factory=lambda: list(ASKED))
    # What WeChat remembers of it.
    tickets: dict[str, float] = field(default_factory=dict)
    ticket_due_at: float = 0.0
    pre_auth_codes: dict[str, PreAuthCode] = field(default_factory=dict)
    auth_codes: dict[str, AuthCode] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    options: dict[tuple[str, str], str] = field(default_factory=dict)

    # -- tickets and codes -------------------------------------------------------------
    def new_ticket(self, now: float) -> str:
        """A ticket; older ones go on working until their own end."""
        ticket = f"ticket@@@{secrets.token_urlsafe(48)}"
        self.tickets[ticket] = now
        for old in list(self.tickets)[:-KEPT_TICKETS]:
            del self.tickets[old]
        return ticket

    def new_pre_auth_code(self, now: float, life_s: float) -> PreAuthCode:
        made = PreAuthCode(f"preauthcode@@@{secrets.token_urlsafe(24)}", now + life_s)
        self.pre_auth_codes[made.value] = made
        return made

    def new_auth_code(self, appid: str, now: float, life_s: float) -> AuthCode:
        made = AuthCode(f"queryauthcode@@@{secrets.token_urlsafe(24)}", appid, 0.0)
        made.ends_at = now + life_s
        self.auth_codes[made.value] = made
        return made

    # -- authorisations ----------------------------------------------------------------
    def grant(self, appid: str, func_ids: list[int], now: float) -> Grant:
        """Authorise an account; the refresh token of an earlier time dies."""
        made = Grant(appid, func_ids, now, new_refresh_token())
        self.grants[appid] = made
        return made

    def admits(self, appid: str) -> bool:
        """Whether the account may authorise this platform (else 61028)."""
        return self.released or appid in self.test_list or appid in AUTOMATIC

    def authorised(self) -> list[Grant]:
        """Authorisations as api_get_authorizer_list tells them: not the automatic."""
        return [g for of, g in self.grants.items() if of not in AUTOMATIC]

    def check(self, grant: Grant, path: str, ip: str) -> None:
        """Let a call with an authorizer's token pass. Raises Refusal."""
        current = self.grants.get(grant.appid)
        if current is None:
            raise Refusal(61003)
        if grant.ended:
            raise Refusal(40001)
        self.check_ip(ip)
        if not current.opens(path):
            raise Refusal(61007)

    def check_ip(self, ip: str) -> None:
        if not is_listed(ip, self.ip_whitelist):
            raise Refusal(61004, ip)

    # -- pushes ------------------------------------------------------------------------
    def events_to(self) -> Callback | None:
        """Where tickets and authorisation events go."""
        return self._callback(self.event_url)

    def messages_to(self, account: Account) -> Callback | None:
        """Where an authorised account's messages go; None: not to this platform."""
        if account.appid not in self.grants and account.appid not in AUTOMATIC:
            return None
        return self._callback(self.message_url.replace("$APPID$", account.appid))

    def _callback(self, url: str) -> Callback | None:
        if not url:
            return None
        return Callback(url, self.token, self.encoding_aes_key, "safe")

    # -- settings ----------------------------------------------------------------------
    def connect(self, base: str) -> None:
        """Fill in both URLs of a JUMS at `base`."""
        base = base.rstrip("/")
        self.change(
            {
                "event_url": f"{base}/wechattpp/event",
                "message_url": f"{base}/wechattpp/$APPID$/message",
            }
        )

    def change(self, body: dict[str, Any]) -> None:
        """Apply what a control call names, all or none. Raises ValueError."""
        read = {}
        for name, value in body.items():
            if name not in _READERS:
                raise ValueError(f"{name}: no such setting of the platform")
            try:
                read[name] = _READERS[name](value)
            except (TypeError, ValueError) as wrong:
                raise ValueError(f"{name}: {wrong}") from None
        if read.get("event_url", self.event_url) != self.event_url:
            self.ticket_due_at = 0.0  # WeChat begins to push
        for name, value in read.items():
            setattr(self, name, value)

    def listing(self) -> dict[str, Any]:
        """What its owner sees at the Open Platform."""
        whole = asdict(self)
        return {name: whole[name] for name in _READERS}


def _matching(pattern: str, sentence: str) -> Any:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(sentence)
        return value

    return read


def _message_url(value: Any) -> str:
    text: str = _url(value)
    if text and "$APPID$" not in text:
        raise ValueError("contains $APPID$")
    return text


def _domain(value: Any) -> str:
    if not isinstance(value, str) or (value and urlsplit(f"//{value}").netloc != value):
        raise ValueError("a host without scheme and path")
    return value


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ValueError("a list of texts")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


_url = _matching(r"(https?://[^/\s]+\S*)?", "starts with http:// or https://")
_READERS: dict[str, Any] = {
    "appid": _matching(r"wx[0-9a-z]{16}", "wx and 16 hex digits"),
    "secret": _matching(r"\S+", "not empty"),
    "token": _matching(r"[A-Za-z0-9]{3,32}", "3 to 32 letters and digits"),
    "encoding_aes_key": _matching(r"[A-Za-z0-9]{43}", "43 letters and digits"),
    "event_url": _url,
    "message_url": _message_url,
    "login_domain": _domain,
    "ip_whitelist": networks,
    "released": _switch,
    "test_list": _texts,
    "permission_sets": lambda value: sorted({int(n) for n in value}),
}
assert {f.name for f in fields(Platform)} >= set(_READERS)
