"""Everything the sandbox remembers, and the ways to ask it."""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .accounts import Account
from .bundled import bundled_accounts
from .chat import Chats
from .faults import Faults
from .platform import Platform
from .settings import Settings
from .subscriptions import Subscriptions, usual
from .tokens import Tokens
from .web import Domains, Web

LOG_LENGTH = 5_000
# Messages whose content is kept; older ones live on in the counts only.
KEPT_MESSAGES = 50_000


class Shown(NamedTuple):
    """A message on a phone; `body` is the call as it came, parsed when looked at.

    Only strings, numbers and bytes: the garbage collector then leaves it alone.
    """

    seq: int
    msgid: int
    at: float
    template_id: str
    client_msg_id: str
    body: bytes
    # A notification to someone who does not follow: under "Service notifications".
    outside: bool = False


class LogLine(NamedTuple):
    at: float
    appid: str
    method: str
    path: str
    errcode: int
    errmsg: str
    ip: str
    fault: str


@dataclass
class Inbox:
    """What the people of one account have been sent."""

    messages: dict[str, list[Shown]] = field(default_factory=dict)
    # (openid, client_msg_id, template_id) -> times shown; never forgotten, the proofs
    # that nobody saw anything twice rest on it.
    shown: dict[tuple[str, str, str], int] = field(default_factory=dict)
    # (openid, client_msg_id) -> (msgid, accepted at)
    accepted: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)
    accepted_order: deque[tuple[str, str]] = field(default_factory=deque)
    accepted_count: int = 0
    shown_count: int = 0
    repeated_count: int = 0
    removed: dict[str, Any] = field(default_factory=dict)

    def first_msgid(self, key: tuple[str, str], since: float) -> int | None:
        """Return the msgid this pair was accepted with after `since`, if it was."""
        order, known = self.accepted_order, self.accepted
        while order and known[order[0]][1] < since:
            del known[order.popleft()]
        first = known.get(key)
        return first[0] if first else None

    def remember(self, key: tuple[str, str], msgid: int, at: float) -> None:
        self.accepted[key] = (msgid, at)
        self.accepted_order.append(key)


class World:
    """The state of one sandbox process; `reset` takes it back to its start."""

    def __init__(
        self,
        settings: Callable[[], Settings] = Settings,
        platform: Callable[[], Platform] = Platform,
    ) -> None:
        self._settings, self._platform = settings, platform
        self.last_msgid = time.time_ns()
        self.reset()

    def reset(self, keep_accounts: bool = False) -> None:
        """Forget messages, calls, faults, tokens and switches; and other accounts."""
        self.settings = self._settings()
        self.faults = Faults()
        self.tokens = Tokens()
        self.apply_settings()
        self.platform = self._platform()
        # The automatic accounts of the release test, while one of them tests.
        self.automatic: dict[str, Account] = {}
        if not keep_accounts:
            self.accounts: dict[str, Account] = {
                account.appid: account for account in bundled_accounts()
            }
            self.subscriptions: defaultdict[str, Subscriptions] = defaultdict(usual)
            self.domains: defaultdict[str, Domains] = defaultdict(Domains)
        for account in self.accounts.values():
            account.used.clear()
            account.refuses = 0
        self.inboxes: dict[str, Inbox] = {appid: Inbox() for appid in self.accounts}
        self.chats = Chats()
        self.web = Web()
        self.kept: deque[tuple[str, str]] = deque()
        self.log: deque[LogLine] = deque(maxlen=LOG_LENGTH)
        self.calls: Counter[tuple[str, str, int]] = Counter()
        self.seq = 0
        self.started_at = time.time()

    def apply_settings(self) -> None:
        tokens, settings = self.tokens, self.settings
        tokens.life_s = settings.token_life_s
        tokens.overlap_s = settings.token_overlap_s
        tokens.forced_gap_s = settings.forced_gap_s
        tokens.forced_per_day = settings.forced_per_day
        tokens.component_life_s = settings.component_token_life_s

    def account(self, appid: str) -> Account | None:
        """Return an account, an automatic one included."""
        return self.accounts.get(appid) or self.automatic.get(appid)

    def add(self, account: Account) -> None:
        self.accounts[account.appid] = account
        self.inboxes[account.appid] = Inbox()

    def drop(self, appid: str) -> None:
        del self.accounts[appid], self.inboxes[appid]
        self.subscriptions.pop(appid, None)
        self.domains.pop(appid, None)
        self.platform.grants.pop(appid, None)
        self.kept = deque(kept for kept in self.kept if kept[0] != appid)

    def next_msgid(self) -> int:
        """Larger than 2^53 and never used before, a restart included."""
        self.last_msgid += 37
        return self.last_msgid

    def show(
        self,
        appid: str,
        openid: str,
        msgid: int,
        at: float,
        template_id: str,
        client_msg_id: str,
        body: bytes,
        outside: bool = False,
    ) -> None:
        """Let a message appear on someone's phone."""
        inbox = self.inboxes[appid]
        key = (openid, client_msg_id, template_id)
        inbox.shown[key] = inbox.shown.get(key, 0) + 1
        inbox.shown_count += 1
        self.seq += 1
        shown = Shown(self.seq, msgid, at, template_id, client_msg_id, body, outside)
        messages = inbox.messages.get(openid)
        if messages is None:
            inbox.messages[openid] = [shown]
        else:
            messages.append(shown)
        self.kept.append((appid, openid))
        if len(self.kept) > KEPT_MESSAGES:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        appid, openid = self.kept.popleft()
        messages = self.inboxes[appid].messages
        messages[openid].pop(0)
        if not messages[openid]:
            del messages[openid]

    def shown_counts(
        self, appid: str = "", template_id: str = "", client_msg_id: str = ""
    ) -> Iterator[tuple[str, int]]:
        """(openid, times shown) of every key that fits."""
        for of, inbox in self.inboxes.items():
            if appid and of != appid:
                continue
            for (openid, message, template), times in inbox.shown.items():
                if template_id and template != template_id:
                    continue
                if client_msg_id and message != client_msg_id:
                    continue
                yield openid, times
