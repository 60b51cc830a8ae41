"""The demo's login and access key, kept so that a second demo can use them again."""

import json
import os
import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model

from channels_wechat.access_keys import create_access_key
from channels_wechat.models import AccessKey


class Kept:
    """What a second demo needs of the first: login and access key."""

    def __init__(self, access_key: str, secret: str, user: str, password: str) -> None:
        self.access_key, self.secret = access_key, secret
        self.user, self.password = user, password

    @classmethod
    def load(cls) -> "Kept":
        path = Path(settings.DATA_DIR) / "demo.json"
        if path.is_file():
            kept = cls(**json.loads(path.read_text("utf-8")))
            users = get_user_model().objects
            user = users.filter(username=kept.user).first()
            known = AccessKey.objects.filter(key=kept.access_key).exists()
            if known and user is not None and user.check_password(kept.password):
                return kept
        kept = cls(*_new_access_key(), *_new_login())
        with open(
            os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w"
        ) as f:
            json.dump(vars(kept), f)
        return kept


def _new_access_key() -> tuple[str, str]:
    row, secret = create_access_key(f"demo {secrets.token_hex(3)}")
    return row.key, secret


def _new_login() -> tuple[str, str]:
    password = secrets.token_urlsafe(9)
    user, _ = get_user_model().objects.get_or_create(
        username="demo", defaults={"is_staff": True, "is_superuser": True}
    )
    user.set_password(password)
    user.save()
    return user.get_username(), password
