"""Taking in a request of a business system: checked whole, stored whole, answered with
a msgid. A request for several channels or messages becomes several sends; the first has
the msgid, the others are its parts."""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from channels_wechat import protection
from channels_wechat.business_channels import enabled_channels, usable
from channels_wechat.models import BusinessChannel, Channel
from channels_wechat.refusals import (
    ALREADY_RETRACTED,
    BROADCASTS_USED_UP,
    CHANNEL_UNUSABLE,
    ILLEGAL,
    NO_SUCH_BLACKLIST,
    NO_SUCH_TEMPLATE,
    NOT_GENERAL,
    OWNER_NEEDED,
    QUIET_HOURS,
    SENSITIVE_WORD,
    STRATEGY_INVALID,
    Refused,
    illegal,
)
from channels_wechat.wechat.errors import WeChatError
from channels_wechat.wechat.messages import fill, placeholders
from templates_mgmt import refreshing
from templates_mgmt.models import GeneralTemplate, Template
from users.models import Segment, UserList

from . import control, outbox, targets
from .models import GivenIDs, Send, Strategy
from .requested import IDS_AT_MOST, Message, Options, Targets, every_text

log = logging.getLogger(__name__)

RETRACT_WITHIN: Final = timedelta(hours=24)
# What is checked and written down of a template; its text and example are long.
TEMPLATE_COLUMNS: Final = (
    "channel",
    "template_id",
    "kind",
    "title",
    "fields",
    "removed_at",
)


@dataclass(frozen=True)
class _Context:
    """What the options of a request name, found."""

    owner: User | None
    blacklist: UserList | None
    whitelist: UserList | None
    strategy: Strategy | None
    segment: Segment | None


def learn_templates(sender: BusinessChannel) -> list[Channel]:
    """Refresh the sender's channels that never were, so that its first message finds
    its template; return all that it may use. Asks WeChat: call it outside of
    transactions."""
    channels = enabled_channels(sender)
    unknown = [one.pk for one in channels if one.templates_refreshed_at is None]
    if not unknown:
        return channels
    for channel in Channel.objects.filter(pk__in=unknown).order_by("pk"):
        try:
            refreshing.refresh(channel)
        except WeChatError as error:
            log.warning("not refreshed channel=%s error=%s", channel.code, error)
    # WeChat may have taken its time: somebody may have disabled one by now.
    return enabled_channels(sender)


def accept(
    sender: BusinessChannel,
    messages: Sequence[Message],
    audience: Targets | None,
    options: Options,
    channels: list[Channel] | None = None,
) -> Send:
    """Store a request and start it; return the send that has its msgid.

    `audience` None is a broadcast. `channels` are the sender's enabled ones, if at
    hand. Raises Refused; then nothing is stored.
    """
    channels = usable(enabled_channels(sender) if channels is None else channels)
    parts = [
        (message, template)
        for message in messages
        for template in _templates(channels, message)
    ]
    if audience is not None:
        _check_instances(audience, channels, [template for _message, template in parts])
    if protection.is_quiet(sender):
        raise Refused(QUIET_HOURS, _("It is within the quiet hours."))
    if word := protection.sensitive_word(sender, every_text(messages)):
        raise Refused(
            SENSITIVE_WORD, _("The text has the word “%(word)s”.") % {"word": word}
        )
    context = _context(sender, audience, options)
    steps = [0] * len(parts)
    if context.strategy is not None:
        parts, steps = _in_steps(parts, context.strategy)
    with transaction.atomic():
        if audience is None and not protection.count_broadcast(sender):
            raise Refused(BROADCASTS_USED_UP, _("Today's broadcasts are used up."))
        sends: list[Send] = []
        for (message, template), step in zip(parts, steps, strict=True):
            openids = _openids(audience, template, channels)
            if openids == []:
                continue  # its openids were given for another channel
            send = _new_send(sender, message, template, options, context, sends)
            send.broadcast, send.step = audience is None, step
            if audience is not None and not step:
                send.audience = targets.kind_of(audience)
            _store(send, message.name, review=sender.review)
            sends.append(send)
            if step:
                pass  # its people are those whom the step before will not have reached
            elif openids is not None:
                targets.keep(send, GivenIDs.Kind.OPENID, openids)
            elif send.audience == Send.Audience.IDS and audience is not None:
                targets.keep(send, GivenIDs.Kind.USERID, audience.userids)
            elif audience is not None:
                targets.stage_users(
                    send, audience.userids, audience.tags, sender.key, context.segment
                )
    return sends[0]


