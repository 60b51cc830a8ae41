"""The console's pages of WeChat's template library: look, pick, add, remove."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.core.validators import RegexValidator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_wechat import checking
from channels_wechat.models import Channel
from channels_wechat.wechat.errors import WeChatError, WeChatUnavailable
from channels_wechat.wechat.library import (
    MAX_KEYWORDS,
    MAX_SCENE,
    MIN_KEYWORDS,
    Keyword,
    Title,
)

from . import library
from .hints import hint
from .models import GeneralTemplate, Template

ADD = "templates_mgmt.add_template"
REMOVE = "templates_mgmt.delete_template"
PAGE = 30


class LibraryQuery(forms.Form):
    """Which titles to show; nonsense is no filter."""

    category = forms.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    q = forms.CharField(required=False, max_length=100)
    start = forms.IntegerField(required=False, min_value=0, max_value=10**6)

    def asked(self) -> dict[str, Any]:
        self.is_valid()
        names = ("category", "q", "start")
        return {name: self.cleaned_data.get(name) for name in names}


class PickForm(forms.Form):
    """A title's keywords, in the order of the message, and when people get it."""

    kid = forms.TypedMultipleChoiceField(coerce=int)
    scene = forms.CharField(max_length=MAX_SCENE)

    def __init__(self, offered: Iterable[Keyword], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(keyword.kid, keyword.name) for keyword in offered]
        self.fields["kid"].choices = choices  # type: ignore[attr-defined]

    def clean_kid(self) -> list[int]:
        kids: list[int] = self.cleaned_data["kid"]
        if not MIN_KEYWORDS <= len(set(kids)) == len(kids) <= MAX_KEYWORDS:
            raise forms.ValidationError(_("Choose two to five keywords."))
        return kids


class NumberForm(forms.Form):
    """A template message's number in the library, and its keywords by name."""

    number = forms.CharField(
        max_length=40,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9]+\Z", gettext_lazy("Letters and digits only, please.")
            )
        ],
    )
    keywords = forms.CharField(max_length=500)

    def clean_keywords(self) -> list[str]:
        lines = self.cleaned_data["keywords"].splitlines()
        names = [line.strip() for line in lines if line.strip()]
        if not 1 <= len(set(names)) == len(names) <= MAX_KEYWORDS:
            problem = _("One to five keywords, one a line, each once.")
            raise forms.ValidationError(problem)
        return names


