"""Strategies over the resource API: an order of channels to try, the API's rule_id."""

from typing import Any, ClassVar, cast

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers

from channels_wechat.api.crud import (
    ThingDetail,
    ThingList,
    describe_detail,
    describe_list,
)
from channels_wechat.models import BusinessChannel
from sends import strategies
from sends.models import Strategy

GIVEN = {
    "name": "Service account first",
    "business_channel": "5f0c2b7d9a1e4c6f8b3d7a20",
    "steps": [
        {"channel": "hr", "wait_s": 0, "trigger": "refused"},
        {"channel": "shop", "wait_s": 600, "trigger": "not_delivered"},
    ],
}
SHOWN = {
    "id": 2,
    **GIVEN,
    "enabled": True,
    "created_at": "2026-11-22T12:00:00+08:00",
}
IN_USE = gettext_lazy("Sends name this strategy, so it stays. Disable it instead.")


class StepSerializer(serializers.Serializer[Any]):
    """One channel to try."""

    channel = serializers.CharField(
        max_length=32, help_text=gettext_lazy("Code; each channel once.")
    )
    wait_s = serializers.IntegerField(
        default=0,
        min_value=0,
        max_value=strategies.WAIT_AT_MOST_S,
        help_text=gettext_lazy("Seconds after the step before has ended."),
    )
    trigger = serializers.ChoiceField(
        strategies.TRIGGERS,
        default="refused",
        help_text=gettext_lazy(
            "Whom of the step before it takes: refused or skipped ones, or everyone "
            "without a success receipt."
        ),
    )


class StrategySerializer(serializers.ModelSerializer[Strategy]):
    """An order of channels to try."""

    business_channel = serializers.SlugRelatedField(
        slug_field="key",
        queryset=BusinessChannel.objects.all(),
        help_text=gettext_lazy("Its ChannelKey."),
    )
    steps = StepSerializer(many=True, allow_empty=False)

    class Meta:
        model = Strategy
        fields: ClassVar = [
            "id",
            "name",
            "business_channel",
            "steps",
            "enabled",
            "created_at",
        ]

    def validate_steps(self, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(steps) > strategies.STEPS_AT_MOST:
            raise serializers.ValidationError(
                _("At most %(count)d steps.") % {"count": strategies.STEPS_AT_MOST}
            )
        # A PATCH does not ask for what is missing inside; a step is always whole.
        missing: Any = {
            index: {"channel": [_("This field is required.")]}
            for index, step in enumerate(steps)
            if "channel" not in step
        }
        if missing:
            raise serializers.ValidationError(missing)
        return [{"wait_s": 0, "trigger": "refused", **step} for step in steps]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The channels are the business channel's, each once."""
        old = self.instance
        sender = attrs["business_channel"] if old is None else old.business_channel
        sender = attrs.get("business_channel", sender)
        steps = attrs.get("steps", old.steps if old else [])
        allowed = set(sender.channels.values_list("code", flat=True))
        codes = [step["channel"] for step in steps]
        wrong: dict[int, Any] = {
            index: {"channel": [_("The business channel may not use this channel.")]}
            for index, code in enumerate(codes)
            if code not in allowed
        }
        again = strategies.twice(codes)
        if again is not None:
            wrong[again] = {"channel": [_("This channel has a step already.")]}
        if wrong:
            raise serializers.ValidationError({"steps": cast(Any, wrong)})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Strategy:
        return Strategy.objects.create(**validated_data)

    def update(self, instance: Strategy, validated_data: dict[str, Any]) -> Strategy:
        for name, value in validated_data.items():
            setattr(instance, name, value)
        instance.save()
        return instance


ALL = Strategy.objects.select_related("business_channel")


@describe_list("strategy", "strategies", StrategySerializer, GIVEN, SHOWN)
class StrategyList(ThingList):
    serializer_class = StrategySerializer
    queryset = ALL


@describe_detail(
    "strategy",
    "strategies",
    StrategySerializer,
    SHOWN,
    "Sends name this strategy, so it stays. Disable it instead.",
)
class StrategyDetail(ThingDetail):
    serializer_class = StrategySerializer
    queryset = ALL
    in_use = IN_USE
