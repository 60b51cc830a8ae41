"""Uploads and recipients below /api/."""

from django.urls import re_path

from .audiences import SegmentDetail, SegmentList, UserListDetail, UserListList
from .bindings import BindingExchange, BindingLinks
from .views import (
    RecipientDetail,
    RecipientList,
    UploadDetail,
    UploadErrors,
    UploadList,
    UploadReport,
)

UPLOAD = r"^uploads/(?P<pk>[0-9]{1,18})/"

NUMBER = r"(?P<pk>[0-9]{1,18})"

urlpatterns = [
    re_path(r"^bindings/exchange/\Z", BindingExchange.as_view()),
    re_path(r"^bindings/links/\Z", BindingLinks.as_view()),
    re_path(r"^lists/\Z", UserListList.as_view()),
    re_path(rf"^lists/{NUMBER}/\Z", UserListDetail.as_view()),
    re_path(r"^segments/\Z", SegmentList.as_view()),
    re_path(rf"^segments/{NUMBER}/\Z", SegmentDetail.as_view()),
    re_path(r"^uploads/\Z", UploadList.as_view()),
    re_path(rf"{UPLOAD}\Z", UploadDetail.as_view()),
    re_path(rf"{UPLOAD}errors/\Z", UploadErrors.as_view()),
    re_path(rf"{UPLOAD}errors\.xlsx\Z", UploadReport.as_view()),
    re_path(r"^recipients/\Z", RecipientList.as_view()),
    re_path(r"^recipients/(?P<userid>[^/\x00]{1,64})/\Z", RecipientDetail.as_view()),
]