def urls(site: AdminSite) -> list[URLPattern]:
    """Return the addresses of these pages, below those of the templates."""

    def page(address: str, view: Any, name: str) -> URLPattern:
        def with_site(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            response: HttpResponse = view(request, site, **kwargs)
            return response

        return path(address, site.admin_view(with_site), name=f"templates_mgmt_{name}")

    return [
        page("library/<int:channel_pk>/", show_library, "library"),
        page("library/<int:channel_pk>/number/", add_by_number, "library_number"),
        page("library/<int:channel_pk>/<int:tid>/", pick_keywords, "library_title"),
        page("<int:pk>/remove/", remove, "remove"),
    ]


def _channel(request: HttpRequest, channel_pk: int) -> Channel:
    if not request.user.has_perm(ADD):
        raise PermissionDenied
    return get_object_or_404(Channel, pk=channel_pk)


def _context(
    request: HttpRequest, site: AdminSite, title: str, **more: Any
) -> dict[str, Any]:
    return {**site.each_context(request), "title": title} | more


def _in_use(channel: Channel, kind: str) -> dict[str, Any]:
    """How many templates of a kind the channel has, of how many."""
    current = Template.objects.current().filter(channel=channel, kind=kind)
    limit = library.LIMITS[Template.Kind(kind)]
    count = current.count()
    return {"count": count, "limit": limit, "full": count >= limit}


# -- looking ---------------------------------------------------------------------------
def show_library(
    request: HttpRequest, site: AdminSite, channel_pk: int
) -> HttpResponse:
    """The titles of the channel's categories, searched and in pages."""
    channel = _channel(request, channel_pk)
    asked = LibraryQuery(request.GET).asked()
    context = _context(
        request,
        site,
        _("Template library"),
        channel=channel,
        asked=asked,
        **_in_use(channel, Template.Kind.SUBSCRIBE),
    )
    if "again" in request.GET:
        library.forget(channel)
    try:
        categories = library.categories(channel)
        known = {category.id: category.name for category in categories}
        wanted = asked["category"] if asked["category"] in known else None
        found = library.titles(channel, wanted, asked["q"] or "")
    except WeChatError as refused:
        context["refusal"] = checking.refusal(refused)
    else:
        start = asked["start"] or 0
        context |= {
            "categories": categories,
            "total": len(found),
            "rows": _rows(channel, found[start : start + PAGE], known),
            "previous": _address(asked, start - PAGE) if start else "",
            "next": _address(asked, start + PAGE) if start + PAGE < len(found) else "",
        }
    return TemplateResponse(request, "templates_mgmt/library.html", context)


def _rows(
    channel: Channel, titles: list[Title], categories: dict[int, str]
) -> list[dict[str, Any]]:
    ours = Template.objects.current().filter(channel=channel)
    added = set(
        ours.filter(library_id__in=[title.tid for title in titles]).values_list(
            "library_id", flat=True
        )
    )
    return [
        {
            "title": title,
            "category": categories.get(title.category, ""),
            "added": title.tid in added,
            "address": reverse(
                "admin:templates_mgmt_library_title", args=[channel.pk, int(title.tid)]
            )
            + "?"
            + urlencode({"title": title.title, "long": str(int(title.long_term))}),
        }
        for title in titles
    ]


def _address(asked: dict[str, Any], start: int) -> str:
    kept = {name: value for name, value in asked.items() if value}
    return "?" + urlencode({**kept, "start": max(start, 0)})


# -- adding ----------------------------------------------------------------------------
def pick_keywords(
    request: HttpRequest, site: AdminSite, channel_pk: int, tid: int
) -> HttpResponse:
    """Pick a title's keywords and their order; POST adds the template."""
    channel = _channel(request, channel_pk)
    title = request.GET.get("title", "")[:100] or str(tid)
    context = _context(
        request,
        site,
        title,
        channel=channel,
        name=title,
        long_term=request.GET.get("long") == "1",
        least=MIN_KEYWORDS,
        most=MAX_KEYWORDS,
        scene_length=MAX_SCENE,
        **_in_use(channel, Template.Kind.SUBSCRIBE),
    )
    offered: list[Keyword] = []
    form = None
    try:
        offered = library.keywords(channel, str(tid))
        if request.method == "POST":
            form = PickForm(offered, request.POST)
            if form.is_valid():
                kids, scene = form.cleaned_data["kid"], form.cleaned_data["scene"]
                added = library.add_subscribe(channel, str(tid), kids, scene)
                return _added(request, added)
    except WeChatError as refused:
        context["refusal"] = checking.refusal(refused)
        context["unseen"] = _is_unseen(refused) and request.method == "POST"
    context |= {
        "form": form,
        "keywords": _offered(offered, request.POST.getlist("kid")),
        "scene": request.POST.get("scene", "")[:MAX_SCENE],
    }
    return TemplateResponse(request, "templates_mgmt/library_title.html", context)


def _offered(offered: list[Keyword], picked: list[str]) -> list[dict[str, Any]]:
    """Return the keywords, those that were picked first and in their order."""
    places = {kid: place for place, kid in enumerate(picked)}
    by_place = sorted(offered, key=lambda k: places.get(str(k.kid), len(offered)))
    return [
        {
            "kid": str(keyword.kid),
            "name": keyword.name,
            "example": keyword.example,
            "type": keyword.type,
            "hint": hint({"type": keyword.type}, Template.Kind.SUBSCRIBE),
            "picked": str(keyword.kid) in places,
        }
        for keyword in by_place
    ]


def add_by_number(
    request: HttpRequest, site: AdminSite, channel_pk: int
) -> HttpResponse:
    """Add a template message by its number, which only WeChat's console shows."""
    channel = _channel(request, channel_pk)
    context = _context(
        request,
        site,
        _("Add a template message"),
        channel=channel,
        **_in_use(channel, Template.Kind.TEMPLATE),
    )
    form = NumberForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        number, names = form.cleaned_data["number"], form.cleaned_data["keywords"]
        try:
            return _added(request, library.add_template(channel, number, names))
        except WeChatError as refused:
            context["refusal"] = checking.refusal(refused)
            context["unseen"] = _is_unseen(refused)
    context["form"] = form
    return TemplateResponse(request, "templates_mgmt/library_number.html", context)


def _is_unseen(refused: WeChatError) -> bool:
    """Whether WeChat may have done what was asked: its answer never came."""
    return isinstance(refused, WeChatUnavailable) and refused.errcode is None


def _added(request: HttpRequest, template: Template) -> HttpResponse:
    if template.removed_at:
        messages.warning(
            request,
            _(
                "WeChat added the template, but its list could not be read. Refresh the"
                " templates to see it."
            ),
        )
    else:
        said = _("“%(title)s” was added.") % {"title": template.title}
        messages.success(request, said)
    return HttpResponseRedirect(
        reverse("admin:templates_mgmt_template_change", args=[template.pk])
    )


# -- removing --------------------------------------------------------------------------
def remove(request: HttpRequest, site: AdminSite, pk: int) -> HttpResponse:
    """Ask, then remove a template at WeChat and here."""
    if not request.user.has_perm(REMOVE):
        raise PermissionDenied
    current = Template.objects.current().select_related("channel")
    template = get_object_or_404(current, pk=pk)
    context = _context(
        request,
        site,
        _("Remove “%(title)s”") % {"title": template.title},
        template=template,
    )
    if request.method == "POST":
        try:
            library.remove(template)
        except library.TemplateInUse as used:
            context["hindrance"] = str(used)
        except WeChatError as refused:
            context["refusal"] = checking.refusal(refused)
        else:
            said = _("“%(title)s” was removed.") % {"title": template.title}
            messages.success(request, said)
            changelist = reverse("admin:templates_mgmt_template_changelist")
            return HttpResponseRedirect(changelist)
    elif sends := library.sends_underway(template):
        context["hindrance"] = str(library.TemplateInUse(sends))
    general = GeneralTemplate.objects.filter(template=template)
    context["general"] = list(general.values_list("name", flat=True)[:20])
    return TemplateResponse(request, "templates_mgmt/remove.html", context)
