"""`Idempotency-Key`: the same call twice is done once and answered twice alike."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from channels_wechat.models import BusinessChannel, IdempotencyKey
from channels_wechat.refusals import ILLEGAL, Refused

from .v1 import RefusedWith


def once(
    sender: BusinessChannel, key: str, body: object, do: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return what `do` returns, or what it returned when `key` was first used.

    The key is stored in the transaction that `do` works in: either both are there or
    neither. A failed call stores nothing and may be repeated. Raises RefusedWith (409)
    when the key was used with another body.
    """
    if not key:
        return do()
    if len(key) > 255:
        raise Refused(ILLEGAL, _("Idempotency-Key: 255 characters at most."))
    body_hash = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    mine = IdempotencyKey.objects.filter(business_channel=sender, key=key)
    if used := mine.first():
        return _same(used, body_hash)
    try:
        with transaction.atomic():
            answer = do()
            IdempotencyKey.objects.create(
                business_channel=sender, key=key, body_hash=body_hash, answer=answer
            )
    except (IntegrityError, Refused):
        # Two at once: the other one was first. Ours was taken back whole, or found that
        # the other one had used up the day's last broadcast.
        used = mine.first()
        if used is None:
            raise
        return _same(used, body_hash)
    return answer


def _same(used: IdempotencyKey, body_hash: str) -> dict[str, Any]:
    if used.body_hash != body_hash:
        raise RefusedWith(
            409, ILLEGAL, _("Idempotency-Key: was used with another request.")
        )
    return dict(used.answer)
