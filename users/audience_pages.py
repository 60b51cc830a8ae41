"""The console's pages of lists and segments: userids are pasted, one a line."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget

from . import audiences, validators
from .models import Segment, UserList

TAG_FIELDS = ("any_tags", "all_tags", "none_tags")
# More are not put into the page: they are only replaced as a whole.
SHOWN_AT_MOST = 100_000


class Pasted(forms.CharField):
    """Userids, one a line; each line's problem is told with its number."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminTextareaWidget(
            attrs={"rows": 12, "spellcheck": "false", "class": "mono"}
        )
        super().__init__(strip=False, widget=widget, **options)

    def clean(self, value: Any) -> list[str]:
        text = super().clean(value) or ""
        lines = [line.strip() for line in text.splitlines()]
        try:
            return audiences.checked([line for line in lines if line])
        except audiences.BadUserID as bad:
            number = lines.index(bad.userid) + 1
            raise ValidationError(
                _("Line %(number)d: “%(text)s” is no userid.")
                % {"number": number, "text": str(bad.userid)[:64]}
            ) from None


class Lines(forms.CharField):
    """Tags, one a line."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 3})
        super().__init__(required=False, widget=widget, **options)

    def clean(self, value: Any) -> list[str]:
        lines = (line.strip() for line in (super().clean(value) or "").splitlines())
        tags = list(dict.fromkeys(line for line in lines if line))
        for tag in tags:
            validators.tag(tag)
        return tags

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class UserListForm(forms.ModelForm):
    userids = Pasted(label="userid", required=False, help_text=_("One a line."))

    class Meta:
        model = UserList
        fields = ("name", "kind")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "userids" in self.fields:
            entries = self.instance.entries.order_by("pk")
            ids = entries.values_list("userid", flat=True)[:SHOWN_AT_MOST]
            self.fields["userids"].initial = "\n".join(ids)


class SegmentForm(forms.ModelForm):
    any_tags = Lines(label=_("any of these tags"), help_text=_("One a line."))
    all_tags = Lines(label=_("all of these tags"), help_text=_("One a line."))
    none_tags = Lines(label=_("none of these tags"), help_text=_("One a line."))
    userids = Pasted(
        label="userid",
        required=False,
        help_text=_("One a line: a fixed list instead of tags."),
    )

    class Meta:
        model = Segment
        fields = ("name", *TAG_FIELDS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "userids" in self.fields:
            ids = self.instance.users.order_by("pk").values_list("userid", flat=True)
            self.fields["userids"].initial = "\n".join(ids[:SHOWN_AT_MOST])

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return data
        tagged = any(data.get(name) for name in TAG_FIELDS)
        if tagged and data.get("userids"):
            self.add_error(
                "userids", _("Choose either tags or a fixed list of userids.")
            )
        elif not tagged and not data.get("userids"):
            self.add_error(
                "any_tags", _("Give tags or userids: a segment is not everyone.")
            )
        return data


class AudienceAdmin(ModelAdmin):
    """What lists and segments share: a name, a number, pasted userids."""

    list_filter_submit = False
    search_fields = ["name"]
    compressed_fields = True

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.display(description="userid")
    def userids(self, row: Any) -> str:
        """What those see who may only look; others have a form field of that name."""
        members = row.entries if isinstance(row, UserList) else row.users
        ids = list(members.order_by("pk").values_list("userid", flat=True)[:101])
        return ", ".join(ids[:100]) + (" …" if len(ids) > 100 else "")


class UserListAdmin(AudienceAdmin):
    form = UserListForm
    list_display = ["name", "kind", "number", "size", "created_at"]
    list_filter = ["kind"]
    fields: ClassVar = ["name", "kind", "userids"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(size=Count("entries"))

    @admin.display(description=_("number for the API"), ordering="pk")
    def number(self, row: UserList) -> int:
        return row.pk

    @admin.display(description=_("people"))
    def size(self, row: Any) -> int:
        return int(row.size)

    def save_model(
        self, request: HttpRequest, obj: UserList, form: Any, change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        if "userids" in form.changed_data:
            audiences.fill_list(obj, form.cleaned_data["userids"])


class SegmentAdmin(AudienceAdmin):
    form = SegmentForm
    list_display = ["name", "number", "meaning", "created_at"]
    fields: ClassVar = ["name", *TAG_FIELDS, "userids"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["size"] if obj else []

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*self.fields, "size"] if obj else [*self.fields]

    @admin.display(description=_("number for the API"), ordering="pk")
    def number(self, row: Segment) -> int:
        return row.pk

    @admin.display(description=_("people now"))
    def size(self, row: Segment) -> int:
        return audiences.members(row).count()

    @admin.display(description=_("whom it means"))
    def meaning(self, row: Segment) -> str:
        parts = [
            (_("any of: %(tags)s"), row.any_tags),
            (_("all of: %(tags)s"), row.all_tags),
            (_("none of: %(tags)s"), row.none_tags),
        ]
        said = [text % {"tags": ", ".join(tags)} for text, tags in parts if tags]
        return " · ".join(said) or str(_("a fixed list"))

    def save_model(
        self, request: HttpRequest, obj: Segment, form: Any, change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        if "userids" in form.changed_data:
            audiences.fill_segment(obj, form.cleaned_data["userids"])
