"""The console's forms of channels and keys. Secrets go in, and never come back out of
a form."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from .models import BusinessChannel, Channel

# Form field -> the model's; empty means: keep, or make one up.
SECRETS = {
    "new_secret": "app_secret",
    "new_token": "callback_token",
    "new_aes_key": "encoding_aes_key",
}


def _validators(name: str) -> Any:
    field: Any = Channel._meta.get_field(name)
    return field.validators


class ChannelForm(forms.ModelForm):
    new_secret = forms.CharField(
        label="AppSecret",
        validators=_validators("app_secret"),
        widget=UnfoldAdminPasswordWidget(
            attrs={"autocomplete": "new-password", "spellcheck": "false"}
        ),
    )
    new_token = forms.CharField(
        label="Token",
        required=False,
        validators=_validators("callback_token"),
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )
    new_aes_key = forms.CharField(
        label="EncodingAESKey",
        required=False,
        validators=_validators("encoding_aes_key"),
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )

    class Meta:
        model = Channel
        fields = (
            "name",
            "code",
            "appid",
            "original_id",
            "callback_mode",
            "connections",
            "rate_per_s",
            "api_reserve",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "api_reserve" in self.fields:  # none for those who may only look
            self.fields["api_reserve"].required = False
        if self.instance.pk:
            self.fields["new_secret"].required = False
            self.fields["new_secret"].help_text = _(
                "Stored encrypted and never shown. Leave empty to keep it."
            )
            if self.instance.is_authorised:
                self.fields["new_secret"].help_text = _(
                    "Leave empty: the account is connected by a scan. An AppSecret "
                    "connects it by AppID and AppSecret instead."
                )
            kept = _("Leave empty to keep it.")
            for name in ("new_token", "new_aes_key"):
                if name in self.fields:  # none for channels connected by a scan
                    self.fields[name].help_text = kept
        else:
            self.fields["new_secret"].help_text = _(
                "From WeChat's console. Stored encrypted and never shown again."
            )
            made_up = _("Leave empty to have one made up.")
            self.fields["new_token"].help_text = made_up
            self.fields["new_aes_key"].help_text = made_up

    def clean_api_reserve(self) -> int:
        return self.cleaned_data["api_reserve"] or 0

    def secrets(self) -> dict[str, str]:
        """Return the secrets that were entered, by the model's names."""
        return {
            name: value
            for field, name in SECRETS.items()
            if (value := self.cleaned_data.get(field))
        }


WORDS_AT_MOST, WORD_LENGTH = 1000, 100
SENDER_HELP = {
    "channels": _("Its sends may go through these only."),
    "enabled": _("Off: every call of it is refused (1015005)."),
    "calls_per_minute": _("More calls are refused (1015030). Off while empty."),
    "broadcasts_per_day": _(
        "More are refused until midnight in China (1015029); 0 forbids them."
        " Off while empty."
    ),
    "per_person_per_day": _(
        "Further messages of the day to that person are skipped. Off while empty."
    ),
    "quiet_hours": _(
        "Like 22:00-08:00, China time. API sends are refused then (1015038)."
    ),
    "callbacks_enabled": _(
        "What becomes of each message is told to the callback URLs."
    ),
    "sign_callbacks": _(
        "With a header that proves time and content, made with the MasterSecret."
    ),
    "track_clicks": _(
        "Links lead through this server, which tells the first click of each person."
    ),
}


class BusinessChannelForm(forms.ModelForm):
    words = forms.CharField(
        label=_("Sensitive words"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}),
        help_text=_("One a line. API sends with one of them are refused (1015034)."),
    )

    class Meta:
        model = BusinessChannel
        fields = (
            "name",
            "channels",
            "enabled",
            "review",
            "calls_per_minute",
            "broadcasts_per_day",
            "per_person_per_day",
            "quiet_hours",
            "callbacks_enabled",
            "sign_callbacks",
            "track_clicks",
        )
        widgets = {"channels": UnfoldAdminCheckboxSelectMultipleWidget}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["words"].initial = "\n".join(self.instance.sensitive_words)
        for name, text in SENDER_HELP.items():
            if name in self.fields:  # none for those who may only look
                self.fields[name].help_text = text

    def clean_words(self) -> list[str]:
        lines = (line.strip() for line in self.cleaned_data["words"].splitlines())
        words = list(dict.fromkeys(line for line in lines if line))
        if len(words) > WORDS_AT_MOST:
            raise forms.ValidationError(
                _("At most %(count)d words.") % {"count": WORDS_AT_MOST}
            )
        if long := next((word for word in words if len(word) > WORD_LENGTH), None):
            raise forms.ValidationError(
                _("“%(word)s…” is too long: at most %(count)d characters.")
                % {"word": long[:20], "count": WORD_LENGTH}
            )
        return words

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if "words" in cleaned:
            self.instance.sensitive_words = cleaned["words"]
        return cleaned


class RotationForm(forms.Form):
    """How long the old secret goes on working."""

    keep_old_for_s = forms.TypedChoiceField(
        label=_("The old secret ends"),
        coerce=int,
        choices=[
            ("0", _("at once")),
            ("3600", _("in an hour")),
            ("86400", _("in a day")),
            ("604800", _("in a week")),
            ("2592000", _("in 30 days")),
        ],
        initial="86400",
        widget=forms.RadioSelect,
    )
