"""Changing a connected account without losing what stands on it."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from .models import AccessToken, Channel

# Reverse names of what makes a channel used: what people uploaded and what was sent.
STANDS_ON_IT = ("openids", "upload_set", "send_set")


def is_used(channel: Channel) -> bool:
    """Return whether openIDs, uploads or sends belong to the channel.

    Its code and AppID are fixed then, and it can only be disabled. One query each.
    """
    return any(getattr(channel, name).exists() for name in STANDS_ON_IT)


def change(channel: Channel, values: Mapping[str, Any]) -> None:
    """Write `values` to the channel's row, and what follows from them.

    A new EncodingAESKey keeps the old one, which WeChat may still use for a while. New
    credentials make the old access token and WeChat's last refusal void. An AppSecret
    ends the use of the platform for this channel.
    """
    values = dict(values)
    if values.get("app_secret"):
        values["authorization"] = Channel.By.SECRET
    fields = set(values)
    new_key = values.get("encoding_aes_key", channel.encoding_aes_key)
    if new_key != channel.encoding_aes_key:
        channel.previous_aes_key = channel.encoding_aes_key
        fields.add("previous_aes_key")
    credentials = any(
        name in values and values[name] != getattr(channel, name)
        for name in ("appid", "app_secret", "authorization")
    )
    if credentials:
        channel.token_ok_at = channel.refused_at = channel.refused_errcode = None
        channel.refused_errmsg = ""
        fields |= {"token_ok_at", "refused_at", "refused_errcode", "refused_errmsg"}
    for name, value in values.items():
        setattr(channel, name, value)
    with transaction.atomic():
        channel.save(update_fields=fields)
        if credentials:
            AccessToken.objects.filter(channel=channel).delete()
