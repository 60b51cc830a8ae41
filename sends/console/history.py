"""Everything that was ever sent to one person, for the page of that person."""

from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode

from sends import preflight, reporting
from sends.models import Delivery
from users.models import OpenID

from .pages import fragment, needs


@needs("sends.view_send")
def history(request: HttpRequest, userid: str) -> HttpResponse:
    """A fragment, newest first; `?before=` goes on."""
    before = request.GET.get("before", "")
    openids = OpenID.objects.filter(recipient__userid=userid)
    found = reporting.history(
        userid,
        openids.values_list("openid", flat=True),
        int(before) if before.isdecimal() and len(before) < 19 else None,
    )
    return fragment(
        request,
        "sends/_history.html",
        "stop",
        userid=userid,
        before=before,
        rows=[
            {
                "delivery": row,
                "word": Delivery.Status(row.status).name.lower(),
                "reason": reporting.explain(row, preflight.labels_of(row.send)),
            }
            for row in found.rows
        ],
        next=urlencode({"before": found.next}) if found.next else "",
    )
