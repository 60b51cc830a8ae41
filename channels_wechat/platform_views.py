"""The third-party platform's addresses outside the console: where WeChat pushes its
events, and where people authorise an account. See sends.api.platform_callbacks for the
messages of authorised accounts."""

import ipaddress

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from . import authorising, checking, granting, links, platforms, qr
from .models import Platform, PlatformEvent, PlatformLink
from .wechat.callbacks import MAX_BODY_BYTES, PushRefused, verify_url
from .wechat.component_events import open_event
from .wechat.errors import WeChatError, error_for

MAX_CODE = 512


@csrf_exempt
@require_http_methods(["GET", "POST"])
def event(request: HttpRequest) -> HttpResponse:
    """The authorisation event URL: tickets, authorisations, withdrawals."""
    platform = set_up_platform()
    if request.method == "GET":
        return echo(request, platform)
    body = request.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        return HttpResponse("too_large", status=413, content_type="text/plain")
    try:
        found = open_event(
            body,
            request.GET.dict(),
            token=settings.WECHATTPP_ENCODING_TOKEN,
            aes_keys=settings.WECHATTPP_ENCODING_AES_KEYS,
            component_appid=platform.component_appid,
            now=timezone.now(),
        )
    except PushRefused as refusal:
        return refuse(request, platform, refusal)
    authorising.take(platform, found)
    hear(platform)
    return HttpResponse("success", content_type="text/plain")


def set_up_platform() -> Platform:
    """Return this installation's platform; Http404 without one."""
    if not platforms.is_set_up():
        raise Http404
    return platforms.current()


def echo(request: HttpRequest, platform: Platform) -> HttpResponse:
    """Answer WeChat's look at one of our two addresses."""
    try:
        text = verify_url(request.GET.dict(), settings.WECHATTPP_ENCODING_TOKEN)
    except PushRefused as refusal:
        return refuse(request, platform, refusal)
    hear(platform)
    return HttpResponse(text, content_type="text/plain")


def hear(platform: Platform) -> None:
    Platform.objects.filter(pk=platform.pk).update(heard_at=timezone.now())


def refuse(
    request: HttpRequest, platform: Platform, refusal: PushRefused, appid: str = ""
) -> HttpResponse:
    """Answer 403 to a push that is not believed, with a line in the platform's log."""
    platforms.note(
        platform,
        PlatformEvent.Kind.REFUSED_PUSH,
        appid=appid,
        detail=str(refusal),
        ip=_ip(request.META.get("REMOTE_ADDR", "")),
    )
    return HttpResponse(refusal.reason, status=403, content_type="text/plain")


def _ip(address: str) -> str | None:
    """Return the address if it is one: behind a socket there is none."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return None


# -- for people ------------------------------------------------------------------------


@require_safe
@never_cache
def come_back(request: HttpRequest, state: str) -> HttpResponse:
    """WeChat's page sends the browser here with an authorisation code."""
    link = _link(state)
    code = request.GET.get("auth_code", "")
    expires_in = request.GET.get("expires_in", "")
    life_s = int(expires_in) if expires_in.isdecimal() else 0
    if code and len(code) <= MAX_CODE and code.isprintable():
        authorising.come_back(link, code, min(life_s or 600, 3600))
    # On to a page without the code in its address.
    response = HttpResponseRedirect(reverse("platform-link", args=[state]))
    response["Referrer-Policy"] = "no-referrer"
    return response


@require_safe
@never_cache
def link_page(request: HttpRequest, state: str) -> HttpResponse:
    """The page to authorise on: open to whoever has its address."""
    link = _link(state)
    context = {
        **told(link),
        **ways(link, reverse("platform-link-live", args=[state])),
        "user_agent_is_wechat": "MicroMessenger"
        in request.headers.get("User-Agent", ""),
        "may_see_channel": request.user.has_perm("channels_wechat.view_channel"),
    }
    response = TemplateResponse(request, "channels_wechat/link.html", context)
    return let_wechat_see_us(response)


@require_safe
@never_cache
def link_live(request: HttpRequest, state: str) -> HttpResponse:
    """What the page shows of the result, asked for every second or two."""
    link = _link(state)
    response = TemplateResponse(
        request,
        "channels_wechat/_link_result.html",
        {
            **told(link),
            "may_see_channel": request.user.has_perm("channels_wechat.view_channel"),
        },
    )
    return go_on(response, request, link)


def go_on(
    response: TemplateResponse, request: HttpRequest, link: PlatformLink
) -> TemplateResponse:
    """Say what the page does next: open itself anew when its buttons lead nowhere any
    more, and nothing once it is done and has none."""
    shown = request.GET.get("code", "")
    done = link.state == PlatformLink.State.DONE
    if shown and (done or links.is_stale(link, shown)):
        response["X-Live"] = "reload"
    elif done:
        response["X-Live"] = "stop"
    return response


def let_wechat_see_us(response: TemplateResponse) -> TemplateResponse:
    """WeChat opens its page only from a page of the login domain: it reads the Referer,
    which Django's default policy would not send."""
    response["Referrer-Policy"] = "origin"
    return response


def told(link: PlatformLink) -> dict[str, object]:
    """Return how a link stands, in this reader's language."""
    refused = None
    if link.errmsg:
        refused = checking.refusal(error_for(link.errcode, link.errmsg))
    problem = granting.PROBLEMS.get(link.problem)
    return {
        "link": link,
        "refused": refused,
        "problem": _(problem) if problem else "",
        "is_over": link.expires_at <= timezone.now(),
    }


def ways(link: PlatformLink, live_url: str) -> dict[str, object]:
    """Return the ways to WeChat's page, or why there are none now, and what the page
    asks for to stay fresh."""
    if not links.is_open(link):
        return {"addresses": None, "live_url": live_url}
    page = links.page_url(link)
    try:
        addresses = links.addresses(link)
    except WeChatError as error:
        no_way = checking.refusal(error)
        return {"addresses": None, "no_way": no_way, "live_url": live_url}
    return {
        "addresses": addresses,
        "page_url": page,
        "qr": qr.svg(page),
        "live_url": f"{live_url}?code={addresses.code}",
    }


def _link(state: str) -> PlatformLink:
    link = links.find(state)
    if link is None or not platforms.is_set_up():
        raise Http404
    return link
