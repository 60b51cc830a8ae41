"""What the steps of a send ask for."""

import re
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import Channel
from channels_wechat.wechat.messages import placeholders
from sends.models import Send
from templates_mgmt.models import Template
from templates_mgmt.previewing import NOT_SHOWN

# Hours that a send may start late, "" for any number.
LATE = [
    ("", _("Send it late all the same")),
    ("1", _("At most an hour late, else pause and ask")),
    ("4", _("At most 4 hours late, else pause and ask")),
    ("24", _("At most a day late, else pause and ask")),
    ("0", _("Pause and ask")),
]
APPID = re.compile(r"wx[0-9a-zA-Z]{16}\Z")


class TemplateForm(forms.Form):
    """Step 1: a channel that works, and one of its templates that still exists."""

    channel = forms.ModelChoiceField(Channel.objects.filter(enabled=True))
    template = forms.ModelChoiceField(
        Template.objects.all(),
        error_messages={"required": _("Choose a template.")},
    )
    title = forms.CharField(max_length=80, required=False)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        channel, template = data.get("channel"), data.get("template")
        if channel and template:
            if template.channel_id != channel.pk:
                self.add_error(
                    "template", _("This template belongs to another channel.")
                )
            elif template.removed_at:
                self.add_error(
                    "template",
                    _("This template was removed at WeChat. Choose another one."),
                )
        return data


class AudienceForm(forms.Form):
    """Step 2: one of four ways to say who."""

    kind = forms.ChoiceField(
        choices=[(k, k) for k in ("all", "tags", "paste", "file", "keep")],
        error_messages={"required": _("Say who shall get the message.")},
    )
    tags = forms.MultipleChoiceField(required=False)
    pasted = forms.CharField(required=False, strip=False)
    file = forms.FileField(required=False)

    def __init__(self, *args: Any, tags: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tags"].choices = [(tag, tag) for tag in tags]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        wanted = {
            "tags": _("Choose at least one tag."),
            "pasted": _("Paste at least one userid or openID."),
            "file": _("Choose a file."),
        }
        name = {"tags": "tags", "paste": "pasted", "file": "file"}.get(
            data.get("kind", "")
        )
        if name and not data.get(name) and name not in self.errors:
            self.add_error(name, wanted[name])
        return data


class ValuesForm(forms.Form):
    """Step 3: a text for each field of the template, and where a tap leads."""

    url = forms.CharField(max_length=1000, required=False)
    miniprogram_appid = forms.CharField(max_length=32, required=False)
    miniprogram_path = forms.CharField(max_length=1000, required=False)

    def __init__(self, *args: Any, send: Send, names: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert send.template is not None
        self.names = names
        self.template_fields = send.template.fields
        for field in self.template_fields:
            optional = field["key"] in NOT_SHOWN
            self.fields[f"value-{field['key']}"] = forms.CharField(
                required=not optional,
                max_length=2000,
                strip=False,
                error_messages={"required": _("Fill this in.")},
            )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        for name, text in list(data.items()):
            unknown = [n for n in placeholders(text or "") if n not in self.names]
            if unknown:
                self.add_error(
                    name,
                    _("No column is called %(names)s.") % {"names": ", ".join(unknown)},
                )
        appid = data.get("miniprogram_appid")
        if appid and not APPID.match(appid):
            self.add_error(
                "miniprogram_appid",
                _("An AppID is wx followed by 16 letters and digits."),
            )
        if data.get("miniprogram_path") and not appid:
            self.add_error(
                "miniprogram_appid", _("A page needs the mini-program's AppID.")
            )
        return data

    def chosen(self) -> dict[str, Any]:
        """Return the fields of Send these answers fill, wrong ones included."""
        data = {
            field["key"]: self.data.get(f"value-{field['key']}", "")
            for field in self.template_fields
        }
        return {
            "data": {key: text for key, text in data.items() if text},
            "url": self.data.get("url", "").strip(),
            "miniprogram_appid": self.data.get("miniprogram_appid", "").strip(),
            "miniprogram_path": self.data.get("miniprogram_path", "").strip(),
        }


class ConfirmForm(forms.Form):
    """Step 5: now, or at a time in the operator's own zone and how late; a few first,
    or all; before others, or after them."""

    canary = forms.BooleanField(required=False)
    priority = forms.TypedChoiceField(
        choices=Send.Priority.choices, coerce=int, required=False, empty_value=None
    )
    late = forms.TypedChoiceField(
        choices=LATE, coerce=int, required=False, empty_value=None
    )
    when = forms.ChoiceField(choices=[("now", "now"), ("later", "later")])
    at = forms.DateTimeField(
        required=False,
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
        error_messages={"invalid": _("Give a date and a time.")},
    )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("when") == "later" and "at" not in self.errors:
            at = data.get("at")
            if at is None:
                self.add_error("at", _("Give a date and a time."))
            elif at <= timezone.now():
                self.add_error("at", _("This time has passed already."))
        return data


class AgainForm(forms.Form):
    """Which people of an old send a new one is for."""

    what = forms.MultipleChoiceField(
        error_messages={"required": _("Choose at least one group.")}
    )

    def __init__(self, *args: Any, choices: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["what"].choices = [(word, word) for word in choices]  # type: ignore[attr-defined]
