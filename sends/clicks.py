"""Clicks on links of business channels that track them.

The message carries `PUBLIC_URL/r/{token}` instead of its link; opening it notes the
first click, tells the business system (type 6), and leads on to the real link.
"""

import base64
import hashlib
import hmac
from typing import Final

from django.conf import settings
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.views.decorators.http import require_GET

from channels_wechat.wechat.messages import fill

from . import outbox
from .models import Click, Delivery, Send
from .querysets import Row

# No column of a file can be called so: it is not printable.
PLACEHOLDER: Final = "\x01click"
SIGNATURE_BYTES: Final = 9


def is_tracked(send: Send) -> bool:
    """Whether the send's link is to be replaced."""
    sender = send.business_channel
    return bool(send.url and sender is not None and sender.track_clicks)


def token(delivery_pk: int) -> str:
    """Return what stands for a delivery in its link: nobody can make up another's."""
    number = delivery_pk.to_bytes(8, "big")
    return base64.urlsafe_b64encode(number + _signature(number)).decode().rstrip("=")


def delivery_of(text: str) -> int | None:
    """Return the delivery whose token `text` is, None if it is nobody's."""
    try:
        raw = base64.b64decode(
            text + "=" * (-len(text) % 4), altchars=b"-_", validate=True
        )
    except ValueError:
        return None
    number, signature = raw[:8], raw[8:]
    if not hmac.compare_digest(signature, _signature(number)):
        return None
    return int.from_bytes(number, "big")


def _signature(number: bytes) -> bytes:
    key = hashlib.sha256(b"jums click" + settings.SECRET_KEY.encode()).digest()
    return hmac.digest(key, number, "sha256")[:SIGNATURE_BYTES]


@require_GET
def follow(request: HttpRequest, text: str) -> HttpResponse:
    """Note the click and lead on to the message's own link."""
    pk = delivery_of(text) if text.isascii() else None
    delivery = (
        Delivery.objects.select_related("send").filter(pk=pk).first() if pk else None
    )
    if delivery is None or not delivery.send.url:
        raise Http404
    with transaction.atomic():
        _click, is_first = Click.objects.get_or_create(
            delivery=delivery, defaults={"at": timezone.now()}
        )
        if is_first:
            outbox.clicked(delivery)
    row = Row.read(
        delivery.pk, delivery.userid, delivery.openid, delivery.variables, None
    )
    return HttpResponseRedirect(fill(delivery.send.url, row.names()))
