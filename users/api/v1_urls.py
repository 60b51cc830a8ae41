"""Calls of /v1 about users."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
