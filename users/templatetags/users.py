"""Template filters of the pages of users."""

from collections.abc import Sequence
from typing import Any

from django import template

from users.reasons import sentence
from users.rows import RowProblem

register = template.Library()


@register.filter
def at(items: Sequence[Any], index: int) -> Any:
    """The item at that place, None behind the end."""
    return items[index] if index < len(items) else None


@register.filter
def reason(problem: RowProblem) -> str:
    """Why a row is left out, as a sentence."""
    return sentence(problem.code, problem.params)
