"""What views raise beside the REST framework's own errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException


class Conflict(APIException):
    """409: the thing is not in a state for it. Give a sentence and a stable code."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class Unprocessable(APIException):
    """422: readable, but not what it must be. Give a sentence and a stable code."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "unprocessable"


class TooLarge(APIException):
    """413: more than we are willing to read."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


TAKEN = _("Another call took this name just now.")


@contextmanager
def unique(sentence: str | Promise = TAKEN) -> Iterator[None]:
    """Answer 409 `taken` when another call stored the same unique value meanwhile."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        raise Conflict(str(sentence), "taken") from None


@contextmanager
def unused(sentence: str | Promise) -> Iterator[None]:
    """Answer 409 `in_use` when something that stands on it forbids to delete it."""
    try:
        with transaction.atomic():
            yield
    except ProtectedError:
        raise Conflict(str(sentence), "in_use") from None
