"""What the API reads: JSON in UTF-8, and not more than the settings allow."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import BaseParser

from .errors import TooLarge

_HALF = re.compile(r"[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


class JSONParser(BaseParser):
    """JSON as RFC 8259 has it: no NaN, whatever charset the header claims.

    DRF's own reads without a limit, and answers 500 to a deep nesting.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the decoded body. Raises ParseError and TooLarge."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body: bytes = stream.read(-1 if limit is None else limit + 1)
        if limit is not None and len(body) > limit:
            raise TooLarge(
                _("The body may be at most %(limit)d bytes.") % {"limit": limit}
            )
        try:
            parsed = json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError) as problem:
            raise ParseError(
                _("The body is no JSON: %(problem)s") % {"problem": _brief(problem)}
            ) from None
        if _ESCAPED_HALF.search(body) and (names := sorted(set(_broken(parsed)))):
            raise ValidationError(
                dict.fromkeys(names, _("Half a surrogate pair is no character."))
            )
        return parsed


def _broken(value: Any, name: str = "") -> Iterator[str]:
    """Yield the names of texts that hold half a surrogate pair: such a text can neither
    be stored nor repeated in an answer."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if _HALF.search(key):
                yield "non_field_errors"
            else:
                yield from _broken(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _broken(inner, f"{name}.{index}" if name else str(index))
    elif isinstance(value, str) and _HALF.search(value):
        yield name or "non_field_errors"


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not allowed")


def _brief(problem: Exception) -> str:
    if isinstance(problem, RecursionError):
        return "nested too deeply"
    # A UnicodeDecodeError's text is short; it never repeats the body.
    return str(problem)[:200]
