"""The fixtures `api` and `person`: callers of the resource API."""

import base64

import pytest
from django.contrib.auth.models import Permission
from rest_framework.test import APIClient

from channels_wechat.access_keys import create_access_key
from tests.factories import UserFactory


def basic(key: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()


@pytest.fixture
def api(db) -> APIClient:
    """A business system with an access key (`api.access_key`), seen a moment ago."""
    access_key, secret = create_access_key("a business system")
    client = APIClient(raise_request_exception=True)
    client.credentials(HTTP_AUTHORIZATION=basic(access_key.key, secret))
    client.access_key, client.secret = access_key, secret
    client.get("/api/channels/")
    return client


@pytest.fixture
def person(db):
    """`person("sends.view_send")` is logged in to the console with those permissions,
    and its client insists on CSRF."""

    def log_in(*permissions: str, **user) -> APIClient:
        someone = UserFactory(**user)
        for permission in permissions:
            app, codename = permission.split(".")
            someone.user_permissions.add(
                Permission.objects.get(content_type__app_label=app, codename=codename)
            )
        client = APIClient(enforce_csrf_checks=True)
        client.force_login(someone)
        client.user = someone
        return client

    return log_in
