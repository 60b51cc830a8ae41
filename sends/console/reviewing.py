"""Sends of business systems that wait for a person who is not their owner."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from sends import audience, previewing, reviewing
from sends.control import WrongState
from sends.models import Send

from .pages import get_send, needs, operator, to_send

REVIEW = "sends.review_send"
SHOWN_PEOPLE = 30


def told(request: HttpRequest, found: Send) -> dict[str, Any]:
    """Return what a send's page shows of its review: the message, and its people."""
    shown: dict[str, Any] = {"family": family(found)}
    if found.status != Send.Status.IN_REVIEW:
        return shown
    allowed = request.user.has_perm(REVIEW)
    own = reviewing.is_own(found, operator(request))
    shown |= {"may_review": allowed and not own, "own_review": allowed and own}
    if found.template is not None:
        shown |= {
            "counts": audience.counts(found),
            "people": list(audience.people(found, limit=SHOWN_PEOPLE)),
            "card": previewing.card(found, previewing.person_at(found)),
        }
    return shown


def family(found: Send) -> list[Send]:
    """Return all sends of the same request, the first first; none of a single one."""
    if found.business_channel_id is None:
        return []
    sends = Send.objects.family(found).select_related("channel", "template")
    listed = list(sends.order_by("pk"))
    return listed if len(listed) > 1 else []


@needs(REVIEW)
@require_POST
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    """Let it go."""
    found = get_send(pk)
    try:
        reviewing.approve(found, operator(request))
    except WrongState as error:
        messages.warning(request, str(error))
    else:
        messages.success(request, _("Approved: it is being sent."))
    return to_send(found)


@needs(REVIEW)
@require_POST
def reject(request: HttpRequest, pk: int) -> HttpResponse:
    """Refuse it, with a reason that its owner reads."""
    found = get_send(pk)
    note = " ".join(request.POST.get("note", "").replace("\0", "").split())
    if not note:
        messages.warning(request, _("Say why, so that its owner can mend it."))
        return to_send(found)
    try:
        reviewing.reject(found, operator(request), note)
    except WrongState as error:
        messages.warning(request, str(error))
    else:
        messages.success(request, _("Rejected: nothing of it is sent."))
    return to_send(found)
