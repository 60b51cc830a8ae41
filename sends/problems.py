"""Values that WeChat would refuse, kept with a delivery and told in a sentence."""

from django.utils.translation import gettext as _

from channels_wechat.wechat.limits import PROBLEMS, Problem


def keep(problem: Problem) -> str:
    """Return `problem` as Delivery.error holds it, in no language."""
    return f"{problem.code}|{problem.key}|{problem.limit}|{problem.length}"


def read(kept: str) -> Problem | None:
    """Return the problem that `keep` wrote, None when it is something else."""
    parts = kept.split("|")
    if len(parts) != 4 or parts[0] not in PROBLEMS:
        return None
    code, key, limit, length = parts
    return Problem(code, key, int(limit), int(length))


def sentence(problem: Problem, label: str = "") -> str:
    """Say what is wrong in the reader's language; `label` is the field's own name."""
    return _(PROBLEMS[problem.code]) % {
        "key": label or problem.key,
        "limit": problem.limit,
        "length": problem.length,
    }
