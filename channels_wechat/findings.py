"""What a check found, and what WeChat's errors mean: sentences for operators.

What a check found is kept untranslated, since whoever reads it later may read another
language than whoever ran it.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from .wechat.errors import WeChatError, WeChatUnavailable, explain, requested_ip

Level = Literal["ok", "warn", "bad"]


class Finding(NamedTuple):
    """One thing looked at. `check` is a stable word; `fix` may be empty."""

    check: str
    level: Level
    detail: str
    fix: str


class Sentence(NamedTuple):
    """A sentence to be translated, then filled."""

    text: str
    values: dict[str, Any] = {}  # never changed

    def __str__(self) -> str:
        return gettext(self.text) % self.values if self.values else gettext(self.text)


class Found(NamedTuple):
    """A Finding before its translation; this is what the channel's row keeps."""

    check: str
    level: Level
    detail: list[Sentence]
    fix: list[Sentence] = []  # never changed

    def told(self) -> Finding:
        return Finding(self.check, self.level, _say(self.detail), _say(self.fix))


class Refusal(NamedTuple):
    """A WeChat error for people: what happened, what to do (may be empty), and WeChat's
    own words."""

    meaning: str
    fix: str
    words: str
    quoted: str  # the words, with whose they are

    @property
    def detail(self) -> str:
        """What happened and WeChat's words, in one line."""
        return f"{self.meaning} {self.quoted}"


def refusal(error: WeChatError) -> Refusal:
    """Return what `error` means for an operator, with the address to whitelist."""
    meaning, fix = explained(error)
    return Refusal(str(meaning), _say(fix), str(error), str(_quoted(error)))


def _quoted(error: WeChatError) -> Sentence:
    """Return WeChat's words as such; where it said nothing, what we know instead."""
    words = {"words": str(error)}
    if error.errcode is None:
        return Sentence(_("Technical detail: %(words)s"), words)
    return Sentence(_("WeChat's words: %(words)s"), words)


def _say(sentences: Iterable[Sentence]) -> str:
    # Chinese puts no space after its full stop.
    return " ".join(map(str, sentences)).replace("。 ", "。")


def explained(error: WeChatError) -> tuple[Sentence, list[Sentence]]:
    """Return (what happened, what to do)."""
    code = explain(error.errcode)
    fix = []
    if ip := requested_ip(error.errmsg):
        fix.append(Sentence(_("The address is %(ip)s."), {"ip": ip}))
    if code is not None:
        meaning = Sentence(code.meaning)
        if code.advice:
            fix.append(Sentence(code.advice))
    elif isinstance(error, WeChatUnavailable):
        meaning = Sentence(_("WeChat cannot be reached."))
        fix.append(
            Sentence(
                _("Try again later. If it stays so, look at this server's network.")
            )
        )
    else:
        meaning = Sentence(_("WeChat refused for a reason we do not know."))
    return meaning, fix


def refused(check: str, level: Level, error: WeChatError) -> Found:
    """Return the finding that WeChat answered a check with `error`."""
    meaning, fix = explained(error)
    return Found(check, level, [meaning, _quoted(error)], fix)
