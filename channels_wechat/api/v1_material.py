"""POST /v1/material: a file kept for a while, to be named in message bodies."""

import re
import secrets
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from channels_wechat.models import Material
from channels_wechat.refusals import ILLEGAL, Refused

from .schema import v1_call
from .v1 import JumsView, done

BYTES_AT_MOST: Final = 20 * 1024 * 1024
HOURS, HOURS_AT_MOST = 24, 168


class MaterialView(JumsView):
    parser_classes: Any = (MultiPartParser,)

    @v1_call(
        "Upload material",
        "A file of at most 20 MB, kept for `time_to_live` hours.",
        {"url": "https://jums.example.com/material/a6ea8c971d872b817a8a7136560be5f8"},
        body={
            "multipart/form-data": {
                "type": "object",
                "properties": {
                    "type": {"type": "string", "enum": ["attachment"]},
                    "file": {"type": "string", "format": "binary"},
                    "time_to_live": {"type": "integer", "minimum": 1, "maximum": 168},
                },
                "required": ["type", "file"],
            }
        },
        statuses=[415],
    )
    def post(self, request: Request) -> Response:
        fields = dict(request.data)
        if fields.get("type") != ["attachment"]:
            raise Refused(ILLEGAL, _("type: only attachment is there."))
        files = request.FILES.getlist("file")
        if len(files) != 1:
            raise Refused(ILLEGAL, _("file: exactly one file."))
        (file,) = files
        if not isinstance(file, UploadedFile) or (file.size or 0) > BYTES_AT_MOST:
            raise Refused(ILLEGAL, _("file: 20 MB at most."))
        material = Material.objects.create(
            business_channel=self.business_channel,
            token=secrets.token_hex(16),
            file=file,
            name=(file.name or "")[:200],
            expires_at=timezone.now() + timedelta(hours=_hours(fields)),
        )
        return done(url=f"{settings.PUBLIC_URL}/material/{material.token}")


def _hours(fields: dict[str, Any]) -> int:
    given = str(fields.get("time_to_live", [""])[-1] or HOURS)
    if not re.fullmatch("[0-9]{1,3}", given) or not 1 <= int(given) <= HOURS_AT_MOST:
        raise Refused(
            ILLEGAL,
            _("time_to_live: 1 to %(limit)d hours.") % {"limit": HOURS_AT_MOST},
        )
    return int(given)
