"""What people, and the engine on their behalf, do to a send: submit, pause, resume,
cancel. Every change of status is a conditional UPDATE whose row count says who won.
"""

import logging
import secrets
import time
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from channels_wechat.models import Channel
from channels_wechat.wechat.messages import placeholders

from . import audience, outbox
from .models import AudienceRow, Chunk, GivenIDs, Send
from .problems import sentence
from .waking import wake_beside_on_commit, wake_on_commit

log = logging.getLogger(__name__)
Status = Send.Status
# A scheduled send that starts no later than this has not missed its time.
PUNCTUAL: Final = timedelta(minutes=5)


class WrongState(Exception):
    """The send is not in a status that allows this. `.status` is the one it is in."""

    def __init__(self, msgid: str, status: str) -> None:
        super().__init__(msgid, status)
        self.msgid, self.status = msgid, status

    def __str__(self) -> str:
        return _("This send is %(status)s: that is not possible now.") % {
            "status": Status(self.status).label
        }


def make_msgid() -> str:
    """Return a msgid in JUMS' shape: opaque, unique, with colons."""
    return (
        f"v:1t:{int(time.time())}p:{secrets.randbelow(10**8)}"
        f"n:{secrets.randbelow(10**6)}"
    )


def make_send(user: User | None, **fields: Any) -> Send:
    """Return a new send of `user` (None: a machine's), not saved yet."""
    return Send(
        msgid=make_msgid(),
        dedupe_key=secrets.token_hex(6),
        created_by=user,
        **fields,
    )


def new_draft(user: User | None, **fields: Any) -> Send:
    """Return a new, saved draft of `user` (None: a machine's)."""
    draft = make_send(user, **fields)
    draft.save(force_insert=True)
    return draft


def new_test(draft: Send, person: audience.Person, user: User | None) -> Send:
    """Return a submitted test send of `draft` to one person, ahead of everything."""
    with transaction.atomic():
        test = new_draft(
            user,
            title=draft.title,
            channel=draft.channel,
            template=draft.template,
            source=Send.Source.TEST,
            priority=1,
            data=draft.data,
            url=draft.url,
            miniprogram_appid=draft.miniprogram_appid,
            miniprogram_path=draft.miniprogram_path,
            skip_unreachable=False,  # a test asks WeChat itself
        )
        names = [name for name in person.variables if name not in audience.BUILT_IN]
        names += [n for n in ("phone", "email") if n in person.variables]
        values = [person.variables[name] for name in names]
        audience.stage(test, names, [(person.userid, person.openid, *values)])
        submit(test)
    return test


def submit(send: Send, at: datetime | None = None, *, review: bool = False) -> None:
    """Send it now, at `at` (aware), or after `review` by somebody else.

    Raises ValidationError, WrongState.

    Returns once everything that is needed is in the database.
    """
    send = Send.objects.select_related("channel", "template").get(pk=send.pk)
    if problems := _problems(send, at):
        raise ValidationError(problems)
    now = timezone.now()
    later = at is not None and at > now
    status = _submitted(send, later=later, review=review)
    with transaction.atomic():
        _change(
            send,
            {Status.DRAFT},
            status=status,
            scheduled_for=at if later else None,
            submitted_at=now,
        )
        if status == Status.PREPARING:
            wake_on_commit("prepare", send.pk)
    log.info("submitted send=%s status=%s", send.msgid, status)


def store_submitted(send: Send, *, review: bool = False) -> None:
    """Store a new send of the API as one that is submitted, in one statement. Raises
    ValidationError.

    Call it in the transaction that stores its lines: no worker finds it before.
    """
    if problems := _problems(send, None):
        raise ValidationError(problems)
    send.status = _submitted(send, later=False, review=review)
    send.submitted_at = timezone.now()
    send.save(force_insert=True)
    if send.status == Status.PREPARING:
        wake_beside_on_commit("prepare", send.pk)
    log.info("submitted send=%s status=%s", send.msgid, send.status)


def _submitted(send: Send, *, later: bool, review: bool) -> Status:
    """Return the status in which a send is from now on."""
    if review:
        return Status.IN_REVIEW
    # A later step of a strategy waits for the one before it: see sends.stepping.
    return Status.SCHEDULED if later or send.step else Status.PREPARING


def _problems(send: Send, at: datetime | None) -> dict[str, str]:
    problems = {}
    if send.template is None:
        problems["template"] = _("Choose a template.")
    elif send.template.removed_at:
        problems["template"] = _(
            "This template was removed at WeChat. Refresh the templates and choose "
            "another one."
        )
    elif send.template.channel_id != send.channel_id:
        problems["template"] = _("This template belongs to another channel.")
    elif missing := [
        field["label"] or field["key"]
        for field in send.template.fields
        if not send.data.get(field["key"]) and field["key"] not in {"first", "remark"}
    ]:
        problems["data"] = _("Fill in: %(fields)s.") % {"fields": ", ".join(missing)}
    elif wrong := _constant_problems(send):
        problems["data"] = " ".join(wrong)
    if not send.channel.enabled:
        problems["channel"] = _("The channel is disabled. Enable it first.")
    if unknown := audience.unknown_names(send):
        problems["data"] = _("No column is called %(names)s.") % {
            "names": ", ".join(sorted(unknown))
        }
    if send.audience == Send.Audience.TAGS and not send.tags:
        problems["audience"] = _("Choose at least one tag.")
    if (
        send.audience == Send.Audience.ROWS
        # A business system's tag may have nobody: that is no fault of its request.
        and send.source != Send.Source.API
        and not AudienceRow.objects.filter(send=send).exists()
    ):
        problems["audience"] = _("The list of people is empty.")
    if at is not None and timezone.is_naive(at):
        problems["scheduled_for"] = _("The time needs a time zone.")
    return problems


