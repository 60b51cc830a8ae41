"""Channels below /api/."""

from django.urls import re_path

from .business import (
    BusinessChannelDetail,
    BusinessChannelList,
    BusinessChannelRotation,
)
from .checks import ChannelCheck
from .platform import PlatformLinks, PlatformView
from .views import ChannelDetail, ChannelList

BUSINESS = r"^business-channels/(?P<channel_key>[0-9a-f]{24})/"
CODE = r"(?P<code>[A-Za-z0-9]{1,32})"

urlpatterns = [
    re_path(r"^channels/\Z", ChannelList.as_view()),
    re_path(rf"^channels/{CODE}/\Z", ChannelDetail.as_view()),
    re_path(rf"^channels/{CODE}/check/\Z", ChannelCheck.as_view()),
    re_path(r"^platform/\Z", PlatformView.as_view()),
    re_path(r"^platform/links/\Z", PlatformLinks.as_view()),
    re_path(r"^business-channels/\Z", BusinessChannelList.as_view()),
    re_path(rf"{BUSINESS}\Z", BusinessChannelDetail.as_view()),
    re_path(rf"{BUSINESS}rotate-secret/\Z", BusinessChannelRotation.as_view()),
]
