"""Templates below /api/."""

from django.urls import path, re_path

from channels_wechat.api.urls import CODE

from .general import GeneralTemplateDetail, GeneralTemplateList
from .library import CategoryList, KeywordList, TemplateDetail, TitleList
from .views import TemplateList, TemplateRefresh

urlpatterns = [
    path("general-templates/", GeneralTemplateList.as_view()),
    re_path(
        r"^general-templates/(?P<pk>[0-9]{1,18})/\Z", GeneralTemplateDetail.as_view()
    ),
    path("public-templates/categories/", CategoryList.as_view()),
    path("public-templates/titles/", TitleList.as_view()),
    path("public-templates/keywords/", KeywordList.as_view()),
    path("templates/", TemplateList.as_view()),
    re_path(
        r"^templates/(?P<channel>[A-Za-z0-9_-]{1,32})/"
        r"(?P<template_id>[A-Za-z0-9_-]{1,64})/\Z",
        TemplateDetail.as_view(),
    ),
    re_path(rf"^channels/{CODE}/refresh-templates/\Z", TemplateRefresh.as_view()),
]
