"""The console's pages of the third-party platform, and of connecting by a scan."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from . import checking, links, platforms
from .models import (
    Authorization,
    Avatar,
    Channel,
    PlatformEvent,
    PlatformLink,
)
from .platform_checking import (
    SETS,
    check_platform,
    event_url,
    message_url,
    platform_findings,
)
from .platform_tokens import ask_for_tickets
from .platform_views import go_on, let_wechat_see_us, told, ways
from .wechat.errors import WeChatError, error_for

VIEW, CHANGE = "channels_wechat.view_platform", "channels_wechat.change_platform"
ADD_CHANNEL = "channels_wechat.add_channel"
CHANGE_CHANNEL = "channels_wechat.change_channel"
EVENTS_SHOWN = 50
LEVELS = {"ok": _("All right"), "warn": _("Look here"), "bad": _("Does not work")}
CHECKS = {
    "settings": _("Settings"),
    "ticket": _("Ticket"),
    "token": _("Component token"),
    "address": _("Address"),
}


class PlatformAdmin(ModelAdmin):
    """One page: how the platform stands, what to enter where, and its log."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        def page(address: str, view: Any, name: str) -> Any:
            name = f"channels_wechat_platform_{name}"
            return path(address, self.admin_site.admin_view(view), name=name)

        return [
            page("", require_safe(self.page), "changelist"),
            page("live/", require_safe(self.live), "live"),
            page("check/", require_POST(self.check_now), "check"),
            page("start/", require_POST(self.start), "start"),
        ]

    def page(self, request: HttpRequest) -> HttpResponse:
        _demand(request, VIEW)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Third-party platform"),
            **self._told(request),
            "component_appid": settings.WECHATTPP_COMPONENT_APP_ID,
            "event_url": event_url(),
            "message_url": message_url(),
            "host": settings.PUBLIC_URL.partition("//")[2],
            "server_ips": settings.SERVER_IPS,
            "sets": _sets(),
            # Secrets, as a channel's own are: to those who may change it.
            "verify_token": settings.WECHATTPP_ENCODING_TOKEN,
            "aes_keys": settings.WECHATTPP_ENCODING_AES_KEYS,
        }
        return TemplateResponse(request, "channels_wechat/platform.html", context)

    def live(self, request: HttpRequest) -> HttpResponse:
        _demand(request, VIEW)
        return TemplateResponse(
            request, "channels_wechat/_platform_live.html", self._told(request)
        )

    def check_now(self, request: HttpRequest) -> HttpResponse:
        _demand(request, CHANGE)
        bad = sum(finding.level == "bad" for finding in check_platform())
        if bad:
            messages.error(request, gettext("Not everything works: see below."))
        else:
            messages.success(request, gettext("The platform works."))
        return _to_platform()

    def start(self, request: HttpRequest) -> HttpResponse:
        """Ask WeChat to push tickets."""
        _demand(request, CHANGE)
        if not platforms.is_set_up():
            raise Http404
        try:
            ask_for_tickets(platforms.current())
        except WeChatError as error:
            refusal = checking.refusal(error)
            messages.error(request, f"{refusal.detail} {refusal.fix}")
        else:
            messages.success(
                request,
                gettext("WeChat pushes the next ticket within ten minutes."),
            )
        return _to_platform()

    def _told(self, request: HttpRequest) -> dict[str, Any]:
        is_set_up = platforms.is_set_up()
        events = PlatformEvent.objects.none()
        if is_set_up:
            events = PlatformEvent.objects.filter(platform=platforms.current())
        return {
            "is_set_up": is_set_up,
            "platform": platforms.current() if is_set_up else None,
            "findings": [
                {
                    **finding._asdict(),
                    "name": CHECKS.get(finding.check, finding.check),
                    "label": LEVELS[finding.level],
                }
                for finding in platform_findings()
            ],
            "events": [
                _event(event)
                for event in events.order_by("-last_at", "-pk")[:EVENTS_SHOWN]
            ],
            "may_change": request.user.has_perm(CHANGE),
        }


def _event(event: PlatformEvent) -> dict[str, Any]:
    """Return a line of the log with what WeChat's number means."""
    refusal = None
    if event.kind == PlatformEvent.Kind.ERROR:
        refusal = checking.refusal(error_for(event.errcode, event.detail))
    return {"row": event, "refusal": refusal}


def _sets() -> list[dict[str, Any]]:
    """Return the permission sets to choose for the platform."""
    needs = [
        *((one, "required", _("Required")) for one in platforms.REQUIRED),
        *((one, "recommended", _("Recommended")) for one in platforms.RECOMMENDED),
        *((one, "optional", _("If wanted")) for one in platforms.OPTIONAL),
    ]
    return [
        {"id": one, "name": gettext(SETS[one][0]), "need": need, "label": label}
        for one, need, label in needs
    ]


