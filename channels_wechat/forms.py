"""The console's form of a channel. Secrets go in, and never come back out of a form."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from .models import Channel

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
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["new_secret"].required = False
            self.fields["new_secret"].help_text = _(
                "Stored encrypted and never shown. Leave empty to keep it."
            )
            kept = _("Leave empty to keep it.")
            self.fields["new_token"].help_text = kept
            self.fields["new_aes_key"].help_text = kept
        else:
            self.fields["new_secret"].help_text = _(
                "From WeChat's console. Stored encrypted and never shown again."
            )
            made_up = _("Leave empty to have one made up.")
            self.fields["new_token"].help_text = made_up
            self.fields["new_aes_key"].help_text = made_up

    def secrets(self) -> dict[str, str]:
        """Return the secrets that were entered, by the model's names."""
        return {
            name: value
            for field, name in SECRETS.items()
            if (value := self.cleaned_data.get(field))
        }
