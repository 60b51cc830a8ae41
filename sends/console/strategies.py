"""The console's pages of strategies: which channel is tried after which."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
)

from channels_wechat.console import ConsoleAdmin, switched
from channels_wechat.models import Channel
from sends import strategies
from sends.models import Strategy

STEPS = 5  # in the form; the API takes a few more
TRIGGERS = [
    ("refused", gettext_lazy("WeChat refused, or nothing could be sent")),
    ("not_delivered", gettext_lazy("no receipt says that it was delivered")),
]


def _step_fields() -> dict[str, forms.Field]:
    fields: dict[str, forms.Field] = {}
    for number in range(1, STEPS + 1):
        fields[f"channel{number}"] = forms.ModelChoiceField(
            Channel.objects.all(),
            required=number == 1,
            label=gettext_lazy("Channel"),
            widget=UnfoldAdminSelectWidget,
        )
        if number > 1:
            fields[f"wait{number}"] = forms.IntegerField(
                min_value=0,
                max_value=strategies.WAIT_AT_MOST_S,
                required=False,
                label=gettext_lazy("Wait, in seconds"),
                help_text=gettext_lazy(
                    "After the step before has ended; 604800 is a week, the longest."
                ),
                widget=UnfoldAdminIntegerFieldWidget,
            )
            fields[f"trigger{number}"] = forms.ChoiceField(
                choices=TRIGGERS,
                required=False,
                label=gettext_lazy("For those for whom"),
                widget=UnfoldAdminSelectWidget,
            )
    return fields


class _StrategyForm(forms.ModelForm):
    class Meta:
        model = Strategy
        fields = ("name", "business_channel", "enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        channels = {row.code: row.pk for row in Channel.objects.all()}
        for number, step in enumerate(self.instance.steps or [], start=1):
            self.initial[f"channel{number}"] = channels.get(step["channel"])
            self.initial[f"wait{number}"] = step.get("wait_s", 0)
            self.initial[f"trigger{number}"] = step.get("trigger", "refused")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        sender, seen = data.get("business_channel"), set()
        steps = list(self._steps(data))
        for number in range(2, STEPS + 1):
            if data.get(f"wait{number}") and not data.get(f"channel{number}"):
                problem = _("Choose a channel, or empty the wait as well.")
                self.add_error(f"channel{number}", problem)
        for number, channel, _step in steps:
            allowed = sender is None or channel in sender.channels.all()
            if not allowed:
                problem = _("The business channel may not use this channel.")
                self.add_error(f"channel{number}", problem)
            elif channel in seen:
                problem = _("This channel has a step already.")
                self.add_error(f"channel{number}", problem)
            seen.add(channel)
        # Steps beyond the form's came over the API, and stay.
        rest = (self.instance.steps or [])[STEPS:]
        self.instance.steps = [step for _number, _channel, step in steps] + rest
        return data

    def _steps(self, data: dict[str, Any]) -> Iterator[tuple[int, Channel, Any]]:
        for number in range(1, STEPS + 1):
            channel = data.get(f"channel{number}")
            if channel is not None:
                yield (
                    number,
                    channel,
                    {
                        "channel": channel.code,
                        "wait_s": data.get(f"wait{number}") or 0,
                        "trigger": data.get(f"trigger{number}") or "refused",
                    },
                )


StrategyForm: Any = type("StrategyForm", (_StrategyForm,), dict(_step_fields()))


class StrategyAdmin(ConsoleAdmin):
    lead = gettext_lazy(
        "A strategy is an order of channels: who is not reached on the first one gets"
        " the message on the next. Business systems name it by its number, as rule_id."
    )
    is_kept = gettext_lazy("Sends name this strategy, so it stays. Disable it.")
    goes_along = gettext_lazy("Calls that name its number are refused from then on.")
    form = StrategyForm
    list_display = ["name", "business_channel", "number", "order", "state"]
    list_filter = ["enabled", "business_channel"]
    list_select_related = ["business_channel"]
    search_fields = ["name"]

    def get_queryset(self, request: HttpRequest) -> Any:
        found = super().get_queryset(request)
        return found.prefetch_related("business_channel__channels")

    @admin.display(description=gettext_lazy("number for the API"), ordering="pk")
    def number(self, row: Strategy) -> int:
        return row.pk

    @admin.display(description=gettext_lazy("state"), ordering="enabled")
    def state(self, row: Strategy) -> Any:
        return switched(row.enabled)

    @admin.display(description=gettext_lazy("steps"))
    def order(self, row: Strategy) -> str:
        names = {one.code: one.name for one in row.business_channel.channels.all()}
        # One that the business channel may use no more has its code left.
        return " → ".join(
            names.get(step["channel"], step["channel"]) for step in row.steps
        )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        head = (None, {"fields": ["name", "business_channel", "enabled"]})
        may = self.has_change_permission(request, obj) if obj else True
        if not may:
            return [(None, {"fields": [*head[1]["fields"], "order"]})]
        used = len(obj.steps) if obj else 0
        steps = [
            (
                _("Step %(number)d") % {"number": number},
                {
                    "fields": [f"channel{number}"]
                    + ([(f"wait{number}", f"trigger{number}")] if number > 1 else []),
                    # The empty ones wait behind their title, but for the next.
                    "classes": ["collapse"] if number > max(2, used + 1) else [],
                },
            )
            for number in range(1, STEPS + 1)
        ]
        return [head, *steps]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["order"] if obj and not self.has_change_permission(request, obj) else []
