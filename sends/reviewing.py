"""Reviewing requests of business systems: decided whole, with all their parts, by
somebody who is not their owner."""

import logging
from collections.abc import Sequence

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from . import outbox
from .control import WrongState
from .models import GivenIDs, Send
from .waking import wake_on_commit

log = logging.getLogger(__name__)
Status = Send.Status


def approve(send: Send, by: User) -> None:
    """Let the request that `send` is of go. Raises WrongState, PermissionDenied for its
    owner."""
    with transaction.atomic():
        waiting = _take(send, by)
        first = [one for one in waiting if not one.step]
        _decide(first, by, status=Status.PREPARING)
        # A later step of a strategy waits for the one before it: see sends.stepping.
        _decide([one for one in waiting if one.step], by, status=Status.SCHEDULED)
        for one in first:
            wake_on_commit("prepare", one.pk)
    log.info("approved send=%s by=%s", send.msgid, by.get_username())


def reject(send: Send, by: User, note: str) -> None:
    """Refuse the request that `send` is of: nothing of it is sent, and its business
    system is told why. Raises as `approve` does."""
    note, now = note[:300], timezone.now()
    with transaction.atomic():
        waiting = _take(send, by)
        _decide(waiting, by, status=Status.REJECTED, review_note=note, finished_at=now)
        for one in waiting:
            outbox.never_prepared(one, 1, outbox.REJECTED, note)
        GivenIDs.objects.filter(send__in=waiting).delete()
    log.info("rejected send=%s by=%s", send.msgid, by.get_username())


def is_own(send: Send, user: User) -> bool:
    """Whether the send is `user`'s: nobody reviews their own."""
    return user.get_username() == send.owner or user.pk == send.created_by_id


def _take(send: Send, by: User) -> list[Send]:
    """Lock the request and return those of its sends that wait for a review."""
    family = list(Send.objects.family(send).select_for_update().order_by("pk"))
    if any(is_own(one, by) for one in family):
        raise PermissionDenied(_("Nobody reviews their own sends."))
    waiting = [one for one in family if one.status == Status.IN_REVIEW]
    if send.pk not in {one.pk for one in waiting}:
        (now,) = (one for one in family if one.pk == send.pk)
        raise WrongState(send.msgid, now.status)
    return waiting


def _decide(sends: Sequence[Send], by: User, **fields: object) -> None:
    Send.objects.filter(pk__in=[one.pk for one in sends]).update(
        reviewed_by=by.get_username(), reviewed_at=timezone.now(), **fields
    )
