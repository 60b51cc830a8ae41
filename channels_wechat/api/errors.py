"""What views raise beside the REST framework's own errors."""

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
