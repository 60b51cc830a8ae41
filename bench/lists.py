"""What checking a long list of ids costs beside merely reading it."""

import json
import statistics
import time

from users.audiences import checked


def checking_to_reading(count: int, rounds: int) -> float:
    """Return the median time to check `count` userids as a multiple of json.loads'."""
    body = json.dumps([f"user{number:08d}" for number in range(count)])
    ratios = []
    for _round in range(rounds):
        begun = time.perf_counter()
        userids = json.loads(body)
        read = time.perf_counter()
        checked(userids)
        ratios.append((time.perf_counter() - read) / (read - begun))
    return statistics.median(ratios)
