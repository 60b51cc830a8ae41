"""Templates below /api/."""

from django.urls import path, re_path

from channels_wechat.api.urls import CODE

from .views import TemplateList, TemplateRefresh

urlpatterns = [
    path("templates/", TemplateList.as_view()),
    re_path(rf"^channels/{CODE}/refresh-templates/\Z", TemplateRefresh.as_view()),
]
