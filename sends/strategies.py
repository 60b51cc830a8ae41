"""What a strategy's steps may say."""

from collections.abc import Sequence
from typing import Final

STEPS_AT_MOST: Final = 10
# A message that comes weeks later is not the same message any more.
WAIT_AT_MOST_S: Final = 7 * 24 * 3600
TRIGGERS: Final = ("refused", "not_delivered")


def twice(codes: Sequence[str]) -> int | None:
    """Return the index of the first channel that came before; None if each is new."""
    for index, code in enumerate(codes):
        if code in codes[:index]:
            return index
    return None
