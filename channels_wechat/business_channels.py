"""Business channels: making one, finding whose a pair is, changing its secret."""

import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from .models import BusinessChannel, Channel, Usage
from .refusals import CHANNEL_UNUSABLE, Refused

if TYPE_CHECKING:
    from django.contrib.auth.models import User

KEY = re.compile(r"[0-9a-f]{24}\Z")
SEEN_EVERY = timedelta(minutes=1)
# What a request needs to know of a channel.
NAMED = ("code", "enabled", "templates_refreshed_at")


def create_business_channel(
    name: str,
    channels: Iterable[Channel] = (),
    by: "User | None" = None,
    **fields: Any,
) -> tuple[BusinessChannel, str]:
    """Make a business channel; return its row and its MasterSecret.

    `fields` are further ones of the model, its protections for example. Raises
    django.core.exceptions.ValidationError for an empty, too long or used name.
    """
    secret = make_secret()
    row = BusinessChannel(
        name=name, key=make_secret(), master_secret=secret, created_by=by, **fields
    )
    row.full_clean()
    with transaction.atomic():
        row.save(force_insert=True)
        row.channels.set(channels)
        Usage.objects.create(business_channel=row)
    return row, secret


def make_secret() -> str:
    """Return 24 random hex characters, the shape of JUMS' keys and secrets."""
    return secrets.token_hex(12)


def rotate_secret(row: BusinessChannel, keep_old_for: timedelta) -> datetime:
    """Give `row` a new MasterSecret (it is on the row); return until when the old one
    works."""
    until = timezone.now() + keep_old_for
    with transaction.atomic():
        # Of two rotations at once each keeps the one before it.
        stored = BusinessChannel.objects.select_for_update().get(pk=row.pk)
        row.previous_secret, row.previous_valid_until = stored.master_secret, until
        row.master_secret = make_secret()
        row.save(
            update_fields=["master_secret", "previous_secret", "previous_valid_until"]
        )
    return until


def holder(key: str, secret: str) -> BusinessChannel | None:
    """Return the business channel that `key` and `secret` open, or None.

    A disabled one is returned, too: it gets an answer of its own. Writes down that it
    was used, at most once a minute.
    """
    row = BusinessChannel.objects.filter(key=key).first() if KEY.match(key) else None
    now = timezone.now()
    given = secret.encode(errors="surrogatepass")
    right = hmac.compare_digest(given, row.master_secret.encode() if row else b"")
    if row and row.previous_valid_until and row.previous_valid_until > now:
        right |= hmac.compare_digest(given, row.previous_secret.encode())
    if row is None or not right or not secret:
        return None
    if row.last_used_at is None or row.last_used_at < now - SEEN_EVERY:
        BusinessChannel.objects.filter(
            Q(last_used_at=None) | Q(last_used_at__lt=now - SEEN_EVERY), pk=row.pk
        ).update(last_used_at=now)
    return row


def usable_channels(row: BusinessChannel) -> list[Channel]:
    """Return the enabled channels the business channel may use, the oldest first.

    Raises Refused (1015008) when there is none.
    """
    channels = list(row.channels.filter(enabled=True).order_by("pk"))
    return usable(channels)


def enabled_channels(row: BusinessChannel) -> list[Channel]:
    """Return the same or an empty list, to name them by: of the many columns only
    `NAMED` are read, and each other one comes by a query if it is asked for."""
    return list(row.channels.filter(enabled=True).only(*NAMED).order_by("pk"))


def usable(channels: list[Channel]) -> list[Channel]:
    """Return the channels. Raises Refused (1015008) when there is none."""
    if not channels:
        raise Refused(
            CHANNEL_UNUSABLE,
            _("No enabled WeChat channel is authorised for this business channel."),
        )
    return channels
