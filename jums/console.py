"""The console's look: django-unfold's settings."""

from typing import Any

UNFOLD: dict[str, Any] = {"SITE_TITLE": "JUMS", "SITE_HEADER": "JUMS"}
