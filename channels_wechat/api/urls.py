"""Channels below /api/."""

from django.urls import re_path

from .checks import ChannelCheck
from .views import ChannelDetail, ChannelList

CODE = r"(?P<code>[A-Za-z0-9]{1,32})"

urlpatterns = [
    re_path(r"^channels/\Z", ChannelList.as_view()),
    re_path(rf"^channels/{CODE}/\Z", ChannelDetail.as_view()),
    re_path(rf"^channels/{CODE}/check/\Z", ChannelCheck.as_view()),
]
