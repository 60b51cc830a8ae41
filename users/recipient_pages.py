"""The console's pages of recipients: a list to search, a page per person, a form."""

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline

from channels_wechat.console import ConsoleAdmin, NoDetours
from channels_wechat.models import Channel

from .models import OpenID, Recipient, RecipientTag, UserList, UserListEntry

PEOPLE_A_PAGE = 50
# An app that knows what was sent gives this address the inside of a panel.
HISTORY = "admin:sends_recipient_history"


class SearchForm(forms.Form):
    q = forms.CharField(required=False, max_length=64, strip=True)
    channel = forms.ModelChoiceField(Channel.objects.all(), required=False)
    tag = forms.CharField(required=False, max_length=40, strip=True)
    before = forms.IntegerField(required=False, min_value=1, max_value=2**62)
    after = forms.IntegerField(required=False, min_value=0, max_value=2**62)


class OpenIDInline(NoDetours, TabularInline):
    model = OpenID
    fields = ["channel", "openid", "followed"]
    readonly_fields = ["followed"]
    extra = 0
    hide_title = True
    verbose_name = "openID"
    verbose_name_plural = "openID"


class TagInline(TabularInline):
    model = RecipientTag
    fields = ["name"]
    extra = 0
    hide_title = True


class RecipientAdmin(ConsoleAdmin):
    goes_along = _(
        "The person's openIDs and tags go along. What was sent to them stays in the"
        " records."
    )
    fields = ["userid", "phone", "email"]
    inlines = [OpenIDInline, TagInline]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # What was sent keeps the userid as text: another one would lose its history.
        return ["userid"] if obj else []

    def save_formset(
        self, request: HttpRequest, form: Any, formset: Any, change: bool
    ) -> None:
        for one in formset.forms:
            if isinstance(one.instance, OpenID) and "openid" in one.changed_data:
                one.instance.followed = one.instance.followed_at = None
        super().save_formset(request, form, formset, change)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.person_view)
        return [path("<int:pk>/", page, name="users_recipient_page")] + list(
            super().get_urls()
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: Any = None
    ) -> HttpResponse:
        """The list: by index and without counting, whatever the number of people."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = SearchForm(request.GET)
        form.is_valid()
        asked = form.cleaned_data
        people = Recipient.objects.with_bindings()
        if asked.get("tag"):
            people = people.tagged(asked["tag"])
        if asked.get("channel"):
            people = people.bound_to(asked["channel"].pk)
        place = asked.get("before"), asked.get("after"), PEOPLE_A_PAGE
        if asked.get("q"):
            page = people.matching_page(asked["q"], *place)
        else:
            page = people.page(*place)
        query = request.GET.copy()
        query.pop("before", None)
        query.pop("after", None)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Recipients"),
            "page": page,
            "query": query.urlencode(),
            "asked": asked,
            "is_filtered": any(asked.get(name) for name in ("q", "tag", "channel")),
            "channels": Channel.objects.all(),
            # Nobody is known by it, but something may have been sent to it.
            "past_url": _history_url(request, asked.get("q", "")),
            "may_add": self.has_add_permission(request),
            "may_upload": request.user.has_perm("users.add_upload"),
        }
        return TemplateResponse(request, "users/recipients.html", context)

    def person_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Everything about one person."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        person = get_object_or_404(Recipient.objects.with_bindings(), pk=pk)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": person,
            "title": person.userid,
            "person": person,
            "history_url": _history_url(request, person.userid),
            "lists": _lists_with(person.userid)
            if request.user.has_perm("users.view_userlist")
            else [],
            "may_change": self.has_change_permission(request, person),
            "may_delete": self.has_delete_permission(request, person),
        }
        return TemplateResponse(request, "users/recipient.html", context)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: Any = None
    ) -> HttpResponse:
        return self._after(request, obj, super().response_add(request, obj))

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return self._after(request, obj, super().response_change(request, obj))

    def _after(
        self, request: HttpRequest, person: Recipient, usual: HttpResponse
    ) -> HttpResponse:
        """Lead to the person's page, unless the operator wants to go on editing."""
        if "_continue" in request.POST or "_addanother" in request.POST:
            return usual
        if not isinstance(usual, HttpResponseRedirect):
            return usual
        return HttpResponseRedirect(
            reverse("admin:users_recipient_page", args=[person.pk])
        )


def _history_url(request: HttpRequest, userid: str) -> str:
    if not userid or not request.user.has_perm("sends.view_send"):
        return ""
    try:
        return reverse(HISTORY, args=[userid])
    except NoReverseMatch:
        return ""


def _lists_with(userid: str) -> QuerySet[UserList]:
    """Return the lists that the userid is on; each is asked by its index."""
    entry = UserListEntry.objects.filter(list=OuterRef("pk"), userid=userid)
    return UserList.objects.filter(Exists(entry)).order_by("name")
