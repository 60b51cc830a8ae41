"""Strategies: the next channel for those whom the one before did not reach.

A request with a strategy is one send per step, all under one msgid. The first starts at
once; each later one is scheduled without a time, and starts `wait_s` after the step
before it has ended, for those of its people who were not reached. What was canceled is
not taken up by a later step.
"""

import contextlib
import logging
from datetime import timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone

from . import control
from .models import Delivery, Send
from .waking import wake_on_commit

log = logging.getLogger(__name__)
Status = Delivery.Status

ENDED: Final = {Send.Status.FINISHED, Send.Status.CANCELED}
NOT_REACHED: Final = {
    # WeChat took nothing. It may have taken an `unknown` one: no second message.
    "refused": (Status.REFUSED, Status.SKIPPED),
    # No receipt says that it was shown.
    "not_delivered": (
        Status.REFUSED,
        Status.SKIPPED,
        Status.UNDELIVERED,
        Status.UNKNOWN,
        Status.ACCEPTED,
    ),
}


def start_due() -> int:
    """Start every step whose turn has come; return how many."""
    started = 0
    for send in Send.objects.filter(
        status=Send.Status.SCHEDULED, scheduled_for=None, step__gt=0
    ).select_related("strategy", "part_of"):
        before = _step_before(send)
        if before and all(one.status == Send.Status.CANCELED for one in before):
            with contextlib.suppress(control.WrongState):  # somebody else was first
                control.cancel(send, by="strategy")
        elif before and _is_due(send, before):
            started += _start(send, before)
    return started


def _step_before(send: Send) -> list[Send]:
    """Return the sends of the nearest earlier step."""
    family = Send.objects.family(send)
    earlier = list(family.filter(step__lt=send.step).order_by("-step", "pk"))
    return [one for one in earlier if one.step == earlier[0].step]


def _is_due(send: Send, before: list[Send]) -> bool:
    if any(one.status not in ENDED for one in before):
        return False
    ends = [one.finished_at for one in before if one.finished_at]
    wait = timedelta(seconds=_rule(send).get("wait_s", 0))
    return max(ends) + wait <= timezone.now()


def _rule(send: Send) -> dict[str, Any]:
    assert send.strategy is not None
    steps = [s for s in send.strategy.steps if s["channel"] == send.channel.code]
    return dict(steps[0]) if steps else {}


def _start(send: Send, before: list[Send]) -> bool:
    statuses = NOT_REACHED.get(str(_rule(send).get("trigger")), NOT_REACHED["refused"])
    with transaction.atomic():
        won = Send.objects.filter(
            pk=send.pk, status=Send.Status.SCHEDULED, scheduled_for=None
        ).update(status=Send.Status.PREPARING, audience=Send.Audience.ROWS)
        if not won:
            return False
        _stage(send, before, [int(status) for status in statuses])
        wake_on_commit("prepare", send.pk)
    log.info("step send=%s step=%s", send.msgid, send.step)
    return True


def _stage(send: Send, before: list[Send], statuses: list[int]) -> None:
    """Stage the people of the steps before whom none of their messages reached."""
    pks = ", ".join(str(one.pk) for one in before)
    chosen = ", ".join(map(str, statuses))
    sql = f"""
        INSERT INTO sends_audiencerow (send_id, "row", userid, openid)
        SELECT DISTINCT %s, 0, d.userid, '' FROM sends_delivery d
        WHERE d.send_id IN ({pks}) AND d.userid <> '' AND d.status IN ({chosen})
            AND d.reason NOT IN ('blacklisted', 'not_listed', 'capped', 'duplicate')
            AND NOT EXISTS (SELECT 1 FROM sends_delivery r
                WHERE r.send_id IN ({pks}) AND r.userid = d.userid
                    AND r.status NOT IN ({chosen}))
    """
    parameters: list[Any] = [send.pk]
    if send.broadcast:
        # Whoever is bound to this channel alone was in no step yet.
        sql += f"""
            UNION SELECT %s, 0, p.userid, '' FROM users_openid o
            JOIN users_recipient p ON p.id = o.recipient_id
            WHERE o.channel_id = %s AND NOT EXISTS (SELECT 1 FROM sends_delivery r
                WHERE r.send_id IN ({pks}) AND r.userid = p.userid)
        """
        parameters += [send.pk, send.channel_id]
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