def _constant_problems(send: Send) -> list[str]:
    """Values without placeholders would be refused for everyone alike."""
    assert send.template is not None
    labels = {field["key"]: field["label"] for field in send.template.fields}
    return [
        sentence(problem, labels.get(key, ""))
        for key, text in send.data.items()
        if not placeholders(text)
        and (problem := send.template.problem_of(key, text)) is not None
        and problem.blocks
    ]


def pause(send: Send, by: str) -> None:
    """Stop sending; what has left stays sent. Raises WrongState."""
    _change(
        send,
        {Status.SCHEDULED, Status.PREPARING, Status.RUNNING},
        status=Status.PAUSED,
        pause_code=Send.PauseCode.OPERATOR,
        pause_errcode=None,
        pause_detail="",
        paused_at=timezone.now(),
        paused_by=by[:150],
        resume_at=None,
    )
    log.info("paused send=%s by=%s", send.msgid, by)


def resume(send: Send, by: str) -> None:
    """Go on where it stood. Raises WrongState."""
    now = timezone.now()
    send = Send.objects.get(pk=send.pk)
    if send.prepared_at or send.started_at:
        status = Status.RUNNING
    elif send.scheduled_for and send.scheduled_for > now:
        status = Status.SCHEDULED
    else:
        status = Status.PREPARING
    with transaction.atomic():
        _change(
            send,
            {Status.PAUSED},
            status=status,
            pause_code="",
            pause_errcode=None,
            pause_detail="",
            paused_at=None,
            paused_by="",
            resume_at=None,
            # Whoever goes on has seen how many were refused.
            brake_released=send.brake_released
            or send.pause_code in {Send.PauseCode.REFUSALS, Send.PauseCode.CANARY},
        )
        if send.canary == Send.Canary.FAILED:
            Chunk.objects.release(send.pk, now)
        if status == Status.RUNNING:
            Send.objects.finish([send.pk])
            wake_on_commit("drain", send.channel_id)
        if status != Status.SCHEDULED and send.prepared_at is None:
            wake_on_commit("prepare", send.pk)
    log.info("resumed send=%s by=%s", send.msgid, by)


def cancel(send: Send, by: str) -> None:
    """Send nothing more. Rows that wait become canceled, or unknown if their message
    may have left. Raises WrongState."""
    with transaction.atomic():
        _change(
            send,
            {
                Status.IN_REVIEW,
                Status.SCHEDULED,
                Status.PREPARING,
                Status.RUNNING,
                Status.PAUSED,
            },
            status=Status.CANCELED,
            finished_at=timezone.now(),
            resume_at=None,
        )
        outbox.never_prepared(Send.objects.get(pk=send.pk), 7)
        GivenIDs.objects.filter(send=send.pk).delete()
        wake_on_commit("drain", send.channel_id)
    log.info("canceled send=%s by=%s", send.msgid, by)


def pause_for(
    channel: Channel,
    code: Send.PauseCode,
    errcode: int | None,
    detail: str,
    *,
    send_pk: int | None = None,
    kind: str | None = None,
    resume_at: datetime | None = None,
    spare_api: bool = False,
) -> int:
    """Pause running sends of a channel because WeChat stopped them; return how many.

    With `send_pk` only that one, with `kind` only those of templates of that kind, with
    `spare_api` only those of the console.
    `detail` is WeChat's own words.
    """
    sends = Send.objects.filter(channel=channel, status=Status.RUNNING)
    if send_pk is not None:
        sends = sends.filter(pk=send_pk)
    if kind is not None:
        sends = sends.filter(template__kind=kind)
    if spare_api:
        sends = sends.exclude(source=Send.Source.API)
    count = sends.update(
        status=Status.PAUSED,
        pause_code=code,
        pause_errcode=errcode,
        pause_detail=detail[:500],
        paused_at=timezone.now(),
        paused_by="",
        resume_at=resume_at,
    )
    if count:
        log.error(
            "paused channel=%s sends=%s code=%s errcode=%s",
            channel.code,
            count,
            code,
            errcode,
        )
    return count


def start_due() -> int:
    """Start scheduled sends whose time has come; return how many. Those that were to
    start much earlier, and may not be late, pause instead and ask."""
    started = 0
    for send in Send.objects.due():
        if _is_too_late(send):
            _miss(send)
            continue
        with transaction.atomic():
            won = Send.objects.due().filter(pk=send.pk).update(status=Status.PREPARING)
            if won:
                wake_on_commit("prepare", send.pk)
                started += 1
    return started


def _is_too_late(send: Send) -> bool:
    if send.late_within_h is None or send.scheduled_for is None:
        return False
    allowed = max(PUNCTUAL, timedelta(hours=send.late_within_h))
    return timezone.now() - send.scheduled_for > allowed


def _miss(send: Send) -> None:
    if (
        Send.objects.due()
        .filter(pk=send.pk)
        .update(
            status=Status.PAUSED,
            pause_code=Send.PauseCode.MISSED,
            pause_errcode=None,
            pause_detail="",
            paused_at=timezone.now(),
            paused_by="",
            resume_at=None,
        )
    ):
        log.error("missed send=%s at=%s", send.msgid, send.scheduled_for)


def _change(send: Send, before: set[Status], **fields: object) -> None:
    won = Send.objects.filter(pk=send.pk, status__in=before).update(**fields)
    if not won:
        raise WrongState(send.msgid, Send.objects.get(pk=send.pk).status)
