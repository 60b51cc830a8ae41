"""Fetching a channel's templates from WeChat and telling what became different."""

import logging
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone

from channels_wechat.models import Channel
from channels_wechat.wechat.client import WeChatSubscribeTemplate, WeChatTemplate
from channels_wechat.wechat.errors import WeChatError
from channels_wechat.wechat.limits import parse_fields

from .models import Template

logger = logging.getLogger(__name__)

# The system's own template of the old one-time subscription API, titled 订阅模板消息.
# Template messages cannot use it.
SYSTEM_CONTENT = "{{content.DATA}}"

# Template's column -> the most characters it holds. An id that does not fit would be
# another id when cut, so such a template is left out.
MAX_ID, MAX_TITLE, MAX_INDUSTRY = 64, 200, 60


class Changes(NamedTuple):
    """How many templates were added, changed, removed or left as they were.

    One that WeChat lists again after it was gone counts as added.
    """

    added: int
    changed: int
    removed: int
    unchanged: int


class Refreshed(NamedTuple):
    """What a refresh changed, by kind.

    `refused` is why the subscribe-notifications could not be listed (test accounts and
    accounts without that permission have none); theirs were then left as they were.
    """

    template: Changes
    subscribe: Changes
    refused: WeChatError | None


def refresh(channel: Channel) -> Refreshed:
    """Make our templates of `channel` equal to WeChat's lists; return the difference.

    Templates that are gone stay, marked as removed, because sends name them. Raises
    WeChatError classes of the list of template messages; then nothing is changed.
    """
    client = channel.client()
    listed = {
        Template.Kind.TEMPLATE: {
            template.template_id: _template_values(template)
            for template in client.templates()
            if template.content.strip() != SYSTEM_CONTENT
        }
    }
    refused = None
    try:
        listed[Template.Kind.SUBSCRIBE] = {
            template.template_id: _subscribe_values(template)
            for template in client.subscribe_templates()
        }
    except WeChatError as error:
        refused = error
    # The answers are here: from now on only the database, in one transaction.
    with transaction.atomic():
        # Two refreshes of one channel take turns.
        Channel.objects.select_for_update().get(pk=channel.pk)
        now = timezone.now()
        changes = {
            kind: _take_over(channel, kind, values, now)
            for kind, values in listed.items()
        }
        channel.templates_refreshed_at = now
        channel.save(update_fields=["templates_refreshed_at"])
    refreshed = Refreshed(
        changes[Template.Kind.TEMPLATE],
        changes.get(Template.Kind.SUBSCRIBE) or _unchanged(channel),
        refused,
    )
    logger.info(
        "templates refreshed channel=%s template=%s subscribe=%s refused=%s",
        channel.code,
        tuple(refreshed.template),
        tuple(refreshed.subscribe),
        refused and refused.errcode,
    )
    return refreshed


def _unchanged(channel: Channel) -> Changes:
    ours = Template.objects.current().filter(
        channel=channel, kind=Template.Kind.SUBSCRIBE
    )
    return Changes(0, 0, 0, ours.count())


def _take_over(
    channel: Channel, kind: str, listed: dict[str, dict[str, Any]], now: datetime
) -> Changes:
    """Write WeChat's values of every template of a kind; return what was different."""
    for template_id in [name for name in listed if len(name) > MAX_ID]:
        logger.warning("template id too long, left out: %s", template_id[:80])
        del listed[template_id]
    of_kind = Template.objects.filter(channel=channel, kind=kind)
    ours = {template.template_id: template for template in of_kind}
    added = changed = unchanged = 0
    for template_id, values in listed.items():
        template = ours.get(template_id) or Template(
            channel=channel, kind=kind, template_id=template_id
        )
        differs = [n for n, value in values.items() if getattr(template, n) != value]
        for name, value in values.items():
            setattr(template, name, value)
        if template.pk is None or template.removed_at:
            template.removed_at = None
            added += 1
        elif differs:
            template.changed_at = now
            changed += 1
        else:
            unchanged += 1
        template.save()
    removed = of_kind.current().exclude(template_id__in=listed).update(removed_at=now)
    return Changes(added, changed, removed, unchanged)


def _template_values(theirs: WeChatTemplate) -> dict[str, Any]:
    return {
        **_common_values(theirs),
        "primary_industry": _text(theirs.primary_industry)[:MAX_INDUSTRY],
        "deputy_industry": _text(theirs.deputy_industry)[:MAX_INDUSTRY],
    }


def _subscribe_values(theirs: WeChatSubscribeTemplate) -> dict[str, Any]:
    values = _common_values(theirs)
    for field in values["fields"]:
        if listed := theirs.listed.get(field["key"]):
            field["values"] = [_text(value) for value in listed]
    return {**values, "long_term": theirs.long_term}


def _common_values(theirs: WeChatTemplate | WeChatSubscribeTemplate) -> dict[str, Any]:
    content = _text(theirs.content)
    return {
        "title": _text(theirs.title)[:MAX_TITLE],
        "content": content,
        "example": _text(theirs.example),
        "fields": [field._asdict() for field in parse_fields(content)],
    }


def _text(value: str) -> str:
    # PostgreSQL stores no NUL; WeChat's JSON may hold any control character.
    return value.replace("\x00", "").replace("\r\n", "\n")
