"""What WeChat keeps about web pages: codes, tickets, domains."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Code:
    """A code on its way back to a page; it works once, for the page's own account."""

    appid: str
    openid: str
    scope: str
    at: float
    component_appid: str
    used: bool = False


@dataclass
class Ticket:
    value: str
    ends_at: float


@dataclass
class Web:
    """Codes and tickets of all accounts."""

    codes: dict[str, Code] = field(default_factory=dict)
    tickets: dict[str, Ticket] = field(default_factory=dict)


@dataclass
class Domains:
    """ "功能设置" of an account or a platform; None: any domain will do."""

    oauth: str | None = None
    js: list[str] | None = None

    def change(self, body: dict[str, Any]) -> None:
        if "oauth_domain" in body:
            self.oauth = str(body["oauth_domain"]) if body["oauth_domain"] else None
        if "js_domains" in body:
            given = body["js_domains"]
            self.js = None if given is None else [str(domain) for domain in given]

    def listing(self) -> dict[str, Any]:
        return {"oauth_domain": self.oauth, "js_domains": self.js}
