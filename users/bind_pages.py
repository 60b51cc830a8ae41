"""`/bind/{channel code}`: visitors go through WeChat and come back with an openID.

Two ways: back to a registered login page of the enterprise with a ticket
(`?redirect_uri=…&state=…`), or a link that already carries the userid (`?link=…`).
Pages for everybody: they say what to do and nothing about how we are set up.
"""

import logging
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from channels_wechat import visitors
from channels_wechat.models import Channel
from channels_wechat.qr import svg
from channels_wechat.wechat.errors import WeChatError
from channels_wechat.wechat.web_authorisation import CodeRefused

from . import addresses, binding, visits
from .models import LoginPage, VerificationFile

log = logging.getLogger(__name__)
MAX_STATE = 512


@never_cache
@require_safe
def start(request: HttpRequest, code: str) -> HttpResponse:
    """Send a visitor to WeChat, if what they come for is allowed."""
    channel = _channel(code)
    if not channel.enabled:
        return _closed(request, channel)
    purpose, problem = _purpose(request, channel)
    if purpose is None:
        return _refusal(request, channel, problem)
    if not visitors.is_in_wechat(request):
        query = request.META.get("QUERY_STRING", "")
        return _said(
            request,
            channel,
            "wait",
            _("Please open this page in WeChat"),
            _("Scan the code with WeChat, or send yourself the address and tap it."),
            qr=svg(f"{settings.PUBLIC_URL}{request.path}?{query}".rstrip("?")),
        )
    state, cookie = visits.begin(channel, purpose)
    back = settings.PUBLIC_URL + reverse("bind-back", args=[channel.code])
    response = HttpResponseRedirect(visitors.address_to_ask(channel, back, state))
    visits.set_cookie(response, cookie)
    return response


@never_cache
@require_safe
def back(request: HttpRequest, code: str) -> HttpResponse:
    """Take a visitor back from WeChat: whoever they are, they are it once."""
    channel = _channel(code)
    if not channel.enabled:
        return _closed(request, channel)
    state = request.GET.get("state", "")
    try:
        purpose = visits.finish(channel, request, state)
    except visits.StateRefused as refused:
        log.info("refused a state channel=%s reason=%s", channel.code, refused.reason)
        return _refusal(request, channel, refused.reason)
    response = _arrived(request, channel, purpose)
    visits.forget_cookie(response, state)
    return response


@require_safe
def verification_file(request: HttpRequest, name: str) -> HttpResponse:
    """What WeChat looks for at the root of a domain before an account may use it."""
    row = get_object_or_404(VerificationFile, name=name)
    return HttpResponse(row.content, content_type="text/plain; charset=utf-8")


def _arrived(
    request: HttpRequest, channel: Channel, purpose: visits.Purpose
) -> HttpResponse:
    try:
        visitor = visitors.visitor(channel, request.GET.get("code", ""))
    except CodeRefused:
        return _refusal(request, channel, "used", again=_again(channel, purpose))
    except WeChatError as error:
        log.warning("no visitor channel=%s error=%s", channel.code, error)
        return _said(
            request,
            channel,
            "wait",
            _("WeChat did not answer"),
            _("Please try again in a moment."),
            again=_again(channel, purpose),
            status=502,
        )
    if visitor.is_snapshot:
        return _said(
            request,
            channel,
            "wait",
            _("You are looking at a snapshot of this page"),
            _("WeChat does not say who you are here."),
            fix=_(
                "Tap “Use full service” at the bottom of the screen (前往使用完整服务),"
                " then open the page again."
            ),
            again=_again(channel, purpose),
            status=403,
        )
    if purpose.link:
        return _bound(request, channel, purpose, visitor.openid)
    # It may have been taken off the list in these minutes.
    if not is_login_page(channel, purpose.login_page):
        return _refusal(request, channel, "unregistered")
    more = {"state": purpose.their_state} if purpose.their_state else {}
    ticket = binding.issue_ticket(channel, visitor.openid)
    target = addresses.with_query(purpose.login_page, ticket=ticket, **more)
    return _Elsewhere(target)


