"""The ticket that pages of a channel are signed with."""

from django.db import models

from .models import Channel, LeasedToken


class JsapiTicket(LeasedToken):
    """The one JS-SDK ticket of a channel: encrypted, and renewed by one at a time."""

    channel = models.OneToOneField(Channel, models.CASCADE, related_name="jsapi_ticket")

    def __str__(self) -> str:
        return f"jsapi ticket of channel {self.channel_id}"
