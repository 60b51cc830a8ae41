"""Everything that was ever sent to one person, for the page of that person."""

from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from sends import preflight, reporting
from sends.models import Delivery
from users.models import OpenID

from .pages import fragment, needs, page


@needs("sends.view_send")
def history(request: HttpRequest, userid: str) -> HttpResponse:
    """Newest first; `?before=` goes on. A live part gets the inside of a panel, anyone
    who follows a link a whole page."""
    before = request.GET.get("before", "")
    openids = OpenID.objects.filter(recipient__userid=userid)
    found = reporting.history(
        userid,
        openids.values_list("openid", flat=True),
        int(before) if before.isdecimal() and len(before) < 19 else None,
    )
    context = {
        "userid": userid,
        "before": before,
        "rows": [
            {
                "delivery": row,
                "word": Delivery.Status(row.status).name.lower(),
                "reason": reporting.explain(row, preflight.labels_of(row.send)),
            }
            for row in found.rows
        ],
        "next": urlencode({"before": found.next}) if found.next else "",
    }
    if request.headers.get("X-Requested-With") == "live":
        return fragment(request, "sends/_history.html", "stop", **context)
    title = _("What was sent to %(userid)s") % {"userid": userid}
    return page(request, "sends/history.html", title, **context)
