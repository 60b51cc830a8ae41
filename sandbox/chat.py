"""What people write to an account, and what its customer service answers.

Source: developers.weixin.qq.com/doc/offiaccount/Message_Management/
Service_Center_messages.html, read 2026-11.
"""

from dataclasses import dataclass, field
from typing import Any

from .accounts import Account
from .answers import Refusal
from .people import FOLLOWS

# After a message of the person's: 48 hours, 5 messages. After following: a minute, 3.
WRITTEN, FOLLOWED = (48 * 3600.0, 5), (60.0, 3)
MAX_BYTES = 2048
KEPT = 100


@dataclass
class Said:
    """One text in a conversation, by the person or by the account."""

    at: float
    text: str
    by_person: bool


@dataclass
class Window:
    ends_at: float
    left: int


@dataclass
class Chats:
    """All conversations and reply windows, by (appid, openid)."""

    said: dict[tuple[str, str], list[Said]] = field(default_factory=dict)
    windows: dict[tuple[str, str], Window] = field(default_factory=dict)

    def note(self, account: Account, openid: str, said: Said) -> None:
        kept = self.said.setdefault((account.appid, openid), [])
        kept.append(said)
        del kept[:-KEPT]

    def of(self, account: Account, openid: str) -> list[Said]:
        return self.said.get((account.appid, openid), [])

    def open(
        self, account: Account, openid: str, now: float, window: tuple[float, int]
    ) -> None:
        """Let the account answer: `window` is (seconds, messages)."""
        span_s, messages = window
        self.windows[account.appid, openid] = Window(now + span_s, messages)


def serve(chats: Chats, account: Account, body: dict[str, Any], now: float) -> None:
    """Show a customer-service text on its phone. Raises Refusal."""
    openid, text = body.get("touser"), body.get("text")
    state = account.people.get(openid) if isinstance(openid, str) else None
    if state is None or not isinstance(openid, str):
        raise Refusal(40003)
    if body.get("msgtype") != "text":
        raise Refusal(40008)
    content = text.get("content") if isinstance(text, dict) else None
    if not isinstance(content, str) or not content:
        raise Refusal(44004)
    if len(content.encode()) > MAX_BYTES:
        raise Refusal(45002)
    window = chats.windows.get((account.appid, openid))
    if not state & FOLLOWS or window is None or window.ends_at <= now:
        raise Refusal(45015)
    if window.left <= 0:
        raise Refusal(45047)
    window.left -= 1
    chats.note(account, openid, Said(now, content, by_person=False))