def general_message(
    sender: BusinessChannel, template_id: int, values: dict[str, str]
) -> Message:
    """Return a general template's message, filled. Raises Refused."""
    general = (
        GeneralTemplate.objects.select_related("template__channel")
        .filter(pk=template_id)
        .first()
    )
    if general is None:
        raise Refused(NO_SUCH_TEMPLATE, _("There is no such template."))
    if not general.general:
        raise Refused(NOT_GENERAL, _("This template is for the console only."))
    if not sender.channels.filter(
        pk=general.template.channel_id, enabled=True
    ).exists():
        raise Refused(
            CHANNEL_UNUSABLE,
            _("The template's channel is not authorised for this business channel."),
        )
    return Message(
        "template_id",
        general.template.template_id,
        {key: _filled(text, values) for key, text in general.data.items()},
        _filled(general.url, values),
        general.miniprogram_appid,
        _filled(general.miniprogram_path, values),
        general.template.kind,
    )


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name in placeholders(text):
        if name not in values:
            raise illegal(f"template_para.{name}", _("is missing."))
    return fill(text, values)


def retract(sender: BusinessChannel, msgid: str) -> None:
    """Stop what has not left. Raises Refused (4004, 1015055)."""
    since = timezone.now() - RETRACT_WITHIN
    with transaction.atomic():
        first = (
            Send.objects.select_for_update()
            .filter(
                msgid=msgid,
                business_channel=sender,
                part_of=None,
                created_at__gte=since,
            )
            .first()
        )
        if first is None:
            raise Refused(ILLEGAL, _("No such message within the last 24 hours."))
        if first.retracted_at is not None:
            raise Refused(ALREADY_RETRACTED, _("The message was already retracted."))
        now = timezone.now()
        family = list(Send.objects.family(first).order_by("pk"))
        outbox.not_retracted([send.pk for send in family])
        for send in family:
            # Finished or canceled ones: what has left cannot be called back.
            with contextlib.suppress(control.WrongState):
                control.cancel(send, by=sender.name)
            Send.objects.filter(pk=send.pk).update(retracted_at=now)


def _templates(channels: Sequence[Channel], message: Message) -> list[Template]:
    """Return the message's template on each channel that has it. Raises Refused."""
    of = {channel.pk: channel for channel in channels}
    found = list(
        Template.objects.current()
        .filter(channel__in=of, template_id=message.template_id)
        .only(*TEMPLATE_COLUMNS)
        .order_by("channel_id")
    )
    for template in found:
        template.channel = of[template.channel_id]
    if not found:
        raise illegal(
            f"{message.name}.template_id",
            _("no channel of this business channel has such a template."),
        )
    fitting = [template for template in found if template.kind == message.kind]
    if not fitting:
        raise illegal(
            f"{message.name}.type",
            _("must be 1: this template is for subscribe-notifications.")
            if found[0].is_subscribe
            else _("must be 0: this template is for template messages."),
        )
    return fitting


def _in_steps(
    parts: list[tuple[Message, Template]], strategy: Strategy
) -> tuple[list[tuple[Message, Template]], list[int]]:
    """Return the parts in the strategy's order, and the number of each one's step.

    Raises Refused when none of its channels has one of the messages' templates.
    """
    codes = [step["channel"] for step in strategy.steps]
    chosen = [part for part in parts if part[1].channel.code in codes]
    if not chosen:
        raise Refused(
            STRATEGY_INVALID, _("rule_id: its channels have none of these templates.")
        )
    chosen.sort(key=lambda part: codes.index(part[1].channel.code))
    order = list(dict.fromkeys(part[1].channel.code for part in chosen))
    return chosen, [order.index(part[1].channel.code) for part in chosen]