def grant_of(channel: Channel) -> dict[str, Any]:
    """Return what a channel's page says of its authorisation."""
    granted = Authorization.objects.filter(channel=channel).first()
    shown: dict[str, Any] = {"may_scan": platforms.is_set_up(), "grant": None}
    if not channel.is_authorised or granted is None:
        return shown
    have = set(granted.permission_sets)
    rows = []
    for each in _sets():
        has = bool(have & set(platforms.SETS[each["id"]]))
        level = "ok" if has else "bad" if each["need"] == "required" else "warn"
        if has or each["need"] != "optional":
            word = gettext("Granted") if has else gettext("Missing")
            stops = SETS[each["id"]][1]
            lacks = "" if has else gettext(stops)
            rows.append({**each, "level": level, "has": word, "lacks": lacks})
    return {
        **shown,
        "grant": granted,
        "granted_sets": rows,
        "other_sets": sorted(
            have - {n for ids in platforms.SETS.values() for n in ids}
        ),
        "has_avatar": Avatar.objects.filter(channel=channel).exists(),
    }


# -- connecting by a scan --------------------------------------------------------------


class LinkForm(forms.Form):
    """The channel to be."""

    code = forms.CharField(
        label=_("code"),
        max_length=32,
        validators=Channel._meta.get_field("code").validators[:1],
        help_text=_("Letters and digits. The key in uploads; fixed once used."),
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )
    name = forms.CharField(
        label=_("name"),
        max_length=30,
        required=False,
        help_text=_("Leave empty to take the account's own name."),
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        if Channel.objects.filter(code=code).exists():
            raise forms.ValidationError(
                _(
                    "Another channel has this code. To authorise it again, use the "
                    "button on its page."
                )
            )
        return code

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if problem := links.name_problem(name, None):
            raise forms.ValidationError(problem)
        return name


def scan_urls(site: admin.AdminSite) -> list[URLPattern]:
    """Return the addresses below the channels' list; names as in `reverse` here."""

    def page(address: str, view: Any, name: str) -> Any:
        name = f"channels_wechat_channel_{name}"
        return path(address, site.admin_view(view), name=name)

    return [
        page("scan/", new_link, "scan"),
        page("scan/<str:token>/", require_safe(link_page), "scan_link"),
        page("scan/<str:token>/live/", require_safe(link_live), "scan_live"),
        page("<int:pk>/authorise/", require_POST(authorise_again), "authorise"),
        page("<int:pk>/avatar/", require_safe(avatar), "avatar"),
    ]


def new_link(request: HttpRequest) -> HttpResponse:
    """Ask for code and name; then on to the page with the QR code."""
    _demand(request, ADD_CHANNEL)
    form = LinkForm(request.POST if request.method == "POST" else None)
    if platforms.is_set_up() and form.is_valid():
        link = links.make_link(**form.cleaned_data, by=_user(request))
        return _to_link(link)
    context = {
        **_frame(request),
        "title": gettext("Connect by scan"),
        "form": form,
        "is_set_up": platforms.is_set_up(),
        "may_see_platform": request.user.has_perm(VIEW),
    }
    return TemplateResponse(request, "channels_wechat/scan_new.html", context)


def authorise_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a link for a channel that exists."""
    _demand(request, CHANGE_CHANNEL)
    channel = get_object_or_404(Channel, pk=pk)
    if not platforms.is_set_up():
        raise Http404
    return _to_link(
        links.make_link(channel.code, channel.name, channel, _user(request))
    )


def link_page(request: HttpRequest, token: str) -> HttpResponse:
    """The QR code, both ways to WeChat's page, and the result as it comes."""
    link = _link(request, token)
    context = {
        **_frame(request),
        "title": gettext("Connect by scan"),
        **told(link),
        **ways(link, reverse("admin:channels_wechat_channel_scan_live", args=[token])),
        "may_see_channel": True,
    }
    response = TemplateResponse(request, "channels_wechat/scan_link.html", context)
    return let_wechat_see_us(response)


def link_live(request: HttpRequest, token: str) -> HttpResponse:
    link = _link(request, token)
    response = TemplateResponse(
        request,
        "channels_wechat/_link_result.html",
        {**told(link), "may_see_channel": True},
    )
    return go_on(response, request, link)


def avatar(request: HttpRequest, pk: int) -> HttpResponse:
    _demand(request, "channels_wechat.view_channel")
    picture = get_object_or_404(Avatar, channel=pk)
    response = HttpResponse(bytes(picture.image), content_type=picture.content_type)
    response["Cache-Control"] = "private, max-age=3600"
    return response


def _link(request: HttpRequest, token: str) -> PlatformLink:
    found = PlatformLink.objects.select_related("channel", "platform")
    link = get_object_or_404(found, token=token)
    if not (
        request.user.has_perm(ADD_CHANNEL)
        or (link.channel_id and request.user.has_perm(CHANGE_CHANNEL))
    ):
        raise PermissionDenied
    return link


def _demand(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied


def _frame(request: HttpRequest) -> dict[str, Any]:
    return {**admin.site.each_context(request), "opts": Channel._meta}


def _user(request: HttpRequest) -> Any:
    return request.user  # never anonymous behind admin_view


def _to_platform() -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:channels_wechat_platform_changelist"))


def _to_link(link: PlatformLink) -> HttpResponseRedirect:
    return HttpResponseRedirect(
        reverse("admin:channels_wechat_channel_scan_link", args=[link.token])
    )
