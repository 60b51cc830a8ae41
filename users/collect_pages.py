"""The console's pages of collecting openIDs: ways in, links, and what WeChat wants."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from channels_wechat import recognising
from channels_wechat.models import Channel
from channels_wechat.qr import svg

from . import binding, validators
from .follower_pages import FollowerPages
from .models import FollowerSync, LoginPage, VerificationFile

# An app that hosts subscribe pages lists them there.
SUBSCRIBE_PAGES = "admin:templates_mgmt_subscribepage_changelist"
LIVES = [
    (3600, _("an hour")),
    (86400, _("a day")),
    (604800, _("a week")),
    (2592000, _("30 days")),
]
FILE_BYTES = 200


class LoginPageForm(forms.ModelForm):
    class Meta:
        model = LoginPage
        fields = ("url", "below")


class LinkForm(forms.Form):
    userid = forms.CharField(max_length=64, validators=[validators.userid])
    life_s = forms.TypedChoiceField(coerce=int, choices=LIVES, initial=604800)


class FileForm(forms.Form):
    file = forms.FileField()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        file = cleaned.get("file")
        if file is None:
            return cleaned
        raw = file.read(FILE_BYTES + 1)
        if len(raw) > FILE_BYTES or not raw.isascii():
            raise forms.ValidationError(
                _("WeChat's verification files are shorter than that.")
            )
        validators.verification_file(file.name)
        cleaned["content"] = raw.decode().strip()
        return cleaned


class LoginPageAdmin(FollowerPages):
    """Its list is the overview of all channels; each has a page of its own."""

    def get_urls(self) -> list[URLPattern]:
        overview = self.admin_site.admin_view(self.changelist_view)
        return [
            path("", overview, name="users_loginpage_changelist"),
            self.address("", require_safe(self.channel_view), "channel"),
            self.address("add/", require_POST(self.add_page), "add"),
            self.address("remove/<int:pk>/", require_POST(self.remove), "remove"),
            self.address("link/", self.link_view, "link"),
            self.address("file/", require_POST(self.add_file), "file"),
            *self.follower_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: Any = None
    ) -> HttpResponse:
        """Every channel with its ways; straight to it when there is one only."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        pages = Count("login_pages")
        channels = list(Channel.objects.annotate(pages=pages).order_by("name"))
        if len(channels) == 1:
            return self.to("channel", channels[0])
        syncs = {sync.channel_id: sync for sync in FollowerSync.objects.all()}
        return self.page(
            request,
            "users/collect.html",
            _("Collect openIDs"),
            rows=[(channel, syncs.get(channel.pk)) for channel in channels],
            subscribe_pages_url=_subscribe_pages_url(request),
        )

    def channel_view(self, request: HttpRequest, code: str) -> HttpResponse:
        """How this channel's openIDs come in, and what to enter at WeChat."""
        return self._show(request, self.channel(request, code))

    def _show(
        self, request: HttpRequest, channel: Channel, **more: Any
    ) -> HttpResponse:
        pages = LoginPage.objects.filter(channel=channel)
        bind_url = f"{settings.PUBLIC_URL}{reverse('bind', args=[channel.code])}"
        first = pages.first()
        target = first.url if first else "https://www.example.com/login"
        query = urlencode({"redirect_uri": target, "state": "123"})
        context = {
            "channel": channel,
            "login_pages": pages,
            "bind_example": f"{bind_url}?{query}",
            "exchange_url": f"{settings.PUBLIC_URL}/api/bindings/exchange/",
            "host": urlsplit(settings.PUBLIC_URL).netloc,
            "files": VerificationFile.objects.all(),
            "is_test": recognising.was_found(channel),
            "lives": LIVES,
            "chosen_life": LIVES[2][0],
            "may_add": request.user.has_perm("users.add_loginpage"),
            "may_remove": request.user.has_perm("users.delete_loginpage"),
            "may_bind": self.may_bind(request),
            "subscribe_pages_url": _subscribe_pages_url(request),
        }
        title = f"{gettext('Collect openIDs')} · {channel.name}"
        return self.page(request, "users/collect_channel.html", title, **context | more)

    def link_view(self, request: HttpRequest, code: str) -> HttpResponse:
        """Make a link that binds; shown once, in the answer to the form."""
        channel = self.channel(request, code, to="bind")
        if request.method != "POST":
            return self.to("channel", channel)
        form = LinkForm(request.POST)
        if not form.is_valid():
            return self._show(request, channel, link_form=form)
        life_s, userid = form.cleaned_data["life_s"], form.cleaned_data["userid"]
        url = binding.link_url(channel, userid, timedelta(seconds=life_s))
        link = {"url": url, "qr": svg(url), "userid": userid}
        return self._show(request, channel, link=link, chosen_life=life_s)

    def add_page(self, request: HttpRequest, code: str) -> HttpResponse:
        channel = self.channel(request, code, to="users.add_loginpage")
        form = LoginPageForm(request.POST, instance=LoginPage(channel=channel))
        if not form.is_valid():
            return self._show(request, channel, page_form=form)
        made: LoginPage = form.save(commit=False)
        if LoginPage.objects.filter(channel=channel, url=made.url).exists():
            messages.warning(request, gettext("This page is registered already."))
            return self.to("channel", channel)
        made.created_by = request.user  # type: ignore[assignment]  # never anonymous
        made.save()
        messages.success(request, gettext("The login page is registered."))
        return self.to("channel", channel)

    def remove(self, request: HttpRequest, code: str, pk: int) -> HttpResponse:
        channel = self.channel(request, code, to="users.delete_loginpage")
        get_object_or_404(LoginPage, channel=channel, pk=pk).delete()
        messages.success(request, gettext("Nobody is sent back there any more."))
        return self.to("channel", channel)

    def add_file(self, request: HttpRequest, code: str) -> HttpResponse:
        """Keep a file WeChat wants to find at the root of our domain."""
        channel = self.channel(request, code, to="users.add_loginpage")
        form = FileForm(request.POST, request.FILES)
        if not form.is_valid():
            for sentences in form.errors.values():
                messages.error(request, str(sentences[0]))
            return self.to("channel", channel)
        VerificationFile.objects.update_or_create(
            name=form.cleaned_data["file"].name,
            defaults={"content": form.cleaned_data["content"]},
        )
        messages.success(
            request,
            gettext("WeChat finds the file now. Press Save in WeChat's console."),
        )
        return self.to("channel", channel)


def _subscribe_pages_url(request: HttpRequest) -> str:
    if not request.user.has_perm("templates_mgmt.view_subscribepage"):
        return ""
    try:
        return reverse(SUBSCRIBE_PAGES)
    except NoReverseMatch:
        return ""
