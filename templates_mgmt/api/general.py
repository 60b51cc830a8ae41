"""General templates over the resource API."""

from typing import Any, ClassVar

from django.core.validators import RegexValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from channels_wechat.api.crud import (
    ThingDetail,
    ThingList,
    describe_detail,
    describe_list,
)
from channels_wechat.models import Channel
from templates_mgmt import general
from templates_mgmt.models import GeneralTemplate, Template

GIVEN = {
    "name": "Order shipped",
    "channel": "hr",
    "template_id": "Qz8Uc9eYk0m1",
    "url": "https://shop.example.com/orders/{{order}}",
    "data": {"thing1": "Order {{order}}", "time2": "{{at}}"},
}
SHOWN = {
    "id": 7,
    **GIVEN,
    "page": "",
    "miniprogram": None,
    "general": True,
    "variables": ["order", "at"],
    "created_at": "2026-11-22T12:00:00+08:00",
}


class MiniprogramSerializer(serializers.Serializer[Any]):
    """Where a tap leads inside WeChat."""

    appid = serializers.CharField(
        source="miniprogram_appid",
        validators=[
            RegexValidator(
                r"\Awx[0-9a-zA-Z]{16}\Z",
                gettext_lazy("An AppID is wx followed by 16 letters and digits."),
            )
        ],
    )
    pagepath = serializers.CharField(
        source="miniprogram_path", max_length=1000, required=False, allow_blank=True
    )


@extend_schema_field(MiniprogramSerializer(allow_null=True))
class MiniprogramField(serializers.Field[Any, Any, Any, Any]):
    """An object or null; two columns of ours."""

    def get_attribute(self, instance: Any) -> Any:
        # Never None: that would be shown without asking to_representation.
        return instance

    def to_internal_value(self, data: Any) -> dict[str, str]:
        given = MiniprogramSerializer(data=data)
        given.is_valid(raise_exception=True)
        return {"miniprogram_path": "", **given.validated_data}

    def to_representation(self, value: GeneralTemplate) -> Any:
        if not value.miniprogram_appid:
            return None
        return MiniprogramSerializer(value).data


class GeneralTemplateSerializer(serializers.ModelSerializer[GeneralTemplate]):
    """A template with variables, which fills a WeChat template."""

    channel = serializers.CharField(
        source="template.channel.code", max_length=32, help_text=gettext_lazy("Code.")
    )
    template_id = serializers.CharField(
        source="template.template_id",
        max_length=64,
        help_text=gettext_lazy("WeChat's, of this channel."),
    )
    page = serializers.CharField(
        source="url",
        max_length=1000,
        required=False,
        allow_blank=True,
        help_text=gettext_lazy("What a subscribe-notification has instead of url."),
    )
    miniprogram = MiniprogramField(required=False, allow_null=True)
    variables = serializers.SerializerMethodField(
        help_text=gettext_lazy("The names between {{ and }}.")
    )

    class Meta:
        model = GeneralTemplate
        fields: ClassVar = [
            "id",
            "name",
            "channel",
            "template_id",
            "url",
            "page",
            "miniprogram",
            "general",
            "variables",
            "created_at",
        ]

    # Named by hand: `data` is taken on a serializer.
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        named = super().get_fields()
        named["data"] = serializers.DictField(
            child=serializers.CharField(
                max_length=general.TEXT_AT_MOST, trim_whitespace=False
            ),
            help_text=gettext_lazy("A text for each field of the template."),
        )
        return named

    def to_representation(self, instance: GeneralTemplate) -> dict[str, Any]:
        shown: dict[str, Any] = super().to_representation(instance)
        shown["url" if instance.template.is_subscribe else "page"] = ""
        return shown

    def get_variables(self, row: GeneralTemplate) -> list[str]:
        return general.variables(row)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Find the template, and check the texts against its fields."""
        template = self._template(attrs.pop("template", {}))
        data = attrs.get("data", self.instance.data if self.instance else {})
        if wrong := general.problems(template, data):
            raise serializers.ValidationError(
                {"data": {key: [sentence] for key, sentence in wrong.items()}}
            )
        if "miniprogram" in attrs:
            program = attrs.pop("miniprogram")
            attrs.update(program or {"miniprogram_appid": "", "miniprogram_path": ""})
        return {**attrs, "template": template}

    def _template(self, given: dict[str, Any]) -> Template:
        old = self.instance.template if self.instance else None
        if not given and old:
            return old
        code = given.get("channel", {}).get("code") or (old and old.channel.code)
        channel = Channel.objects.filter(code=code).first()
        if channel is None:
            raise serializers.ValidationError(
                {"channel": _("No channel has the code “%(code)s”.") % {"code": code}}
            )
        template_id = given.get("template_id") or (old and old.template_id)
        templates = Template.objects.current().filter(channel=channel)
        template = templates.filter(template_id=template_id).first()
        if template is None:
            raise serializers.ValidationError(
                {"template_id": _("The channel has no such template. Refresh them.")}
            )
        return template


ALL = GeneralTemplate.objects.select_related("template__channel")


@describe_list(
    "general template", "general_templates", GeneralTemplateSerializer, GIVEN, SHOWN
)
class GeneralTemplateList(ThingList):
    serializer_class = GeneralTemplateSerializer
    queryset = ALL


@describe_detail(
    "general template", "general_templates", GeneralTemplateSerializer, SHOWN
)
class GeneralTemplateDetail(ThingDetail):
    serializer_class = GeneralTemplateSerializer
    queryset = ALL
