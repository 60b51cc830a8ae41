"""Calls of /v1 about users."""

from django.urls import path

from . import v1

urlpatterns = [
    path("user/opt", v1.UserOptView.as_view(), name="v1-user-opt"),
    path("user/delete", v1.UserDeleteView.as_view(), name="v1-user-delete"),
]
