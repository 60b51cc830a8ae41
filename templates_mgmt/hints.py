"""What a field of each type takes, in a sentence for the operator."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

_TWENTY = _("Up to 20 characters.")
_ALLOWED = _("One of the values the template allows, up to 20 characters.")

# Keys are wechat.limits.TYPES and "" for the untyped keys of historical templates.
HINTS: dict[str, Promise] = {
    "thing": _TWENTY,
    "short_thing": _TWENTY,
    "const": _ALLOWED,
    "enum": _ALLOWED,
    "enum_string": _ALLOWED,
    "number": _("A number, up to 32 digits."),
    "letter": _("Up to 32 letters."),
    "symbol": _("Up to 5 symbols."),
    "character_string": _("Up to 32 digits, letters and symbols."),
    "time": _("A time such as 15:01, also with a date: 2026-10-01 15:01."),
    "date": _("A date such as 2026-10-01, also with a time."),
    "amount": _("An amount such as ¥100.00, up to 12 digits."),
    "phone_number": _("A phone number, up to 17 digits and symbols."),
    "car_number": _("Up to 8 characters."),
    "name": _("Up to 10 Chinese characters or 20 letters."),
    "phrase": _("Up to 5 Chinese characters."),
    "": _("Historical field: cut after 20 characters or at a line break."),
}


# What subscribe-notifications take otherwise.
SUBSCRIBE_HINTS: dict[str, Promise | str] = {
    "amount": _("An amount such as ¥100.00, up to 10 digits."),
    "": "",
}


def hint(field: Mapping[str, Any], kind: str) -> str:
    """Return the sentence for a field of a template of this kind; "" for a type that
    we do not know."""
    if values := field.get("values"):
        return gettext("One of: %(values)s") % {"values": " · ".join(values)}
    type_ = field["type"]
    own = SUBSCRIBE_HINTS if kind == "subscribe" else {}
    return str(own.get(type_, HINTS.get(type_, "")))
