"""Taking in what WeChat pushes: stored once, applied later (sends.receipts)."""

import ipaddress
import logging
from datetime import datetime, timedelta
from typing import Final

from django.db.models import F, Q

from channels_wechat.models import Channel
from channels_wechat.wechat import notices
from channels_wechat.wechat.callbacks import Push, PushRefused, receipt_of

from .models import CallbackRefusal, InboundEvent
from .receipts import APPLICABLE, CHOICES

log = logging.getLogger(__name__)

# How fresh `last_push_at` is; more often would write the channel's row at every push.
SEEN_EVERY: Final = timedelta(seconds=5)
# A flood of forged pushes costs one write a second.
REFUSAL_EVERY: Final = timedelta(seconds=1)
# What an operator may want to read of an event that has no columns of its own.
MAX_PAYLOAD: Final = 4000


def store(channel: Channel, push: Push, now: datetime) -> bool:
    """Keep a believed push; return whether there is something to apply.

    It is in the database when this returns. A repeat changes nothing.
    """
    events = _events(push)
    for event in events:
        applicable = event.status == InboundEvent.Status.WAITING
        event.channel = channel
        event.event, event.openid = push.event or push.msg_type, push.from_user
        event.payload = "" if applicable else push.text[:MAX_PAYLOAD]
        event.created_at, event.received_at, event.try_at = push.created_at, now, now
    InboundEvent.objects.bulk_create(events, ignore_conflicts=True)
    _seen(channel, push, now)
    return any(event.status == InboundEvent.Status.WAITING for event in events)


def _events(push: Push) -> list[InboundEvent]:
    """Return a row for what the push says: one, or one per template it names."""
    if items := notices.items_of(push):
        return [
            InboundEvent(
                key=item.key,
                template_id=item.template_id,
                msgid=item.msgid or None,
                outcome=item.outcome,
                status=_status(push.event == notices.SENT or item.outcome in CHOICES),
            )
            for item in items
        ]
    receipt = receipt_of(push)
    outcome, msgid = "", None
    if receipt:
        failed = receipt.status != "success"
        outcome = f"failed:{receipt.reason}" if failed else "success"
        msgid = receipt.msgid or None
    status = _status(push.event in APPLICABLE)
    return [
        InboundEvent(key=push.key, msgid=msgid, outcome=outcome[:100], status=status)
    ]


def _status(applicable: bool) -> InboundEvent.Status:
    return InboundEvent.Status.WAITING if applicable else InboundEvent.Status.IGNORED


def _seen(channel: Channel, push: Push, now: datetime) -> None:
    known = Q(pk=channel.pk)
    fresh = channel.last_push_at and channel.last_push_at > now - SEEN_EVERY
    if not fresh or not channel.callback_verified_at:
        Channel.objects.filter(known).update(
            last_push_at=now, callback_verified_at=channel.callback_verified_at or now
        )
    if not channel.original_id and len(push.to_user) <= 32:
        Channel.objects.filter(known, original_id="").update(original_id=push.to_user)
        log.info("learned the original id of channel=%s", channel.code)


def verified(channel: Channel, now: datetime) -> None:
    """Note that WeChat's administrator page checked our address."""
    Channel.objects.filter(pk=channel.pk).update(callback_verified_at=now)
    log.info("callback verified channel=%s", channel.code)


def refuse(channel: Channel, refusal: PushRefused, address: str, now: datetime) -> None:
    """Note why a push was refused, once a second at most: all that is learned of it."""
    same = CallbackRefusal.objects.filter(channel=channel, reason=refusal.reason)
    last_at = same.values_list("last_at", flat=True).first()
    if last_at and last_at > now - REFUSAL_EVERY:
        return
    log.warning("refused a push channel=%s reason=%s", channel.code, refusal.reason)
    detail = refusal.sentence[:300]
    if same.update(
        count=F("count") + 1, last_at=now, detail=detail, address=_ip(address)
    ):
        return
    first = CallbackRefusal(
        channel=channel,
        reason=refusal.reason,
        detail=detail,
        address=_ip(address),
        first_at=now,
        last_at=now,
    )
    CallbackRefusal.objects.bulk_create([first], ignore_conflicts=True)


def _ip(address: str) -> str | None:
    """Return the address if it is one: behind a socket there is none."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return None
