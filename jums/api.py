"""The resource API's frame: its description, its page, and its own 404."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views import defaults
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

import channels_wechat.api.schema  # noqa: F401  # registers the authentication's description


class SchemaView(SpectacularAPIView):
    """OpenAPI 3, as JSON unless YAML is asked for. Open to all, like the source."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    renderer_classes = [
        OpenApiJsonRenderer2,
        OpenApiJsonRenderer,
        OpenApiYamlRenderer,
        OpenApiYamlRenderer2,
    ]

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        # The visitor's language is chosen as everywhere; `lang` would be a second way.
        return self._get_schema_response(request)  # type: ignore[no-any-return, no-untyped-call]


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own static files; its start script is an answer of its own,
    because the content security policy allows no inline script."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    url_name = "api-schema"


class NoSuchAddress(APIView):
    """Whatever else is below /api/: 404 in the API's own shape."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(exclude=True)
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound(_("No such address. Each one ends with a slash."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer our own fault: JSON to programs, Django's page to people."""
    if not request.path.startswith(("/api/", "/v1/")):
        return defaults.server_error(request)
    sentence = _("Our own fault; it is logged.")
    body: dict[str, object] = {"code": "error", "detail": sentence, "fields": {}}
    if request.path.startswith("/v1/"):
        body = {"code": 5000, "message": sentence}
    return JsonResponse(body, status=500, json_dumps_params={"ensure_ascii": False})
