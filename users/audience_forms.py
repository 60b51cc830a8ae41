"""The forms of lists and segments: userids are pasted, one a line."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.widgets import UnfoldAdminTextareaWidget

from . import audiences, validators
from .models import Segment, UserList

TAG_FIELDS = ("any_tags", "all_tags", "none_tags")
ADD, REMOVE, REPLACE = "add", "remove", "replace"


class Pasted(forms.CharField):
    """Userids, one a line; each line's problem is told with its number."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminTextareaWidget(
            attrs={"rows": 8, "spellcheck": "false", "class": "mono"}
        )
        super().__init__(required=False, strip=False, widget=widget, **options)

    def clean(self, value: Any) -> list[str]:
        text = super().clean(value) or ""
        lines = [line.strip() for line in text.splitlines()]
        given = [line for line in lines if line]
        if len(given) > audiences.USERIDS_AT_MOST:
            raise ValidationError(
                _("At most %(count)d userids.") % {"count": audiences.USERIDS_AT_MOST}
            )
        try:
            return audiences.checked(given)
        except audiences.BadUserID as bad:
            number = lines.index(bad.userid) + 1
            raise ValidationError(
                _(
                    "Line %(number)d: “%(text)s” is no userid. A userid has at most 64"
                    " letters, digits and the signs _ - @ ! # $ & * + = . |"
                )
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


class AudienceForm(forms.ModelForm):
    """Userids to add, to take off, or to put in the place of all that are there."""

    how = forms.ChoiceField(
        label=_("Do with these userids"),
        choices=[
            (ADD, _("add them")),
            (REMOVE, _("remove them")),
            (REPLACE, _("make them the whole list")),
        ],
        initial=ADD,
        required=False,
        widget=forms.RadioSelect(attrs={"class": "plain-radios"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Of what is not stored yet, nobody is taken off; who may look has no fields.
        if not self.instance.pk:
            self.fields.pop("how", None)

    def fill(self) -> str:
        """Store the userids; return what came of it, "" if nothing was asked."""
        audience, userids = self.instance, self.cleaned_data.get("userids", [])
        how = self.cleaned_data.get("how") or ADD
        if how == REPLACE:
            audiences.replace(audience, userids)
            count = len(userids)
            said = ngettext("%(n)d userid is on it.", "%(n)d userids are on it.", count)
        elif not userids:
            return ""
        elif how == REMOVE:
            count = audiences.take_off(audience, userids)
            said = ngettext("%(n)d userid removed.", "%(n)d userids removed.", count)
        else:
            count = audiences.put_on(audience, userids)
            said = ngettext("%(n)d userid added.", "%(n)d userids added.", count)
        return said % {"n": count}


class UserListForm(AudienceForm):
    userids = Pasted(
        label=_("Userids"),
        help_text=_("One a line; openIDs for sends that name openIDs."),
    )

    class Meta:
        model = UserList
        fields = ("name", "kind")


class SegmentForm(AudienceForm):
    any_tags = Lines(
        label=_("Any of these tags"),
        help_text=_("One a line. People with at least one of them."),
    )
    all_tags = Lines(
        label=_("All of these tags"), help_text=_("One a line. People with every one.")
    )
    none_tags = Lines(
        label=_("None of these tags"),
        help_text=_("One a line. People with one of them are left out."),
    )
    userids = Pasted(
        label=_("Userids"),
        help_text=_("One a line: a fixed list instead of tags."),
    )

    class Meta:
        model = Segment
        fields = ("name", *TAG_FIELDS)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return data
        tagged = any(data.get(name) for name in TAG_FIELDS)
        fixed = self._will_be_fixed(data)
        if tagged and fixed:
            self.add_error(
                "userids", _("Choose either tags or a fixed list of userids.")
            )
        elif not tagged and not fixed:
            self.add_error(
                "any_tags", _("Give tags or userids: a segment is not everyone.")
            )
        return data

    def _will_be_fixed(self, data: dict[str, Any]) -> bool:
        """Whether anybody is on the fixed list once this is stored."""
        given, how = data.get("userids"), data.get("how")
        if not self.instance.pk or how == REPLACE:
            return bool(given)
        there = audiences.entries_of(self.instance)
        if how != REMOVE or not given:
            return bool(given) or there.exists()
        off = sum(
            there.filter(userid__in=some).count() for some in audiences.batched(given)
        )
        return there[off : off + 1].exists()
