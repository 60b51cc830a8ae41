"""Access keys: making one, finding whose a pair is, changing its secret."""

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from .models import AccessKey

if TYPE_CHECKING:
    from django.contrib.auth.models import User

KEY = re.compile(r"[0-9a-f]{24}\Z")
SEEN_EVERY = timedelta(minutes=1)


def create_access_key(name: str, by: "User | None" = None) -> tuple[AccessKey, str]:
    """Make a key pair; return its row and the secret, which nothing can show again.

    Raises django.core.exceptions.ValidationError for an empty, too long or used name.
    """
    secret = secrets.token_hex(24)
    row = AccessKey(
        name=name,
        key=secrets.token_hex(12),
        secret_hash=_hash(secret),
        created_by=by,
    )
    row.full_clean()
    row.save(force_insert=True)
    return row, secret


def rotate_secret(row: AccessKey, keep_old_for: timedelta) -> tuple[str, datetime]:
    """Give `row` a new secret; return it, which nothing can show again, and until when
    the old one works."""
    secret, until = secrets.token_hex(24), timezone.now() + keep_old_for
    with transaction.atomic():
        stored = AccessKey.objects.select_for_update().get(pk=row.pk)
        row.previous_hash, row.previous_valid_until = stored.secret_hash, until
        row.secret_hash = _hash(secret)
        row.save(update_fields=["secret_hash", "previous_hash", "previous_valid_until"])
    return secret, until


def holder(key: str, secret: str) -> AccessKey | None:
    """Return the enabled access key that `key` and `secret` open, or None.

    Writes down that it was used, at most once a minute.
    """
    row = None
    if KEY.match(key):
        row = AccessKey.objects.filter(key=key, enabled=True).first()
    # Compared also without a row: the time taken tells nothing about which keys exist.
    given, now = _hash(secret), timezone.now()
    right = hmac.compare_digest(
        given, row.secret_hash if row else hashlib.sha256().hexdigest()
    )
    if row and row.previous_valid_until and row.previous_valid_until > now:
        right |= hmac.compare_digest(given, row.previous_hash)
    if row is None or not right:
        return None
    if row.last_used_at is None or row.last_used_at < now - SEEN_EVERY:
        AccessKey.objects.filter(
            Q(last_used_at=None) | Q(last_used_at__lt=now - SEEN_EVERY), pk=row.pk
        ).update(last_used_at=now)
    return row


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
