"""Lists come in pages with a cursor: the same speed on page 1 and on page 100,000."""

import re

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor
from rest_framework.pagination import CursorPagination as RestCursorPagination
from rest_framework.request import Request

_ID = re.compile(r"[0-9]{1,18}\Z")


class CursorPagination(RestCursorPagination):
    """`{"next", "previous", "results"}`, newest first by the indexed primary key."""

    ordering = "-id"
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 1000
    invalid_cursor_message = _("That cursor is none of ours.")  # type: ignore[assignment]

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return the cursor of the call. Raises ValidationError unless it is ours."""
        try:
            cursor = super().decode_cursor(request)
        except NotFound:
            raise self._wrong() from None
        position = "" if cursor is None else str(cursor.position or "")
        if position and not _ID.match(position):
            raise self._wrong()
        return cursor

    def _wrong(self) -> ValidationError:
        return ValidationError({self.cursor_query_param: self.invalid_cursor_message})


class OldestFirst(CursorPagination):
    """The same in the order of creation, for lists that are read as a whole."""

    ordering = "id"
