"""What the API reads: JSON in UTF-8, and not more than the settings allow."""

import json
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from .errors import TooLarge


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
            return json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError) as problem:
            raise ParseError(
                _("The body is no JSON: %(problem)s") % {"problem": _brief(problem)}
            ) from None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not allowed")


def _brief(problem: Exception) -> str:
    if isinstance(problem, RecursionError):
        return "nested too deeply"
    # A UnicodeDecodeError's text is short; it never repeats the body.
    return str(problem)[:200]
