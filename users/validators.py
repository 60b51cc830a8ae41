"""What people may type for a recipient; uploads are held to the same rules."""

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from . import addresses, rows


def userid(value: str) -> None:
    if not rows.is_userid(value):
        raise ValidationError(
            _("At most 64 letters, digits and _ - @ ! # $ & * + = . |"), code="userid"
        )


def openid(value: str) -> None:
    if not rows.is_openid(value):
        raise ValidationError(
            _("An openID has 28 characters and begins with o."), code="openid"
        )


def tag(value: str) -> None:
    if not rows.is_tag(value):
        raise ValidationError(
            _("At most 40 bytes of letters, digits and _ - @ ! # $ & * + = . |"),
            code="tag",
        )


def phone(value: str) -> None:
    if rows.plain_phone(value) is None:
        raise ValidationError(_("5 to 20 digits, with a + in front or not."))


def email(value: str) -> None:
    if not rows.is_email(value):
        raise ValidationError(_("This is no email address."), code="email")


def login_page(value: str) -> None:
    if addresses.parse(value) is None:
        raise ValidationError(
            _("A plain address, please, like https://www.example.com/login"),
            code="address",
        )


def verification_file(value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}\.txt", value):
        raise ValidationError(
            _("The file is called like MP_verify_ and 16 letters, .txt."),
            code="file_name",
        )
