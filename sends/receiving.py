"""Taking in what WeChat pushes: stored once, applied later (sends.receipts)."""

import ipaddress
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import F, Q

from channels_wechat.models import Channel
from channels_wechat.wechat import notices
from channels_wechat.wechat.callbacks import Push, PushRefused, receipt_of

from .believing import Believed
from .models import CallbackRefusal, InboundEvent
from .receipt_queries import Arrival, keep
from .receipts import APPLICABLE, CHOICES

log = logging.getLogger(__name__)
Status = InboundEvent.Status

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
    return bool(store_many([Believed(channel, push)], now))


def store_many(believed: Sequence[Believed], now: datetime) -> set[int]:
    """Keep believed pushes in one INSERT; return the channels that have something to
    apply. All of them are in the database when this returns, or none is."""
    rows: list[Arrival] = []
    to_apply: set[int] = set()
    seen: dict[int, Believed] = {}
    for one in believed:
        channel, push = one
        arrivals = _arrivals(channel.pk, push)
        rows += arrivals
        seen.setdefault(channel.pk, one)
        if any(arrival.status == Status.WAITING for arrival in arrivals):
            to_apply.add(channel.pk)
    # In one order everywhere: two that store the same repeats must not wait for each
    # other.
    rows.sort(key=lambda row: (row.channel_id, row.key))
    keep(rows, now)
    for one in seen.values():
        _seen(one.channel, one.push, now)
    return to_apply


def _arrivals(channel_pk: int, push: Push) -> list[Arrival]:
    """Return a row for what the push says: one, or one per template it names."""
    if items := notices.items_of(push):
        return [
            _arrival(
                channel_pk,
                push,
                push.event == notices.SENT or item.outcome in CHOICES,
                key=item.key,
                template_id=item.template_id,
                msgid=item.msgid or None,
                outcome=item.outcome,
            )
            for item in items
        ]
    receipt = receipt_of(push)
    outcome, msgid = "", None
    if receipt:
        failed = receipt.status != "success"
        outcome = f"failed:{receipt.reason}"[:100] if failed else "success"
        msgid = receipt.msgid or None
    applicable = push.event in APPLICABLE
    return [_arrival(channel_pk, push, applicable, msgid=msgid, outcome=outcome)]


def _arrival(
    channel_pk: int,
    push: Push,
    applicable: bool,
    *,
    key: str = "",
    template_id: str = "",
    msgid: int | None,
    outcome: str,
) -> Arrival:
    return Arrival(
        channel_id=channel_pk,
        key=key or push.key,
        event=push.event or push.msg_type,
        openid=push.from_user,
        template_id=template_id,
        msgid=msgid,
        outcome=outcome,
        payload="" if applicable else push.text[:MAX_PAYLOAD],
        created_at=push.created_at,
        status=Status.WAITING if applicable else Status.IGNORED,
    )


def _seen(channel: Channel, push: Push, now: datetime) -> None:
    known = Q(pk=channel.pk)
    fresh = channel.last_push_at and channel.last_push_at > now - SEEN_EVERY
    if not fresh or not channel.callback_verified_at:
        channel.last_push_at = now
        channel.callback_verified_at = channel.callback_verified_at or now
        Channel.objects.filter(known).update(
            last_push_at=now, callback_verified_at=channel.callback_verified_at
        )
    if not channel.original_id and len(push.to_user) <= 32:
        Channel.objects.filter(known, original_id="").update(original_id=push.to_user)
        channel.original_id = push.to_user
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
