"""Every sentence that an upload may get as an answer, by its stable code."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .workbooks import BAD_FILES, CELL_PROBLEMS

# Why a whole file of users is refused, beside the reasons that hold for any table.
BAD_UPLOADS = {
    "no_header": _(
        "The first row must name the columns; it reads: %(found)s. At least a column "
        "userid is needed."
    ),
    "no_userid": _(
        "No column is called userid. Found: %(found)s. Each row must say whose it is."
    ),
    "double_meaning": _("The columns %(found)s mean the same. Keep one of them."),
    "gave_up": _(
        "The import was started %(attempts)s times and never came to its end. Split "
        "the file into several and look at the server's log."
    ),
    "file_gone": _("The uploaded file is no longer on the server. Upload it again."),
}

# Why a row is refused, or (the last ones) what was done with it.
ROWS = {
    "userid_missing": _("userid: missing."),
    "userid_too_long": _("userid: longer than 64 characters."),
    "userid_characters": _(
        "userid: “%(value)s” has other characters than letters, digits and "
        "_ - @ ! # $ & * + = . |"
    ),
    "openid_shape": _(
        "openID: “%(value)s” is none; an openID has 28 characters and begins with o."
    ),
    "unknown_channel": _("bind_id: there is no channel with the code %(value)s."),
    "no_channel": _(
        "openID: no channel. Choose one for the upload, or add a column bind_id with "
        "the channel's code."
    ),
    "openid_for_all": _(
        "bind_id: an openID belongs to one channel, not to “all”. Give its code."
    ),
    "phone_shape": _("phone: “%(value)s” is no phone number."),
    "email_shape": _("email: “%(value)s” is no email address."),
    "tag_shape": _(
        "tag: “%(value)s” is longer than 40 bytes or has other characters than "
        "letters, digits and _ - @ ! # $ & * + = . |"
    ),
    "too_many_tags": _("tag: more than 100 tags in one cell."),
    # Warnings: the row was imported.
    "another_openid": _(
        "Row %(row)s gave this userid another openID of the same channel. This one, "
        "the later, counts."
    ),
    "openid_differs": _("The stored openID is another one. Nothing was deleted."),
    "unknown_userid": _("Nobody has this userid. There was nothing to delete."),
}

REASONS = {**BAD_FILES, **BAD_UPLOADS, **CELL_PROBLEMS, **ROWS}


def sentence(code: str, params: Mapping[str, Any]) -> str:
    """Return the reason in the language that is active now."""
    text = REASONS.get(code)
    if text is None:
        # Written by a newer version whose process still runs.
        return gettext("Unknown reason: %(code)s") % {"code": code}
    return str(text) % params
