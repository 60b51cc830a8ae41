"""WeChat's public template library: looking, adding to a channel, and removing.

The library's answers are kept for an hour: a search has to read every title of a
category, and WeChat counts the calls.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from django.core.cache import cache
from django.utils import timezone
from django.utils.translation import ngettext

from channels_wechat.models import Channel
from channels_wechat.wechat.client import Client
from channels_wechat.wechat.errors import WeChatError
from channels_wechat.wechat.library import Category, Keyword, Title

from .models import Template
from .refreshing import refresh

logger = logging.getLogger(__name__)

# WeChat lets an account have so many templates at once.
LIMITS = {Template.Kind.TEMPLATE: 25, Template.Kind.SUBSCRIBE: 50}
KEPT_S = 3600
# Should WeChat's count of titles never be reached, reading ends here: 1,500 titles.
MAX_PAGES = 50
# Sends of these states will still use their template. By the reverse name, and in the
# words of sends.models, which is beyond an arrow.
SENDS = "send_set"
UNDERWAY = ("in_review", "scheduled", "preparing", "running", "paused")

Found = TypeVar("Found")


class TemplateInUse(Exception):
    """Sends still use the template. `sends` says how many; the text is for people."""

    def __init__(self, sends: int) -> None:
        super().__init__(sends)
        self.sends = sends

    def __str__(self) -> str:
        return ngettext(
            "%(count)d send still uses this template. Wait until it is over, or cancel"
            " it.",
            "%(count)d sends still use this template. Wait until they are over, or"
            " cancel them.",
            self.sends,
        ) % {"count": self.sends}


# -- looking ---------------------------------------------------------------------------
def categories(channel: Channel, client: Client | None = None) -> list[Category]:
    """Return the channel's categories. Raises WeChatError classes."""
    return _kept(
        channel, "categories", lambda: (client or channel.client()).categories()
    )


def titles(
    channel: Channel, category: int | None = None, words: str = ""
) -> list[Title]:
    """Return the titles of a category, of all of the channel's when None, which have
    all `words` in their name. Raises WeChatError classes."""
    client = channel.client()
    if category is None:
        wanted = [each.id for each in categories(channel, client)]
    else:
        wanted = [category]
    if not wanted:
        return []
    name = "titles-" + "-".join(map(str, wanted))
    found = _kept(channel, name, lambda: _every_title(client, wanted))
    parts = words.casefold().split()
    return [t for t in found if all(part in t.title.casefold() for part in parts)]


def _every_title(client: Client, wanted: Sequence[int]) -> list[Title]:
    found: dict[str, Title] = {}
    start = 0
    for _page in range(MAX_PAGES):
        page = client.public_titles(wanted, start)
        found.update((title.tid, title) for title in page.titles)
        start += len(page.titles)
        if not page.titles or start >= page.total:
            break
    return list(found.values())


def keywords(channel: Channel, tid: str) -> list[Keyword]:
    """Return the keywords that a title offers. Raises WeChatError classes."""
    client = channel.client()
    return _kept(channel, f"keywords-{tid}", lambda: client.public_keywords(tid))


def _kept(channel: Channel, name: str, ask: Callable[[], list[Found]]) -> list[Found]:
    """Return what `ask` answered within the last hour, or now."""
    key = f"template-library-{channel.appid}-{name}"
    kept: list[Found] | None = cache.get(key)
    if kept is None:
        kept = ask()
        cache.set(key, kept, KEPT_S)
    return kept


def forget(channel: Channel) -> None:
    """Ask WeChat anew for the channel's categories: they change in its console."""
    cache.delete(f"template-library-{channel.appid}-categories")


# -- adding ----------------------------------------------------------------------------
def add_subscribe(
    channel: Channel, tid: str, kids: Sequence[int], scene: str
) -> Template:
    """Add a title of the library to the channel, at WeChat and here; return it.

    Its keywords keep the order of `kids`. `removed_at` is set while WeChat's list does
    not have it yet. Raises WeChatError classes; after WeChatUnavailable a refresh tells
    whether it was added.
    """
    client = channel.client()
    template_id = client.add_subscribe_template(tid, kids, scene)
    added = Template(
        kind=Template.Kind.SUBSCRIBE, library_id=tid, picked=[*kids], scene=scene
    )
    return _store(channel, template_id, added)


def add_template(channel: Channel, short_id: str, names: Sequence[str]) -> Template:
    """Add a template of template messages by its number in the library, with these
    keywords in this order. Otherwise as `add_subscribe`."""
    template_id = channel.client().add_template(short_id, names)
    added = Template(kind=Template.Kind.TEMPLATE, library_id=short_id, picked=[*names])
    return _store(channel, template_id, added)


def _store(channel: Channel, template_id: str, added: Template) -> Template:
    """Keep what was picked, then let WeChat say what the template looks like."""
    # Listed or not: should the refresh fail, the next one completes the row.
    Template.objects.update_or_create(
        channel=channel,
        template_id=template_id,
        defaults={
            "kind": added.kind,
            "library_id": added.library_id,
            "picked": added.picked,
            "scene": added.scene,
        },
        create_defaults={
            "kind": added.kind,
            "title": added.library_id,
            "library_id": added.library_id,
            "picked": added.picked,
            "scene": added.scene,
            "removed_at": timezone.now(),
        },
    )
    logger.info(
        "template added channel=%s template=%s library=%s",
        channel.code,
        template_id,
        added.library_id,
    )
    try:
        refresh(channel)
    except WeChatError as refused:
        logger.warning("added template not listed yet: %s", refused)
    return Template.objects.select_related("channel").get(
        channel=channel, template_id=template_id
    )


# -- removing --------------------------------------------------------------------------
def sends_underway(template: Template) -> int:
    """Return how many sends still use the template. One query."""
    sends = getattr(template, SENDS)
    count: int = sends.filter(status__in=UNDERWAY).count()
    return count


def remove(template: Template) -> None:
    """Remove a template at WeChat, and mark it as removed here.

    Raises TemplateInUse, and WeChatError classes if WeChat still lists it.
    """
    if sends := sends_underway(template):
        raise TemplateInUse(sends)
    client = template.channel.client()
    try:
        if template.is_subscribe:
            client.remove_subscribe_template(template.template_id)
        else:
            client.remove_template(template.template_id)
    except WeChatError as refused:
        # Removed before in WeChat's console, or by a call whose answer was lost.
        if _is_listed(client, template, refused):
            raise
    template.removed_at = timezone.now()
    template.save(update_fields=["removed_at"])
    logger.info(
        "template removed channel=%s template=%s",
        template.channel.code,
        template.template_id,
    )


def _is_listed(client: Client, template: Template, refused: WeChatError) -> bool:
    """Whether WeChat's list has the template. Raises `refused` if it cannot be had."""
    try:
        listed = (
            {each.template_id for each in client.subscribe_templates()}
            if template.is_subscribe
            else {each.template_id for each in client.templates()}
        )
    except WeChatError:
        raise refused from None
    return template.template_id in listed
