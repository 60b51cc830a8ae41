"""What a field of each type takes, in a sentence for the operator."""

from django.utils.functional import Promise
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


def hint(field_type: str) -> str:
    """Return the sentence for a type; "" for one that we do not know."""
    found = HINTS.get(field_type)
    return str(found) if found else ""
