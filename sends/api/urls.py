"""Sends and events below /api/."""

from django.urls import path, re_path

from channels_wechat.api.urls import CODE

from . import acceptances, callback_urls, quotas, strategies, timeline, views

# Opaque, with colons: raw or as %3A is the same here.
SEND = r"^sends/(?P<msgid>[A-Za-z0-9:._-]{1,64})"

urlpatterns = [
    path("sends/", views.SendList.as_view()),
    re_path(rf"{SEND}/\Z", views.SendDetail.as_view()),
    re_path(rf"{SEND}/deliveries/\Z", views.DeliveryList.as_view()),
    re_path(rf"{SEND}/pause/\Z", views.SendPause.as_view()),
    re_path(rf"{SEND}/resume/\Z", views.SendResume.as_view()),
    re_path(rf"{SEND}/cancel/\Z", views.SendCancel.as_view()),
    re_path(rf"^channels/{CODE}/quota/\Z", quotas.Quota.as_view()),
    path("events/", views.EventList.as_view()),
    path("acceptances/", acceptances.AcceptanceList.as_view()),
    re_path(
        r"^recipients/(?P<userid>[^/\x00]{1,64})/timeline/\Z",
        timeline.Timeline.as_view(),
    ),
    path("strategies/", strategies.StrategyList.as_view()),
    re_path(r"^strategies/(?P<pk>[0-9]{1,18})/\Z", strategies.StrategyDetail.as_view()),
    path("callback-urls/", callback_urls.CallbackURLList.as_view()),
    re_path(
        r"^callback-urls/(?P<id>[0-9]{1,18})/\Z",
        callback_urls.CallbackURLDetail.as_view(),
    ),
]
