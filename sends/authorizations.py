"""What an account's authorisation means for its sends: withdrawn, they pause at once;
given again, those that had paused for it go on."""

import logging
from typing import Any

from django.dispatch import receiver

from channels_wechat.models import Channel
from channels_wechat.signals import authorization_ended, authorized
from channels_wechat.wechat.errors import AUTHORISE_AGAIN

from . import control
from .models import Send

log = logging.getLogger(__name__)


@receiver(authorization_ended)
def pause(channel: Channel, **_: Any) -> None:
    """Pause what is running, with the reason."""
    channel.refresh_from_db(fields=["refused_errcode", "refused_errmsg"])
    control.pause_for(
        channel,
        Send.PauseCode.CHANNEL,
        channel.refused_errcode,
        channel.refused_errmsg,
    )


@receiver(authorized)
def resume(channel: Channel, **_: Any) -> None:
    """Go on with sends that only the missing authorisation had stopped."""
    for send in Send.objects.filter(
        channel=channel,
        pause_errcode__in=AUTHORISE_AGAIN,
        status=Send.Status.PAUSED,
        pause_code=Send.PauseCode.CHANNEL,
    ):
        try:
            control.resume(send, by="")
        except control.WrongState:
            continue  # an operator was quicker
