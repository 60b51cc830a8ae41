"""What stops a send by itself: seen in WeChat's answers alone.

The line looks at every answer in its own thread, through a Tripwire, and starts nothing
more at once; however late the drain comes to read, no further call has left by then.
The drain reads the same answers, pauses what has to pause and withdraws the rest.
"""

from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext as _

from channels_wechat.wechat import errors
from channels_wechat.wechat.bulk import Answer, Outcome

# An unknown error this many times in a row is nobody's single fault.
SAME_UNKNOWN_ERRORS: Final = 20
# Nothing got through this many times in a row: wait instead of burning rows' tries.
SILENCE: Final = 50
# A share of fewer messages than this says nothing.
ENOUGH_TO_TELL: Final = 200
# WeChat refuses one interface so: the channel's other kind of message may go on.
OF_ONE_KIND: Final = frozenset({45009, 48001, 48004, 50001, 61007, 200011, 200100})
# No further call would fare better than the one that was answered so.
HOPELESS: Final = (
    errors.ChannelRefused,
    errors.QuotaUsedUp,
    errors.RateLimited,
    errors.TemplateRefused,
    errors.TokenRefused,
)


@dataclass
class Streak:
    """How often the same thing happened in a row."""

    what: object = None
    times: int = 0

    def count(self, what: object) -> int:
        """Count `what` once more and return how often it came in a row. None breaks
        every streak."""
        self.times = self.times + 1 if what == self.what else 1
        self.what = what
        return 0 if what is None else self.times


@dataclass
class Share:
    """How many of a send's latest 500 to 1000 messages were refused."""

    answered: int = 0
    refused: int = 0

    def count(self, refused: bool) -> None:
        self.answered += 1
        self.refused += refused
        if self.answered >= 1000:
            # What is long past must not outweigh what happens now.
            self.answered //= 2
            self.refused //= 2

    def is_above(self, percent: int) -> bool:
        """Whether more than `percent` were refused, of enough to tell."""
        enough = self.answered >= ENOUGH_TO_TELL
        return enough and self.refused * 100 > self.answered * percent


def shares(failed: int, total: int) -> str:
    """Return how a send keeps a share in its `pause_detail`; `sentence` reads it."""
    return f"{failed}/{total}"


def sentence(pause_code: str, pause_detail: str) -> str:
    """Return a pause's detail for people: WeChat's words, or a share in words."""
    failed, _slash, total = pause_detail.partition("/")
    match pause_code:
        case "refusals":
            text = _("%(failed)s of the latest %(total)s messages were refused.")
        case "canary":
            text = _("%(failed)s of the first %(total)s messages failed.")
        case _code:
            return pause_detail
    return text % {"failed": failed, "total": total}


class Tripwire:
    """Tells after which answer nothing more may be started."""

    def __init__(self) -> None:
        self._streak = Streak()

    def __call__(self, answer: Answer) -> bool:
        if answer.outcome is not Outcome.ANSWERED:
            return self._streak.count(answer.outcome) % SILENCE == 0
        if answer.errcode == 0:
            self._streak.count(None)
            return False
        code = errors.explain(answer.errcode)
        if code is None:
            times = self._streak.count(answer.errcode)
            return times % SAME_UNKNOWN_ERRORS == 0
        self._streak.count(None)
        return issubclass(code.error, HOPELESS)
