"""Fetching a channel's templates from WeChat and telling what became different."""

import logging
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from channels_wechat.models import Channel
from channels_wechat.wechat.client import WeChatTemplate
from channels_wechat.wechat.limits import parse_fields

from .models import Template

logger = logging.getLogger(__name__)

# The system's own template of the old one-time subscription API, titled 订阅模板消息.
# Template messages cannot use it.
SYSTEM_CONTENT = "{{content.DATA}}"

# Template's column -> the most characters it holds. An id that does not fit would be
# another id when cut, so such a template is left out.
MAX_ID, MAX_TITLE, MAX_INDUSTRY = 64, 200, 60


class Refreshed(NamedTuple):
    """How many templates were added, changed, removed or left as they were.

    One that WeChat lists again after it was gone counts as added.
    """

    added: int
    changed: int
    removed: int
    unchanged: int


def refresh(channel: Channel) -> Refreshed:
    """Make our templates of `channel` equal to WeChat's list; return the difference.

    Templates that are gone stay, marked as removed, because sends name them. Raises
    WeChatError classes; then nothing is changed.
    """
    listed = {
        template.template_id: template
        for template in channel.client().templates()
        if _usable(template)
    }
    # The answer is here: from now on only the database, in one transaction.
    with transaction.atomic():
        now = timezone.now()
        # Two refreshes of one channel take turns.
        Channel.objects.select_for_update().get(pk=channel.pk)
        ours = {
            template.template_id: template
            for template in Template.objects.filter(
                channel=channel, kind=Template.Kind.TEMPLATE
            )
        }
        added = changed = unchanged = 0
        for template_id, theirs in listed.items():
            template = ours.get(template_id) or Template(
                channel=channel, template_id=template_id
            )
            differs = _take_over(template, theirs)
            if template.pk is None or template.removed_at:
                template.removed_at = None
                added += 1
            elif differs:
                template.changed_at = now
                changed += 1
            else:
                unchanged += 1
            template.save()
        removed = (
            Template.objects.filter(channel=channel, kind=Template.Kind.TEMPLATE)
            .current()
            .exclude(template_id__in=listed)
            .update(removed_at=now)
        )
        channel.templates_refreshed_at = now
        channel.save(update_fields=["templates_refreshed_at"])
    refreshed = Refreshed(added, changed, removed, unchanged)
    logger.info(
        "templates refreshed channel=%s added=%d changed=%d removed=%d unchanged=%d",
        channel.code,
        *refreshed,
    )
    return refreshed


def _usable(template: WeChatTemplate) -> bool:
    if len(template.template_id) > MAX_ID:
        logger.warning("template id too long, left out: %s", template.template_id[:80])
        return False
    return template.content.strip() != SYSTEM_CONTENT


def _take_over(template: Template, theirs: WeChatTemplate) -> bool:
    """Write WeChat's values into `template`; return whether any of them is new."""
    values = {
        "title": _text(theirs.title)[:MAX_TITLE],
        "content": _text(theirs.content),
        "example": _text(theirs.example),
        "primary_industry": _text(theirs.primary_industry)[:MAX_INDUSTRY],
        "deputy_industry": _text(theirs.deputy_industry)[:MAX_INDUSTRY],
    }
    differs = any(getattr(template, name) != value for name, value in values.items())
    for name, value in values.items():
        setattr(template, name, value)
    template.fields = [field._asdict() for field in parse_fields(template.content)]
    return differs


def _text(value: str) -> str:
    # PostgreSQL stores no NUL; WeChat's JSON may hold any control character.
    return value.replace("\x00", "").replace("\r\n", "\n")
