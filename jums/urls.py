"""Addresses, as the contract names them."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from channels_wechat import platform_views
from channels_wechat.api import v1, v1_material
from sends import believing, clicks
from sends.api.callbacks import callback
from sends.api.platform_callbacks import message
from templates_mgmt import public_pages
from users import bind_pages

from . import api, dashboard, guide, health

CODE = r"(?P<code>[A-Za-z0-9]{1,32})"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("i18n/", include("django.conf.urls.i18n")),
    path(
        "console/dashboard/live/",
        admin.site.admin_view(dashboard.live),
        name="dashboard-live",
    ),
    path(
        "console/dashboard/failures/",
        admin.site.admin_view(dashboard.failures),
        name="dashboard-failures",
    ),
    path("console/guide/", admin.site.admin_view(guide.page), name="guide"),
    path("console/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    re_path(believing.ACCOUNT_PATH, callback),
    path("wechattpp/event", platform_views.event),
    re_path(believing.PLATFORM_PATH, message),
    path("wechattpp/authorized/<str:state>", platform_views.come_back),
    path("wechattpp/link/<str:state>", platform_views.link_page, name="platform-link"),
    path(
        "wechattpp/link/<str:state>/live",
        platform_views.link_live,
        name="platform-link-live",
    ),
    path("r/<str:text>", clicks.follow, name="click"),
    re_path(
        rf"^s/{CODE}/(?P<name>[a-z0-9-]{{1,40}})\Z",
        public_pages.page,
        name="subscribe-page",
    ),
    re_path(rf"^bind/{CODE}/?\Z", bind_pages.start, name="bind"),
    re_path(
        r"^(?P<name>[A-Za-z0-9_-]{1,60}\.txt)\Z",
        bind_pages.verification_file,
        name="verification-file",
    ),
    re_path(rf"^bind/{CODE}/back\Z", bind_pages.back, name="bind-back"),
    path("v1/token", v1.TokenView.as_view(), name="v1-token"),
    path("v1/material", v1_material.MaterialView.as_view(), name="v1-material"),
    path("v1/", include("users.api.v1_urls")),
    path("v1/", include("sends.api.v1_urls")),
    re_path(r"^v1/", v1.NoSuchCall.as_view()),
    path("api/", include("channels_wechat.api.urls")),
    path("api/", include("users.api.urls")),
    path("api/", include("templates_mgmt.api.urls")),
    path("api/", include("sends.api.urls")),
    path("api/schema/", api.SchemaView.as_view(), name="api-schema"),
    path("api/docs/", api.DocsView.as_view(), name="api-docs"),
    re_path(r"^api/", api.NoSuchAddress.as_view()),
]
handler500 = "jums.api.server_error"
