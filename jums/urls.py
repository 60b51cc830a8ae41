"""Addresses, as the contract names them."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from . import api, health

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("console/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("api/", include("channels_wechat.api.urls")),
    path("api/", include("users.api.urls")),
    path("api/", include("templates_mgmt.api.urls")),
    path("api/", include("sends.api.urls")),
    path("api/schema/", api.SchemaView.as_view(), name="api-schema"),
    path("api/docs/", api.DocsView.as_view(), name="api-docs"),
    re_path(r"^api/", api.NoSuchAddress.as_view()),
]
handler500 = "jums.api.server_error"
