"""Who may call the resource API: access keys, and people of the console."""

import base64
import binascii
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AnonymousUser, User
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request

from channels_wechat.access_keys import holder
from channels_wechat.models import AccessKey

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports this module


class KeyHolder(AnonymousUser):
    """A business system that showed an access key: authenticated, but no console user.

    `request.auth` is the AccessKey.
    """

    def __init__(self, access_key: AccessKey) -> None:
        super().__init__()
        self.access_key = access_key

    def __str__(self) -> str:
        return self.access_key.name

    @property
    def is_authenticated(self) -> Any:
        return True

    @property
    def is_anonymous(self) -> Any:
        return False


class AccessKeyAuthentication(BaseAuthentication):
    """HTTP Basic with `AccessKey:Secret`."""

    def authenticate(self, request: Request) -> tuple[KeyHolder, AccessKey] | None:
        scheme, _space, encoded = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"basic":
            return None
        try:
            pair = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise AuthenticationFailed(
                _("Authorization must be Basic base64(AccessKey:Secret).")
            ) from None
        key, _colon, secret = pair.partition(":")
        access_key = holder(key, secret)
        if access_key is None:
            raise AuthenticationFailed(_("Unknown access key or wrong secret."))
        return KeyHolder(access_key), access_key

    def authenticate_header(self, request: Request) -> str:
        return 'Basic realm="JUMS", charset="UTF-8"'


class ResourcePermission(DjangoModelPermissions):
    """Access keys may do everything; people of the console what their roles allow.

    By default the model permission that fits the method (GET: view). A view whose verb
    has a permission of its own names it: `permission_required = "sends.control_send"`.
    """

    perms_map = {
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
        "OPTIONS": ["%(app_label)s.view_%(model_name)s"],
        "POST": ["%(app_label)s.add_%(model_name)s"],
        "PUT": ["%(app_label)s.change_%(model_name)s"],
        "PATCH": ["%(app_label)s.change_%(model_name)s"],
        "DELETE": ["%(app_label)s.delete_%(model_name)s"],
    }

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if isinstance(request.auth, AccessKey):
            return True
        if not isinstance(request.user, User) or not request.user.is_staff:
            return False
        named = getattr(view, "permission_required", None)
        if named is not None:
            return request.user.has_perm(named)
        return super().has_permission(request, view)


def console_user(request: Request) -> User | None:
    """Return the console user behind a call, or None for an access key."""
    return request.user if isinstance(request.user, User) else None


def caller(request: Request) -> str:
    """Return who calls, for the records: a user name, or the access key's name."""
    return str(request.user)
