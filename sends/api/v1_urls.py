"""Calls of /v1 about messages."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
