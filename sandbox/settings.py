"""Switches of the whole sandbox, changed over the control API."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

OUTCOMES = ("success", "user_block", "system_failed")
# Which comes first when an account is authorised: the browser's way back or the event.
ORDERS = ("random", "event_first", "redirect_first", "event_only", "redirect_only")


def _span(value: Any) -> tuple[float, float]:
    low, high = (value, value) if isinstance(value, int | float) else value
    low, high = float(low), float(high)
    if not 0 <= low <= high:
        raise ValueError("two numbers, the second not below the first")
    return low, high


def _share(value: Any) -> float:
    if not 0 <= float(value) <= 1:
        raise ValueError("between 0 and 1")
    return float(value)


def _weights(value: Any) -> dict[str, float]:
    weights = {str(k): float(v) for k, v in dict(value).items()}
    if not set(weights) <= set(OUTCOMES) or sum(weights.values()) <= 0:
        raise ValueError(f"weights of {', '.join(OUTCOMES)}")
    return weights


def _positive(value: Any) -> float:
    if float(value) < 0:
        raise ValueError("not negative")
    return float(value)


def _whole(value: Any) -> int:
    if int(value) < 1:
        raise ValueError("at least 1")
    return int(value)


def _interval(value: Any) -> float:
    if float(value) < 0.1:
        raise ValueError("at least 0.1")
    return float(value)


def _order(value: Any) -> str:
    if value not in ORDERS:
        raise ValueError(f"one of {', '.join(ORDERS)}")
    return str(value)


def _wrapper(value: Any) -> str:
    if value not in ("change", "popup"):
        raise ValueError("change or popup")
    return str(value)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "receipt_delay_s": _span,
    "receipt_before_reply": _switch,
    "receipt_outcomes": _weights,
    "receipt_duplicates": _share,
    "receipt_shuffle": _switch,
    "receipts": _switch,
    "push_attempts": _whole,
    "push_timeout_s": _positive,
    "push_patience_s": _positive,
    "push_connections": _whole,
    "reply_delay_ms": _span,
    "caller_ip": str,
    "token_life_s": _positive,
    "token_overlap_s": _positive,
    "forced_gap_s": _positive,
    "forced_per_day": _whole,
    "same_message_s": _positive,
    "bizsend_msgid": _switch,
    "change_events": _switch,
    "change_event_wrapper": _wrapper,
    "kept_choice_events": _switch,
    "oauth_code_life_s": _positive,
    "snapshot_users": _switch,
    "tickets": _switch,
    "ticket_interval_s": _interval,
    "ticket_life_s": _positive,
    "component_token_life_s": _positive,
    "pre_auth_code_life_s": _positive,
    "auth_code_life_s": _positive,
    "authorised_order": _order,
    "authorised_twice": _switch,
    "refresh_token_replaced": _switch,
}


@dataclass
class Settings:
    # From acceptance to the receipt's push; (0, 0) may overtake the reply.
    receipt_delay_s: tuple[float, float] = (0.5, 3.0)
    # The reply waits until the receipt has been pushed.
    receipt_before_reply: bool = False
    # Fate of messages to people who follow and don't block.
    receipt_outcomes: dict[str, float] = field(default_factory=lambda: {"success": 1.0})
    # Share of receipts pushed twice, and whether those due together change order.
    receipt_duplicates: float = 0.0
    receipt_shuffle: bool = False
    # False: they wait, none is lost; true again: all of them go out.
    receipts: bool = True
    push_attempts: int = 3
    push_timeout_s: float = 5.0
    # Above 0: after the attempts keep trying this long, for receivers being restarted.
    push_patience_s: float = 0.0
    push_connections: int = 16
    # Every WeChat reply comes this late: network distance.
    reply_delay_ms: tuple[float, float] = (0.0, 0.0)
    # The address every caller seems to come from; "": its own.
    caller_ip: str = ""
    token_life_s: float = 7200.0
    token_overlap_s: float = 300.0
    forced_gap_s: float = 30.0
    forced_per_day: int = 20
    # How long openid + client_msg_id is remembered.
    same_message_s: float = 600.0
    # Subscribe-notifications: real replies carry a msgid, the documented one has none.
    bizsend_msgid: bool = True
    # Whether refusing in the settings is pushed (WeChat forgets it at times), and in
    # which of the two documented shapes.
    change_events: bool = True
    change_event_wrapper: str = "change"
    # Whether a choice someone always keeps is pushed when no dialog was shown.
    kept_choice_events: bool = True
    oauth_code_life_s: float = 300.0
    # Every visitor of a web page is a snapshot user, whose openid is not real.
    snapshot_users: bool = False
    # The third-party platform. False: WeChat has stopped pushing tickets, until
    # api_start_push_ticket.
    tickets: bool = True
    ticket_interval_s: float = 600.0
    ticket_life_s: float = 12 * 3600.0
    component_token_life_s: float = 7200.0
    pre_auth_code_life_s: float = 600.0
    auth_code_life_s: float = 600.0
    authorised_order: str = "random"
    authorised_twice: bool = False
    # api_authorizer_token gives a new refresh token, and the old one is void.
    refresh_token_replaced: bool = False

    def change(self, body: dict[str, Any]) -> None:
        """Apply the named switches, all or none. Raises ValueError with a sentence."""
        read = {}
        for name, value in body.items():
            if name not in _READERS:
                raise ValueError(f"{name}: no such switch")
            try:
                read[name] = _READERS[name](value)
            except (TypeError, ValueError) as wrong:
                raise ValueError(f"{name}: {wrong}") from None
        for name, value in read.items():
            setattr(self, name, value)

    def listing(self) -> dict[str, Any]:
        return asdict(self)


assert {f.name for f in fields(Settings)} == set(_READERS)
