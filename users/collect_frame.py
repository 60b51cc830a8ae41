"""What the console's pages of collecting openIDs share."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin

from channels_wechat.models import Channel


class CollectFrame(ModelAdmin):
    """Whoever may see recipients may see how their openIDs are collected."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("users.view_recipient")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def may_bind(self, request: HttpRequest) -> bool:
        """Whether this person may say whose an openID is."""
        return request.user.has_perms(["users.add_recipient", "users.change_recipient"])

    def channel(self, request: HttpRequest, code: str, to: str = "") -> Channel:
        """Return the channel of the address; `to` is the permission it takes, beside
        the one to look. Raises Http404, PermissionDenied."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if to == "bind" and not self.may_bind(request):
            raise PermissionDenied
        if to and to != "bind" and not request.user.has_perm(to):
            raise PermissionDenied
        channel = Channel.objects.filter(code=code).first()
        if channel is None:
            raise Http404
        return channel

    def page(
        self, request: HttpRequest, template: str, title: Any, **context: Any
    ) -> TemplateResponse:
        # Without `opts`: the header would call every page "Login pages".
        frame = {**self.admin_site.each_context(request), "title": title}
        return TemplateResponse(request, template, frame | context)

    def address(self, address: str, view: Any, name: str) -> URLPattern:
        found: URLPattern = path(
            f"<slug:code>/{address}",
            self.admin_site.admin_view(view),
            name=f"users_collect_{name}",
        )
        return found

    def to(self, name: str, channel: Channel) -> HttpResponseRedirect:
        """Lead to one of the channel's pages."""
        url = reverse(f"admin:users_collect_{name}", args=[channel.code])
        return HttpResponseRedirect(url)