def _context(
    sender: BusinessChannel, audience: Targets | None, options: Options
) -> _Context:
    owner = None
    if options.owner or sender.review:
        owner = User.objects.filter(
            username=options.owner, is_active=True, is_staff=True
        ).first()
        if owner is None and sender.review:
            raise Refused(
                OWNER_NEEDED, _("option.owner: must be a user name of the console.")
            )
    blacklist = _list(options.black_id, UserList.Kind.BLACK)
    if options.black_id is not None and blacklist is None:
        raise Refused(NO_SUCH_BLACKLIST, _("option.black_id: no such list."))
    whitelist = _list(options.white_id, UserList.Kind.WHITE)
    if options.white_id is not None and whitelist is None:
        raise illegal("option.white_id", _("no such list."))
    segment = None
    if audience is not None and audience.segment is not None:
        segment = Segment.objects.filter(pk=audience.segment).first()
        if segment is None:
            raise illegal("aud_segment[0]", _("no such segment."))
    if (
        options.callback_url
        and not sender.callback_urls.filter(
            url=options.callback_url, verified_at__isnull=False
        ).exists()
    ):
        raise illegal("callback.url", _("was not verified in the console."))
    strategy = None
    # With openIDs a strategy has no effect: they belong to one channel.
    if options.rule_id and not (audience is not None and audience.openids):
        strategy = Strategy.objects.filter(
            pk=options.rule_id, business_channel=sender, enabled=True
        ).first()
        if strategy is None:
            raise Refused(STRATEGY_INVALID, _("rule_id: no such valid strategy."))
    return _Context(owner, blacklist, whitelist, strategy, segment)


def _list(pk: int | None, kind: str) -> UserList | None:
    return UserList.objects.filter(pk=pk, kind=kind).first() if pk is not None else None


def _check_instances(
    audience: Targets, channels: Sequence[Channel], templates: Sequence[Template]
) -> None:
    """Refuse openids for a channel that no message goes through."""
    reached = {template.channel.code for template in templates}
    for channel in channels:
        named = any(channel.code == instance for instance, _ in audience.openids)
        if named and channel.code not in reached:
            raise illegal(
                "aud_wechatoa", _("no message is for these openIDs' channel.")
            )


def _openids(
    audience: Targets | None, template: Template, channels: Sequence[Channel]
) -> list[str] | None:
    """Return the openids meant for the template's channel; None if none were given.

    `instance` names a channel by its code; any other label means the one that owns the
    template.
    """
    if audience is None or not audience.openids:
        return None
    codes = {channel.code for channel in channels}
    found: list[str] = []
    for instance, openids in audience.openids:
        if instance not in codes or instance == template.channel.code:
            found += openids
    if len(found) > IDS_AT_MOST:
        raise illegal("aud_wechatoa", _("%(limit)d at most.") % {"limit": IDS_AT_MOST})
    return found


def _new_send(
    sender: BusinessChannel,
    message: Message,
    template: Template,
    options: Options,
    context: _Context,
    before: Sequence[Send],
) -> Send:
    return control.make_send(
        context.owner,
        title=template.title[:80],
        channel=template.channel,
        template=template,
        source=Send.Source.API,
        priority=options.priority,
        data=message.data,
        url=message.url,
        miniprogram_appid=message.miniprogram_appid,
        miniprogram_path=message.miniprogram_path,
        business_channel=sender,
        part_of=before[0] if before else None,
        sendno=options.sendno,
        owner=options.owner,
        callback_url=options.callback_url,
        callback_params=options.callback_params,
        blacklist=context.blacklist,
        whitelist=context.whitelist,
        strategy=context.strategy,
        canary=Send.Canary.WAITING if options.canary else "",
        skip_unreachable=options.skip_unreachable,
    )


def _store(send: Send, name: str, *, review: bool) -> None:
    try:
        control.store_submitted(send, review=review)
    except ValidationError as problem:
        field, sentences = next(iter(problem.message_dict.items()))
        raise illegal(f"{name}.{field}", sentences[0]) from None
