"""What happened to one person: why didn't zhangsan get it?"""

from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_wechat.models import Channel
from sends import reporting, timeline
from sends.models import Delivery
from users.models import Recipient

from .pages import fragment, needs, page

# What is no delivery: what happened, what that means for messages, its icon.
HAPPENED: Final = {
    "bound": (
        gettext_lazy("The openID was uploaded, entered or changed"),
        "",
        "badge",
    ),
    "followed": (gettext_lazy("Followed the account"), "", "person_add"),
    "unfollowed": (
        gettext_lazy("Unfollowed the account"),
        gettext_lazy("WeChat refuses messages to them until they follow again."),
        "person_remove",
    ),
    "accepted": (gettext_lazy("Accepted a subscribe-notification"), "", "task_alt"),
    "rejected": (gettext_lazy("Rejected a subscribe-notification"), "", "block"),
}


@needs("sends.view_send")
def history(request: HttpRequest, userid: str) -> HttpResponse:
    """Newest first; `?before=` goes on. A live part gets the inside of a panel, anyone
    who follows a link a whole page."""
    cursor = _cursor(request.GET.get("before", ""))
    found = timeline.read(userid, cursor)
    names = dict(Channel.objects.values_list("code", "name"))
    # A receipt stands in the row of its delivery.
    items = [item for item in found.items if item.what != "receipt"]
    context = {
        "userid": userid,
        "before": cursor,
        "rows": [_told(item, names) for item in items],
        "next": urlencode({"before": found.next.encoded()}) if found.next else "",
    }
    if request.headers.get("X-Requested-With") == "live":
        return fragment(request, "sends/_history.html", "stop", **context)
    title = _("What happened to %(userid)s") % {"userid": userid}
    person = Recipient.objects.filter(userid=userid).first()
    return page(request, "sends/history.html", title, person=person, **context)


def _cursor(text: str) -> timeline.Cursor | None:
    try:
        return timeline.Cursor.decoded(text) if text else None
    except ValueError:
        return None


def _told(item: timeline.Item, names: Mapping[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "item": item,
        "channel": names.get(item.channel, item.channel),
        "openid": reporting.mask(item.openid),
    }
    if item.delivery is not None:
        told["word"] = Delivery.Status(item.delivery.status).name.lower()
        return told
    title, meaning, icon = HAPPENED.get(item.what, (item.what, "", "info"))
    # Of acceptances, the item says which template it is about.
    about = item.meaning or item.template_id
    return {**told, "title": title, "about": about, "meaning": meaning, "icon": icon}
