"""The console's pages of lists and segments: however many people, a page at a time."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from channels_wechat.console import ConsoleAdmin, pill

from . import audiences
from .audience_forms import TAG_FIELDS, AudienceForm, SegmentForm, UserListForm
from .models import Recipient, Segment, UserList

MEMBERS_A_PAGE = 100
# People a segment's tags mean are counted up to here: more takes longer than it tells.
COUNTED_TO = 100_000


class AudienceAdmin(ConsoleAdmin):
    """What lists and segments share: a name, a number, pasted userids, who they are."""

    search_fields = ["name"]
    change_form_outer_after_template = "users/_members.html"

    @admin.display(description=_("number for the API"), ordering="pk")
    def number(self, row: Any) -> int:
        return int(row.pk)

    def get_urls(self) -> list[URLPattern]:
        return [
            path(
                "<int:pk>/userids.txt",
                self.admin_site.admin_view(self.userids_view),
                name=f"{self.opts.app_label}_{self.opts.model_name}_userids",
            ),
            *super().get_urls(),
        ]

    def userids_view(self, request: HttpRequest, pk: int) -> StreamingHttpResponse:
        """Everyone, one a line: what can be pasted again."""
        row = self.get_object(request, str(pk))
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        response = StreamingHttpResponse(
            _lines(row), content_type="text/plain; charset=utf-8"
        )
        name = f"{self.opts.model_name}-{pk}.txt"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        context = dict(extra_context or {})
        if row is not None and request.method == "GET":
            context["members"] = _members(row, request)
        response: HttpResponse = super().change_view(
            request, object_id, form_url, context
        )
        return response

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        assert isinstance(form, AudienceForm)
        if said := form.fill():
            # What was asked and what it came to may differ: some were there already.
            messages.info(request, said)


class UserListAdmin(AudienceAdmin):
    lead = _(
        "A send that names a blacklist leaves out everyone on it; one that names a"
        " whitelist goes to nobody else. Business systems name it by its number, as"
        " black_id or white_id."
    )
    goes_along = _("The userids on it go along; the people themselves stay.")
    is_kept = _(
        "Sends name this list, so it stays. Empty it instead: make nobody the whole"
        " list."
    )
    form = UserListForm
    list_display = ["name", "shown_kind", "number", "size", "created_at"]
    list_filter = ["kind"]
    ordering = ["name"]

    @admin.display(description=_("kind"), ordering="kind")
    def shown_kind(self, row: UserList) -> SafeString:
        word = "disabled" if row.kind == UserList.Kind.BLACK else "info"
        return pill(word, row.get_kind_display())

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["number", "size"] if obj else []

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return ["name", "kind", "userids"]
        if not self.has_change_permission(request, obj):
            return ["name", "kind", "number", "size"]
        return ["name", "kind", "number", "size", "how", "userids"]


class SegmentAdmin(AudienceAdmin):
    lead = _(
        "A segment is an audience under a name: the people with certain tags at the"
        " moment of sending, or a fixed list of userids. Business systems name it by"
        " its number, as aud_segment."
    )
    goes_along = _("The people themselves stay.")
    form = SegmentForm
    list_display = ["name", "number", "meaning", "created_at"]
    ordering = ["name"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["number", "size"] if obj else []

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return ["name", *TAG_FIELDS, "userids"]
        if not self.has_change_permission(request, obj):
            return ["name", "meaning", "number", "size"]
        return ["name", "number", "size", *TAG_FIELDS, "how", "userids"]

    @admin.display(description=_("people now"))
    def size(self, row: Segment) -> str:
        count = audiences.members(row).values("pk")[: COUNTED_TO + 1].count()
        if count > COUNTED_TO:
            return gettext("more than %(n)s") % {"n": f"{COUNTED_TO:,}"}
        return f"{count:,}"

    @admin.display(description=_("whom it means"))
    def meaning(self, row: Segment) -> str:
        parts = [
            (_("any of: %(tags)s"), row.any_tags),
            (_("all of: %(tags)s"), row.all_tags),
            (_("none of: %(tags)s"), row.none_tags),
        ]
        said = [text % {"tags": ", ".join(tags)} for text, tags in parts if tags]
        return " · ".join(said) or gettext("a fixed list")


def _members(row: UserList | Segment, request: HttpRequest) -> dict[str, Any]:
    """Return a page of who is on it, by userid; `?member=` looks for one."""
    found, asked = _userids(row), request.GET.get("member", "").strip()[:64]
    after = request.GET.get("after", "")[:64]
    if "\0" in asked + after:
        asked = after = ""
    if asked:
        found = found.filter(userid=asked)
    elif after:
        found = found.filter(userid__gt=after)
    page = list(found.values_list("userid", flat=True)[: MEMBERS_A_PAGE + 1])
    more, page = len(page) > MEMBERS_A_PAGE, page[:MEMBERS_A_PAGE]
    known = dict(Recipient.objects.filter(userid__in=page).values_list("userid", "pk"))
    return {
        "people": [(userid, known.get(userid)) for userid in page],
        "asked": asked,
        "after": after,
        "next": urlencode({"after": page[-1]}) if more else "",
    }


def _userids(row: UserList | Segment) -> Any:
    """Return rows with a userid each, by userid."""
    entries = audiences.entries_of(row)
    if isinstance(row, Segment) and not entries.exists():
        return audiences.members(row).order_by("userid")
    return entries


def _lines(row: UserList | Segment) -> Iterator[str]:
    for userid in _userids(row).values_list("userid", flat=True).iterator(5000):
        yield f"{userid}\n"
