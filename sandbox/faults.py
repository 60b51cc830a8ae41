"""Faults on demand: what goes wrong, on which calls, how often."""

import random
from dataclasses import asdict, dataclass, field
from typing import Any

from .accounts import SEND

# kind -> (happens after the call took effect, what it does)
KINDS = {
    "busy": (False, "errcode -1, nothing happened"),
    "busy_after": (True, "errcode -1, although the message was accepted"),
    "close": (True, "the connection closes after acceptance, no reply"),
    "close_before": (False, "the connection closes, nothing happened"),
    "slow": (True, "the reply comes delay_s late"),
    "daily_quota": (False, "errcode 45009"),
    "rate_limit": (False, "errcode 45011"),
    "token_dies": (False, "the access token dies, errcode 40001"),
    "bad_gateway": (False, "HTTP 502 with an HTML body"),
    "bad_gateway_after": (True, "the same, although the message was accepted"),
    "truncated": (True, "the reply's body ends early"),
    "no_msgid": (True, "the reply lacks msgid"),
    "errcode_string": (True, "the reply's errcode is a string"),
    "errcode": (False, "any errcode, with errmsg or WeChat's text"),
}


@dataclass
class Fault:
    id: int
    kind: str
    path: str = SEND
    appid: str = ""
    openid: str = ""
    # For the next `calls` calls (None: until cleared), each with chance `share`.
    calls: int | None = None
    share: float = 1.0
    errcode: int = 0
    errmsg: str = ""
    delay_s: float = 5.0
    hits: int = 0

    @property
    def after(self) -> bool:
        return KINDS[self.kind][0]


@dataclass
class Faults:
    active: list[Fault] = field(default_factory=list)
    last_id: int = 0

    def add(self, body: dict[str, Any]) -> Fault:
        """Switch a fault on. Raises ValueError with a sentence."""
        kind = body.get("kind")
        if kind not in KINDS:
            raise ValueError(f"kind: one of {', '.join(KINDS)}")
        self.last_id += 1
        try:
            fault = Fault(id=self.last_id, **body)
            if fault.calls is not None:
                fault.calls = int(fault.calls)
            fault.share = float(fault.share)
            fault.errcode = int(fault.errcode)
            fault.delay_s = float(fault.delay_s)
        except TypeError as refused:
            raise ValueError(f"fault: {refused}") from None
        if not 0 < fault.share <= 1:
            raise ValueError("share: above 0, at most 1")
        if kind == "errcode" and not fault.errcode:
            raise ValueError("errcode: give the code to answer with")
        self.active.append(fault)
        return fault

    def pick(self, path: str, appid: str, body: bytes) -> Fault | None:
        """Return the fault that this call meets, counting it down."""
        for fault in self.active:
            if (
                fault.path in ("*", path)
                and fault.appid in ("", appid)
                and (not fault.openid or fault.openid.encode() in body)
                and (fault.share >= 1 or random.random() < fault.share)
            ):
                fault.hits += 1
                if fault.calls is not None:
                    fault.calls -= 1
                    if fault.calls <= 0:
                        self.active.remove(fault)
                return fault
        return None

    def remove(self, fault_id: int) -> bool:
        before = len(self.active)
        self.active = [f for f in self.active if f.id != fault_id]
        return len(self.active) < before

    def listing(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self.active]
