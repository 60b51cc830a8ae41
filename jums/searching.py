"""What the command palette (Ctrl+K) finds beside the pages' names.

Names of channels and templates by any part; people and sends by their whole id alone:
those tables have millions of rows.
"""

from collections.abc import Iterator

from django.db.models import Q
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from unfold.dataclasses import SearchResult

from channels_wechat.models import Channel
from sends.models import Send
from templates_mgmt.models import Template
from users.models import Recipient

EACH = 10


def search(request: HttpRequest, term: str) -> list[SearchResult]:
    """Return what this person may see and `term` (lower case) names."""
    return list(_results(request, term))


def _results(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    user = request.user
    if user.has_perm("channels_wechat.view_channel"):
        named = Q(name__icontains=term) | Q(code__icontains=term)
        for channel in Channel.objects.filter(named | Q(appid=term))[:EACH]:
            yield _result(channel, channel.name, _("Channel"), "forum")
    if user.has_perm("templates_mgmt.view_template"):
        templates = Template.objects.current().filter(title__icontains=term)
        for template in templates.select_related("channel")[:EACH]:
            where = f"{_('Template')} · {template.channel}"
            yield _result(template, template.title, where, "article")
    # The palette hands the term over in lower case; ids may be written otherwise.
    typed = request.GET.get("s", "").strip()
    if user.has_perm("users.view_recipient"):
        # Two queries: with OR, neither index would be used.
        named_so = list(Recipient.objects.filter(userid=typed))
        holders = Recipient.objects.filter(openids__openid=typed).distinct()[:EACH]
        for recipient in {row.pk: row for row in [*named_so, *holders]}.values():
            yield _result(recipient, recipient.userid, _("Recipient"), "person")
    if user.has_perm("sends.view_send"):
        for send in Send.objects.filter(msgid=typed):
            yield _result(send, str(send), _("Send"), "send")


def _result(
    row: Channel | Template | Recipient | Send, title: str, kind: str, icon: str
) -> SearchResult:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    try:
        link = reverse(name, args=[row.pk])
    except NoReverseMatch:  # an app that has no page yet
        link = reverse("admin:index")
    return SearchResult(title=title, description=kind, link=link, icon=icon)
