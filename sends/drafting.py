"""What an operator changes about a send before it is submitted, and new drafts made of
old sends.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator

from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.db import models, transaction
from django.utils.translation import gettext as _

from channels_wechat.wechat import errors

from . import audience, control
from .models import AudienceRow, Delivery, Send

# Refused once, but not for good: "too many messages to this recipient".
ERRCODE_TOO_MANY = 43117
PASSING = (errors.WeChatUnavailable, errors.QuotaUsedUp, errors.TokenRefused)


class Again(models.TextChoices):
    """Which deliveries of a send another send may try again."""

    PASSING = "passing", "refused for a reason that passes"
    SYSTEM_FAILED = "system_failed", "taken by WeChat, but not delivered"
    CANCELED = "canceled", "never sent, because the send was canceled"
    UNKNOWN = "unknown", "sent without an answer"


def change(send: Send, **fields: object) -> None:
    """Write these fields of a draft. Raises WrongState once it is no draft any more."""
    won = Send.objects.filter(pk=send.pk, status=Send.Status.DRAFT).update(**fields)
    if not won:
        raise control.WrongState(send.msgid, Send.objects.get(pk=send.pk).status)
    for name, value in fields.items():
        setattr(send, name, value)


def delete(send: Send) -> None:
    """Delete a draft with its list. Raises WrongState when it is none."""
    path = (send.reading or {}).get("path")
    with transaction.atomic():
        change(send, reading=None)  # ends whoever is reading its list
        AudienceRow.objects.filter(send=send).delete()
        Send.objects.filter(pk=send.pk).delete()
    if path:
        default_storage.delete(path)


def fingerprint(send: Send) -> str:
    """Return a short text that changes with whatever a check of the values reads."""
    template = send.template
    parts = [
        send.channel_id,
        template and [template.pk, template.fields, str(template.removed_at)],
        send.data,
        [send.url, send.miniprogram_appid, send.miniprogram_path],
        [send.audience, send.tags, send.columns, send.skip_unreachable],
        (send.reading or {}).get("id"),
    ]
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def passing_errcodes() -> list[int]:
    """Return WeChat's numbers for refusals that may be over by now."""
    passing = [n for n, code in errors.CODES.items() if issubclass(code.error, PASSING)]
    return sorted({*passing, ERRCODE_TOO_MANY})


def again(send: Send, what: Iterable[str]) -> models.QuerySet[Delivery]:
    """Return the deliveries of `send` that fall under one of `what` (of Again)."""
    status = Delivery.Status
    rules = {
        Again.PASSING: models.Q(status=status.REFUSED, errcode__in=passing_errcodes()),
        # WeChat writes it with and without a space.
        Again.SYSTEM_FAILED: models.Q(
            status=status.UNDELIVERED, error__iregex=r"system\s*failed"
        ),
        Again.CANCELED: models.Q(status=status.CANCELED),
        Again.UNKNOWN: models.Q(status=status.UNKNOWN),
    }
    chosen = models.Q()
    for kind in what:
        chosen |= rules[Again(kind)]
    found = Delivery.objects.filter(send=send)
    return found.filter(chosen) if chosen else found.none()


def send_again(send: Send, what: Iterable[str], user: User | None) -> Send:
    """Return a new draft for those people of `send` that fall under `what`.

    Values, link and the columns of its list are taken over; everything can be changed.
    """
    deliveries = again(send, what).order_by("pk")
    columns = list(send.columns)

    def rows() -> Iterator[list[str]]:
        wanted = deliveries.values_list("userid", "openid", "variables")
        for userid, openid, variables in wanted.iterator(chunk_size=2000):
            known = variables or {}
            yield [userid, openid, *(known.get(name, "") for name in columns)]

    title = _("%(title)s (again)") % {"title": send.title or send.msgid}
    with transaction.atomic():
        draft = control.new_draft(
            user,
            title=title[:80],
            channel=send.channel,
            template=send.template,
            priority=send.priority,
            data=send.data,
            url=send.url,
            miniprogram_appid=send.miniprogram_appid,
            miniprogram_path=send.miniprogram_path,
            skip_unreachable=send.skip_unreachable,
            resend_of=send,
        )
        audience.stage(draft, columns, rows())
    return draft