def _bound(
    request: HttpRequest, channel: Channel, purpose: visits.Purpose, openid: str
) -> HttpResponse:
    try:
        link = binding.read_link(channel, purpose.link)
        binding.follow(channel, link, openid)
    except binding.LinkRefused as refused:
        return _refusal(request, channel, f"link_{refused.reason}")
    log.info("bound by link channel=%s", channel.code)
    return _said(
        request,
        channel,
        "ok",
        _("Bound"),
        _("From now on %(account)s can send you messages here.")
        % {"account": channel.name},
        fix=_("Follow the account, if you do not yet. You may close this page."),
    )


def is_login_page(channel: Channel, url: str) -> bool:
    """Whether visitors of the channel may be sent back there."""
    pages = LoginPage.objects.filter(channel=channel).values_list("url", "below")
    return any(addresses.fits(url, known, below) for known, below in pages)


def _purpose(
    request: HttpRequest, channel: Channel
) -> tuple[visits.Purpose | None, str]:
    """Return what the visitor comes for, or why not."""
    if link := request.GET.get("link", ""):
        try:
            binding.read_link(channel, link)
        except binding.LinkRefused as refused:
            return None, f"link_{refused.reason}"
        return visits.Purpose(link=link), ""
    target = request.GET.get("redirect_uri", "")
    if not target:
        # With one page registered there is nothing to choose.
        only = list(LoginPage.objects.filter(channel=channel)[:2])
        if len(only) != 1:
            return None, "no_target"
        target = only[0].url
    if not is_login_page(channel, target):
        return None, "unregistered"
    their_state = request.GET.get("state", "")
    if len(their_state) > MAX_STATE:
        return None, "long_state"
    return visits.Purpose(login_page=target, their_state=their_state), ""


def _again(channel: Channel, purpose: visits.Purpose) -> str:
    """Return the address that begins the same visit anew."""
    start_at = reverse("bind", args=[channel.code])
    given = {
        "link": purpose.link,
        "redirect_uri": purpose.login_page,
        "state": purpose.their_state,
    }
    return addresses.with_query(start_at, **{k: v for k, v in given.items() if v})


def _channel(code: str) -> Channel:
    channel = Channel.objects.filter(code=code).first()
    if channel is None:
        raise Http404
    return channel


class _Elsewhere(HttpResponseRedirect):
    """To a page of the enterprise; its referrer is nobody's business."""

    allowed_schemes = ["http", "https"]

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self["Referrer-Policy"] = "no-referrer"


def _closed(request: HttpRequest, channel: Channel) -> HttpResponse:
    return _said(
        request,
        channel,
        "wait",
        _("This account takes a break"),
        _("Please come back later."),
        status=503,
    )


def _refusal(
    request: HttpRequest, channel: Channel, reason: str, again: str = ""
) -> HttpResponse:
    title, text, status = _reasons()[reason]
    return _said(request, channel, "no", title, text, again=again, status=status)


def _reasons() -> dict[str, tuple[str, str, int]]:
    """Return {reason: (title, text, HTTP status)}."""
    anew = _("Open the page again from where you came.")
    ask = _("Please ask whoever gave you this link for a new one.")
    return {
        "forged": (_("This address is not ours"), anew, 403),
        "expired": (_("That took too long"), anew, 403),
        "stolen": (_("This was begun on another device"), anew, 403),
        "used": (_("This page was opened before"), anew, 403),
        "link_forged": (_("This link is damaged"), ask, 403),
        "link_expired": (_("This link has expired"), ask, 403),
        "link_used": (_("Somebody has used this link"), ask, 403),
        "unregistered": (
            _("This address is not registered"),
            _(
                "For the operator: visitors are only sent back to login pages that are"
                " registered for this channel in JUMS."
            ),
            400,
        ),
        "no_target": (
            _("This address is not complete"),
            _("For the operator: it needs redirect_uri, or a link with a userid."),
            400,
        ),
        "long_state": (
            _("This address is not complete"),
            _("For the operator: state has more than 512 characters."),
            400,
        ),
    }


def _said(
    request: HttpRequest,
    channel: Channel,
    mark: str,
    title: str,
    text: str,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    context = {
        "mark": mark,
        "account": channel.name,
        "title": title,
        "text": text,
        **more,
    }
    return render(request, "public/said.html", context, status=status)
