"""Access tokens of both families, with WeChat's overlaps and limits.

Sources: developers.weixin.qq.com/doc/offiaccount/Basic_Information/
Get_access_token.html and getStableAccessToken.html, read 2026-11.
"""

import secrets
from dataclasses import dataclass, field

from .answers import Refusal
from .platform import Grant


@dataclass(slots=True)
class Token:
    value: str
    appid: str
    ends_at: float
    # Replaced or killed: no longer the latest, which WeChat words otherwise (40001)
    # than one that reached its end (42001).
    replaced: bool = False
    # The authorisation it rests on when a third-party platform holds it.
    grant: Grant | None = None


@dataclass
class Forced:
    day: int = 0
    count: int = 0
    at: float = 0.0


@dataclass
class Tokens:
    """All tokens of all accounts; times are seconds since the epoch."""

    life_s: float = 7200
    overlap_s: float = 300
    forced_gap_s: float = 30
    forced_per_day: int = 20
    known: dict[str, Token] = field(default_factory=dict)
    classic: dict[str, Token] = field(default_factory=dict)
    stable: dict[str, Token] = field(default_factory=dict)
    forced: dict[str, Forced] = field(default_factory=dict)
    component: Token | None = None
    component_life_s: float = 7200
    authorizers: dict[str, Token] = field(default_factory=dict)
    issued: int = 0

    def new(self, appid: str, now: float, life_s: float | None = None) -> Token:
        ends_at = now + (self.life_s if life_s is None else life_s)
        token = Token(f"92_{secrets.token_urlsafe(96)}", appid, ends_at)
        self.known[token.value] = token
        self.issued += 1
        if len(self.known) > 10_000:
            for value in list(self.known)[:5_000]:
                del self.known[value]
        return token

    def issue_classic(self, appid: str, now: float) -> Token:
        """A new token each time; the old one stays usable for the overlap."""
        self._replace(self.classic.get(appid), now)
        token = self.classic[appid] = self.new(appid, now)
        return token

    def issue_component(self, appid: str, now: float) -> Token:
        """A platform's own token; the old one stays usable for the overlap."""
        self._replace(self.component, now)
        self.component = self.new(appid, now, self.component_life_s)
        return self.component

    def issue_authorizer(self, grant: Grant, now: float) -> Token:
        """A platform's token for an account; the old one likewise."""
        self._replace(self.authorizers.get(grant.appid), now)
        token = self.authorizers[grant.appid] = self.new(grant.appid, now)
        token.grant = grant
        return token

    def _replace(self, old: Token | None, now: float) -> None:
        if old:
            old.ends_at = min(old.ends_at, now + self.overlap_s)
            old.replaced = True

    def issue_stable(self, appid: str, now: float, force: bool) -> Token:
        """The same token until the overlap before its end; `force` kills it at once."""
        current = self.stable.get(appid)
        if current and force and self._may_force(appid, now):
            current.ends_at, current.replaced = 0.0, True
            current = None
        # `replaced`: killed from outside, as by another system's forced refresh.
        dead = current is None or (current.replaced and current.ends_at <= now)
        if current is None or dead or current.ends_at - now <= self.overlap_s:
            current = self.stable[appid] = self.new(appid, now)
        return current

    def _may_force(self, appid: str, now: float) -> bool:
        forced = self.forced.setdefault(appid, Forced())
        day = int(now + 8 * 3600) // 86400
        if forced.day != day:
            forced.day, forced.count = day, 0
        if forced.count >= self.forced_per_day or now - forced.at < self.forced_gap_s:
            return False
        forced.count += 1
        forced.at = now
        return True

    def kill(self, value: str) -> None:
        """Make a token "not the latest" at once, as another system's refresh does."""
        token = self.known.get(value)
        if token:
            token.ends_at, token.replaced = 0.0, True

    def kill_all(self, appid: str) -> None:
        for token in self.known.values():
            if token.appid == appid:
                token.ends_at, token.replaced = 0.0, True

    def find(self, value: str, now: float) -> Token:
        """Return a token that lives. Raises Refusal 41001, 40014, 40001 or 42001."""
        token = self.known.get(value)
        if token and token.ends_at > now:
            return token
        if not value:
            raise Refusal(41001)
        if token:
            raise Refusal(40001 if token.replaced else 42001)
        raise Refusal(40001 if len(value) >= 64 else 40014)
