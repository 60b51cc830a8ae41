"""What WeChat pushed to a channel, and what was refused and why."""

from typing import Any

from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import Channel
from sends import reporting
from sends.models import CallbackRefusal, InboundEvent

from .pages import needs, page

PAGE = 50
# A status is looked for among so many of the newest: no index holds it.
LOOKED_THROUGH = 5000

KINDS = {
    "templatesendjobfinish": _("Receipt"),
    "subscribe_msg_sent_event": _("Receipt"),
    "subscribe_msg_popup_event": _("Asked to accept notifications"),
    "subscribe_msg_change_event": _("Changed the notification settings"),
    "subscribe": _("Follows"),
    "unsubscribe": _("Unfollows"),
    "scan": _("Scanned a code"),
    "click": _("Pressed a menu button"),
    "view": _("Opened a menu link"),
    "location": _("Location"),
}
# reason -> what happened, what to do
REFUSALS = {
    "bad_signature": (
        _("The signature is wrong."),
        _(
            "The Token here and the one in WeChat's console differ, or somebody else "
            "is calling this address. Compare the two."
        ),
    ),
    "downgraded": (
        _("It came in plain text, though this channel asks for encrypted pushes."),
        _(
            "Choose the same mode in WeChat's console and here, or somebody is trying "
            "to go around the encryption."
        ),
    ),
    "stale": (
        _("Its time is more than 30 minutes off."),
        _("Set this server's clock; a repeated old push is refused like this too."),
    ),
    "bad_body": (_("The body cannot be read."), _("Usually a stranger's call.")),
    "wrong_receiver": (
        _("It was meant for another account."),
        _("Compare the AppID and the original id of this channel with WeChat's."),
    ),
    "too_large": (_("It is too large to be WeChat's."), _("A stranger's call.")),
    "not_decrypted": (
        _("It cannot be decrypted."),
        _(
            "The EncodingAESKey here and the one in WeChat's console differ. Copy the "
            "one of this channel there once more."
        ),
    ),
}
STATUS_WORDS = {0: "waiting", 1: "applied", 2: "unmatched", 3: "ignored"}


@needs("sends.view_inboundevent")
def events(request: HttpRequest) -> HttpResponse:
    # Without a choice, the channel that WeChat spoke to last.
    channels = list(
        Channel.objects.order_by(F("last_push_at").desc(nulls_last=True), "name")
    )
    wanted = request.GET.get("channel", "")
    channel = next((c for c in channels if str(c.pk) == wanted), None) or (
        channels[0] if channels else None
    )
    status = request.GET.get("status", "")
    status = status if status in {"0", "1", "2", "3"} else ""
    before = request.GET.get("before", "")
    before = before if before.isdecimal() and len(before) < 19 else ""
    rows = _rows(channel, status, before) if channel else []
    more = len(rows) > PAGE
    rows = rows[:PAGE]
    query = {"channel": channel.pk if channel else "", "status": status}
    return page(
        request,
        "sends/events.html",
        _("Events"),
        channels=channels,
        channel=channel,
        status=status,
        statuses=InboundEvent.Status.choices,
        rows=[_told(event) for event in rows],
        refusals=_refusals(channel) if channel else [],
        before=before,
        looked_through=LOOKED_THROUGH,
        next=urlencode({**query, "before": rows[-1].pk}) if more else "",
    )


def _rows(channel: Channel, status: str, before: str) -> list[InboundEvent]:
    found = InboundEvent.objects.filter(channel=channel).defer("payload")
    if before:
        found = found.filter(pk__lt=int(before))
    found = found.order_by("-pk")
    if not status:
        return list(found[: PAGE + 1])
    newest = found.values("pk")[:LOOKED_THROUGH]
    fitting = InboundEvent.objects.filter(pk__in=newest, status=int(status))
    return list(fitting.defer("payload").order_by("-pk")[: PAGE + 1])


def _told(event: InboundEvent) -> dict[str, Any]:
    return {
        "event": event,
        "kind": KINDS.get(event.event, event.event),
        "outcome": _outcome(event.outcome),
        "openid": reporting.mask(event.openid),
        "word": STATUS_WORDS[event.status],
    }


def _outcome(words: str) -> object:
    """Return a receipt's outcome in our words; WeChat's own stand beside it."""
    if words == "success":
        return _("Delivered")
    plain = " ".join(words.replace("failed:", "").split())
    return reporting.UNDELIVERED.get(plain, ("", ""))[0]


def _refusals(channel: Channel) -> list[dict[str, Any]]:
    return [
        {
            "refusal": refusal,
            "title": REFUSALS.get(refusal.reason, (refusal.reason, ""))[0],
            "fix": REFUSALS.get(refusal.reason, ("", ""))[1],
            # English, for the log; what we have words for says the same.
            "words": "" if refusal.reason in REFUSALS else refusal.detail,
        }
        for refusal in CallbackRefusal.objects.filter(channel=channel).order_by(
            "-last_at"
        )
    ]
