"""What stops a send by itself: seen in WeChat's answers alone.

The line looks at every answer in its own thread, through a Tripwire, and starts nothing
more at once; however late the drain comes to read, no further call has left by then.
The drain reads the same answers, pauses what has to pause and withdraws the rest.
"""

from dataclasses import dataclass
from typing import Final

from channels_wechat.wechat import errors
from channels_wechat.wechat.bulk import Answer, Outcome

# An unknown error this many times in a row is nobody's single fault.
SAME_UNKNOWN_ERRORS: Final = 20
# Nothing got through this many times in a row: wait instead of burning rows' tries.
SILENCE: Final = 50
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
