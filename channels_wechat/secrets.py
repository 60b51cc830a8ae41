"""Secrets at rest: AES-256-GCM under a key ring, and the model field that uses it.

A stored value is `v1.<key id>.<base64 of nonce, tag, ciphertext>`. Each field has a key
of its own (HKDF) and its name as associated data, so that a value moved to another
column does not open. The first key of `settings.FIELD_KEYS` encrypts, all of them
decrypt; `manage.py rotate_keys` brings every stored value under the first one.
"""

import base64
import binascii
import functools
import secrets
from typing import Any

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF
from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

NONCE, TAG = 12, 16


class SecretUnreadable(ValueError):
    """A stored secret that no key of the ring opens. Says which key id is missing."""


# A push opens four secrets, and deriving costs more than decrypting.
@functools.lru_cache(maxsize=256)
def _subkey(key: bytes, name: str) -> bytes:
    return HKDF(key, 32, b"jums field", SHA256, context=name.encode())


def seal(value: str, name: str) -> str:
    """Return `value` encrypted for the field `name` under the ring's first key."""
    key_id, key = next(iter(settings.FIELD_KEYS.items()))
    nonce = secrets.token_bytes(NONCE)
    cipher = AES.new(_subkey(key, name), AES.MODE_GCM, nonce=nonce, mac_len=TAG)
    cipher.update(name.encode())
    text, tag = cipher.encrypt_and_digest(value.encode())
    return f"v1.{key_id}.{base64.b64encode(nonce + tag + text).decode()}"


def unseal(stored: str, name: str) -> str:
    """Return the secret sealed in `stored`. Raises SecretUnreadable."""
    version, _dot, rest = stored.partition(".")
    key_id, _dot, encoded = rest.partition(".")
    key = settings.FIELD_KEYS.get(key_id)
    if version != "v1" or key is None:
        raise SecretUnreadable(
            f"{name} was encrypted with the key {key_id!r}, which FIELD_KEYS lacks."
        )
    try:
        raw = base64.b64decode(encoded, validate=True)
        cipher = AES.new(
            _subkey(key, name), AES.MODE_GCM, nonce=raw[:NONCE], mac_len=TAG
        )
        cipher.update(name.encode())
        plain = cipher.decrypt_and_verify(raw[NONCE + TAG :], raw[NONCE : NONCE + TAG])
    except (binascii.Error, ValueError):
        raise SecretUnreadable(
            f"{name} does not open with the key {key_id!r}: it was changed, or the key "
            "is another one of the same name."
        ) from None
    return plain.decode()


def is_stale(stored: str) -> bool:
    """Whether `stored` is under another key than the ring's first."""
    return stored.split(".", 2)[1] != next(iter(settings.FIELD_KEYS))


class SecretField(models.TextField):
    """Text that is encrypted in the database and plain in Python. "" stays ""."""

    description = _("Encrypted text")

    @property
    def sealed_name(self) -> str:
        return f"{self.model._meta.label_lower}.{self.name}"

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return unseal(value, self.sealed_name) if value else value

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return seal(value, self.sealed_name) if value else value

    def get_lookup(self, lookup_name: str) -> Any:
        # Each encryption differs, so no comparison can ever match.
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None
