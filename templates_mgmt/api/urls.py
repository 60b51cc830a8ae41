"""Templates below /api/."""

from django.urls import path, re_path

from channels_wechat.api.urls import CODE

from .general import GeneralTemplateDetail, GeneralTemplateList
from .views import TemplateList, TemplateRefresh

urlpatterns = [
    path("general-templates/", GeneralTemplateList.as_view()),
    re_path(
        r"^general-templates/(?P<pk>[0-9]{1,18})/\Z", GeneralTemplateDetail.as_view()
    ),
    path("templates/", TemplateList.as_view()),
    re_path(rf"^channels/{CODE}/refresh-templates/\Z", TemplateRefresh.as_view()),
]
