"""What a drain keeps in mind of rows that are under way."""

from dataclasses import dataclass, field
from datetime import datetime

from channels_wechat.wechat.bulk import Call

from .models import Chunk, Send
from .querysets import Row


@dataclass
class Claim:
    """A claimed chunk and what is still out of it."""

    chunk: Chunk
    send: Send
    out: int = 0
    back: int = 0  # rows that wait again
    back_at: datetime | None = None  # not before
    # Whether a call may be made again after an answer that was never seen.
    repeat_safe: bool = field(init=False)

    def __post_init__(self) -> None:
        template = self.send.template
        self.repeat_safe = not (template and template.is_subscribe)


@dataclass(slots=True)
class Out:
    """A row that was given to the line and has no result yet."""

    claim: Claim
    row: Row
    call: Call
    token: str
    token_refusals: int = 0
