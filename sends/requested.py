"""What a business system asks for: messages, whom for, and how."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from templates_mgmt.models import Template

# Userids a request, openIDs a channel and request.
IDS_AT_MOST: Final = 1000


@dataclass(frozen=True)
class Message:
    """One message. `name` is its place in the request, for errors; `url` is the `page`
    of a subscribe-notification."""

    name: str
    template_id: str
    data: dict[str, str]
    url: str = ""
    miniprogram_appid: str = ""
    miniprogram_path: str = ""
    kind: str = Template.Kind.TEMPLATE


@dataclass(frozen=True)
class Targets:
    """Whom a request names. `openids` are (label of the channel or "", openids)."""

    userids: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    segment: int | None = None
    openids: list[tuple[str, list[str]]] = field(default_factory=list)

    @property
    def by_user(self) -> bool:
        return bool(self.userids or self.tags or self.segment is not None)


@dataclass(frozen=True)
class Options:
    sendno: str = ""
    owner: str = ""
    black_id: int | None = None
    white_id: int | None = None
    priority: int = 2
    rule_id: int = 0
    canary: bool = False
    skip_unreachable: bool = True
    callback_url: str = ""
    callback_params: dict[str, Any] | None = None


def every_text(messages: Iterable[Message]) -> list[str]:
    """Return every text a recipient would read or open."""
    return [
        text
        for message in messages
        for text in (*message.data.values(), message.url, message.miniprogram_path)
        if text
    ]
