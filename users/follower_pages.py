"""The console's quick test plan: who follows, who has just followed, whose openID."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from channels_wechat import checking, recognising
from channels_wechat.models import Channel
from channels_wechat.wechat.errors import error_for

from . import binding, followers, rows, validators
from .collect_frame import CollectFrame
from .models import Follower, FollowerSync, OpenID
from .waking import wake_sync

A_PAGE = 50
ARRIVALS = 20


class BindForm(forms.Form):
    openid = forms.CharField(max_length=64, validators=[validators.openid])
    userid = forms.CharField(max_length=64, validators=[validators.userid])


def openid_in(text: str) -> str:
    """Return the openID in what was pasted: the address of a chat in WeChat's console,
    whose `tofakeid` it is, or an openID alone. "" when there is none."""
    text = text.strip()
    if rows.is_openid(text):
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    # Some consoles keep their parameters behind the #.
    for query in (parts.query, parts.fragment.partition("?")[2]):
        for value in parse_qs(query).get("tofakeid", []):
            if rows.is_openid(value):
                return value
    loose = re.search(r"tofakeid=([\w-]{28})(?![\w-])", text, re.A)
    return loose[1] if loose and rows.is_openid(loose[1]) else ""


class FollowerPages(CollectFrame):
    """`{code}/followers/` and what its buttons do."""

    def follower_urls(self) -> list[URLPattern]:
        return [
            self.address("followers/", require_safe(self.followers_view), "followers"),
            self.address("followers/sync/", require_POST(self.sync_view), "sync"),
            self.address("followers/live/", require_safe(self.sync_live), "sync_live"),
            self.address("followers/watch/", require_POST(self.watch_view), "watch"),
            self.address(
                "followers/arrivals/", require_safe(self.arrivals_live), "arrivals"
            ),
            self.address("followers/paste/", require_POST(self.paste_view), "paste"),
            self.address("followers/bind/", require_POST(self.bind_view), "bind"),
        ]

    def followers_view(self, request: HttpRequest, code: str) -> HttpResponse:
        """The quick test plan of a channel, and who of its followers is nobody's."""
        return self._plan(request, self.channel(request, code))

    def _plan(
        self, request: HttpRequest, channel: Channel, **more: Any
    ) -> HttpResponse:
        sync = _sync(channel)
        before = request.GET.get("before", "")
        unbound = Follower.objects.following(channel.pk).unbound().order_by("-pk")
        if before.isdecimal() and len(before) < 19:
            unbound = unbound.filter(pk__lt=int(before))
        found = list(unbound[: A_PAGE + 1])
        is_test = recognising.was_found(channel) or recognising.is_test_limit(
            sync.daily_limit
        )
        context = {
            **self._live(request, channel, sync),
            "unbound": found[:A_PAGE],
            "next_before": found[A_PAGE - 1].pk if len(found) > A_PAGE else 0,
            "is_first_page": not before,
            "cannot": recognising.cannot() if is_test else [],
            "may_bind": self.may_bind(request),
        }
        return self.page(
            request,
            "users/followers.html",
            gettext("Quick test plan"),
            **context | more,
        )

    def _live(
        self, request: HttpRequest, channel: Channel, sync: FollowerSync
    ) -> dict[str, Any]:
        refused = None
        if sync.errcode is not None or sync.errmsg:
            refused = checking.refusal(error_for(sync.errcode, sync.errmsg))
        arrived = followers.arrivals(sync, ARRIVALS)
        userids = _userids(channel, [row.openid for row in arrived])
        return {
            "channel": channel,
            "sync": sync,
            "refused": refused,
            "calls": followers.pages_needed(sync.total),
            "arrivals": [(row, userids.get(row.openid, [])) for row in arrived],
            "hears": channel.last_push_at is not None,
            "may_bind": self.may_bind(request),
        }

    def sync_view(self, request: HttpRequest, code: str) -> HttpResponse:
        channel = self.channel(request, code, to="bind")
        if not channel.enabled:
            messages.warning(request, gettext("The channel is disabled."))
        elif "go_on" in request.POST:
            followers.go_on(channel)
        elif not followers.begin(channel):
            messages.info(request, gettext("The list is being read already."))
        wake_sync(channel.pk)
        return self.to("followers", channel)

    def sync_live(self, request: HttpRequest, code: str) -> HttpResponse:
        """The moving part of the list's progress; at its end the page is loaded."""
        channel = self.channel(request, code)
        sync = _sync(channel)
        response = TemplateResponse(
            request, "users/_sync.html", self._live(request, channel, sync)
        )
        if not sync.is_open:
            response["X-Live"] = "reload"
        return response

    def watch_view(self, request: HttpRequest, code: str) -> HttpResponse:
        channel = self.channel(request, code, to="bind")
        followers.watch(channel)
        url = reverse("admin:users_collect_followers", args=[channel.code])
        return HttpResponseRedirect(f"{url}#watch")

    def arrivals_live(self, request: HttpRequest, code: str) -> HttpResponse:
        """Who has followed since the watch began. Its buttons belong to a form beside
        it, where somebody may be typing a userid while this is replaced."""
        channel = self.channel(request, code)
        context = self._live(request, channel, _sync(channel))
        return TemplateResponse(request, "users/_arrivals.html", context)

    def paste_view(self, request: HttpRequest, code: str) -> HttpResponse:
        """Take the openID out of a chat's address. The address holds the operator's own
        session at WeChat: it is neither kept nor shown again."""
        channel = self.channel(request, code, to="bind")
        openid = openid_in(request.POST.get("address", "")[:4000])
        if not openid:
            messages.error(
                request,
                gettext("There is no tofakeid with an openID in what you pasted."),
            )
            return self.to("followers", channel)
        userids = _userids(channel, [openid]).get(openid, [])
        pasted = {"openid": openid, "userids": userids}
        return self._plan(request, channel, pasted=pasted)

    def bind_view(self, request: HttpRequest, code: str) -> HttpResponse:
        channel = self.channel(request, code, to="bind")
        form = BindForm(request.POST)
        if not form.is_valid():
            for sentences in form.errors.values():
                messages.error(request, str(sentences[0]))
        else:
            userid, openid = form.cleaned_data["userid"], form.cleaned_data["openid"]
            bound = binding.bind(channel, userid, openid)
            messages.success(request, _told(bound, userid))
        url = reverse("admin:users_collect_followers", args=[channel.code])
        before = request.POST.get("before", "")
        query = urlencode({"before": before}) if before.isdecimal() else ""
        return HttpResponseRedirect(f"{url}?{query}".rstrip("?"))


def _sync(channel: Channel) -> FollowerSync:
    found = FollowerSync.objects.filter(channel=channel).first()
    return found or FollowerSync(channel=channel)


def _userids(channel: Channel, openids: list[str]) -> dict[str, list[str]]:
    """Return {openid: userids} of those that are bound."""
    found: dict[str, list[str]] = {}
    bound = OpenID.objects.filter(channel=channel, openid__in=openids).order_by("pk")
    for openid, userid in bound.values_list("openid", "recipient__userid"):
        found.setdefault(openid, []).append(userid)
    return found


def _told(bound: binding.Bound, userid: str) -> str:
    """Return what binding did, for the operator."""
    sentence = {
        "new": gettext("%(userid)s is bound."),
        "replaced": gettext("%(userid)s is bound; the former openID is replaced."),
        "unchanged": gettext("%(userid)s was bound to this openID already."),
    }[bound.outcome] % {"userid": userid}
    if bound.others:
        also = gettext("The same openID also belongs to %(userids)s.")
        sentence += " " + also % {"userids": ", ".join(bound.others)}
    return sentence
