"""General templates: which texts for a WeChat template's fields make sense."""

from collections.abc import Mapping

from django.utils.translation import gettext as _

from channels_wechat.wechat.limits import PROBLEMS
from channels_wechat.wechat.messages import placeholders

from .models import GeneralTemplate, Template
from .previewing import NOT_SHOWN

TEXT_AT_MOST = 2000


def problems(template: Template, data: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with the texts, by field; {} for nothing.

    Every field that WeChat shows needs a text; one without placeholders is the same for
    everybody and is checked as WeChat would.
    """
    found: dict[str, str] = {}
    labels = {field["key"]: field["label"] for field in template.fields}
    for key in data:
        if key not in labels:
            found[key] = _("The template has no such field.")
    for key, label in labels.items():
        text = data.get(key, "")
        if not text:
            if key not in NOT_SHOWN:
                found[key] = _("Fill this in.")
        elif len(text) > TEXT_AT_MOST:
            found[key] = _("At most %(count)d characters.") % {"count": TEXT_AT_MOST}
        elif not placeholders(text):
            problem = template.problem_of(key, text)
            if problem is not None and problem.blocks:
                found[key] = _(PROBLEMS[problem.code]) % {
                    "key": label or key,
                    "limit": problem.limit,
                    "length": problem.length,
                }
    return found


def names(data: Mapping[str, str]) -> list[str]:
    """Return the variables that the texts use, in their order."""
    return list(dict.fromkeys(n for text in data.values() for n in placeholders(text)))


def variables(row: GeneralTemplate) -> list[str]:
    """Return the variables of its texts, in the card's order, and of its link."""
    # PostgreSQL keeps JSON objects in an order of its own.
    order = [field["key"] for field in row.template.fields]
    data = {key: row.data[key] for key in order if key in row.data} | row.data
    return names({**data, "url": row.url, "path": row.miniprogram_path})
