"""Calls of /v1 about messages."""

from django.urls import path, re_path

from . import v1

urlpatterns = [
    path("sent", v1.SentView.as_view(), name="v1-sent"),
    path("broadcast", v1.BroadcastView.as_view(), name="v1-broadcast"),
    path("template/sent", v1.TemplateSentView.as_view(), name="v1-template-sent"),
    path(
        "template/broadcast",
        v1.TemplateBroadcastView.as_view(),
        name="v1-template-broadcast",
    ),
    # Colons come raw or as %3A: both arrive here decoded.
    re_path(
        r"^retract/(?P<msgid>[^/\x00]+)\Z", v1.RetractView.as_view(), name="v1-retract"
    ),
]
