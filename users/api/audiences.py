"""Black and white lists, and segments, over the resource API."""

from collections.abc import Sequence
from typing import Any, ClassVar

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
from users import audiences, validators
from users.models import Segment, UserList

TAGS_AT_MOST = 100
LIST = {
    "id": 3,
    "kind": "black",
    "name": "Unsubscribed",
    "size": 2,
    "created_at": "2026-11-22T12:00:00+08:00",
}
SEGMENT = {
    "id": 5,
    "name": "Members in Beijing",
    "any_tags": ["北京"],
    "all_tags": ["会员"],
    "none_tags": ["员工"],
    "size": 1204,
    "created_at": "2026-11-22T12:00:00+08:00",
}
LIST_IN_USE = gettext_lazy("Sends name this list, so it stays. Empty it instead.")


@extend_schema_field({"type": "array", "items": {"type": "string", "maxLength": 64}})
class UserIDs(serializers.Field[Any, Any, Any, Any]):
    """Userids in one pass: a hundred thousand are no reason to wait."""

    def to_internal_value(self, data: Any) -> list[str]:
        if not isinstance(data, list):
            raise serializers.ValidationError(_("Expected a list of userids."))
        if len(data) > audiences.USERIDS_AT_MOST:
            raise serializers.ValidationError(
                _("At most %(count)d userids.") % {"count": audiences.USERIDS_AT_MOST}
            )
        try:
            return audiences.checked(data)
        except audiences.BadUserID as bad:
            sentence = _("Item %(number)d is no userid.") % {"number": bad.index}
            raise serializers.ValidationError(sentence) from None

    def to_representation(self, value: Any) -> list[str]:
        return list(value.order_by("pk").values_list("userid", flat=True))


class UserListSerializer(serializers.ModelSerializer[UserList]):
    """A black or white list."""

    userids = UserIDs(
        write_only=True,
        help_text=gettext_lazy("Who shall be on it; openIDs for sends to openIDs."),
    )

    class Meta:
        model = UserList
        fields: ClassVar = ["id", "kind", "name", "userids", "size", "created_at"]

    def create(self, validated_data: dict[str, Any]) -> UserList:
        userids = validated_data.pop("userids")
        made = super().create(validated_data)
        audiences.replace(made, userids)
        return made

    def update(self, instance: UserList, validated_data: dict[str, Any]) -> UserList:
        userids = validated_data.pop("userids", None)
        changed = super().update(instance, validated_data)
        if userids is not None:
            audiences.replace(changed, userids)
        return changed


class OneUserListSerializer(UserListSerializer):
    """A list with who is on it."""

    userids = UserIDs(source="entries")

    def create(self, validated_data: dict[str, Any]) -> UserList:
        raise NotImplementedError("made by its parent")

    def update(self, instance: UserList, validated_data: dict[str, Any]) -> UserList:
        if "entries" in validated_data:
            validated_data["userids"] = validated_data.pop("entries")
        return super().update(instance, validated_data)


@describe_list(
    "list",
    "lists",
    UserListSerializer,
    {"kind": "black", "name": "Unsubscribed", "userids": ["zhangsan", "lisi"]},
    LIST,
)
class UserListList(ThingList):
    serializer_class = UserListSerializer
    queryset = UserList.objects.all()


@describe_detail(
    "list",
    "lists",
    OneUserListSerializer,
    {**LIST, "userids": ["zhangsan", "lisi"]},
    "Sends name this list, so it stays. Empty it instead.",
)
class UserListDetail(ThingDetail):
    serializer_class = OneUserListSerializer
    queryset = UserList.objects.all()
    in_use = LIST_IN_USE


def _tags() -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(validators=[validators.tag]),
        required=False,
        max_length=TAGS_AT_MOST,
    )


class SegmentSerializer(serializers.ModelSerializer[Segment]):
    """An audience under a name: people with tags, or a fixed list of userids."""

    any_tags = _tags()
    all_tags = _tags()
    none_tags = _tags()
    userids = UserIDs(
        write_only=True,
        required=False,
        help_text=gettext_lazy("A fixed list, instead of tags."),
    )
    size = serializers.SerializerMethodField(
        help_text=gettext_lazy("How many people of ours it means now.")
    )

    class Meta:
        model = Segment
        fields: ClassVar = [
            "id",
            "name",
            "any_tags",
            "all_tags",
            "none_tags",
            "userids",
            "size",
            "created_at",
        ]

    def get_size(self, segment: Segment) -> int:
        return audiences.members(segment).count()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check the whole segment as it will be: by tags, or fixed, not both."""
        old = self.instance
        tags: list[Sequence[str]] = [
            attrs.get(name, getattr(old, name) if old else [])
            for name in ("any_tags", "all_tags", "none_tags")
        ]
        fixed = bool(attrs.get("userids"))
        if old is not None and "userids" not in attrs:
            fixed = old.users.exists()
        if fixed and any(tags):
            raise serializers.ValidationError(
                {"userids": _("Choose either tags or a fixed list of userids.")}
            )
        if not fixed and not any(tags):
            raise serializers.ValidationError(
                {"any_tags": _("Give tags or userids: a segment is not everyone.")}
            )
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Segment:
        userids = validated_data.pop("userids", None)
        made = super().create(validated_data)
        audiences.replace(made, userids or [])
        return made

    def update(self, instance: Segment, validated_data: dict[str, Any]) -> Segment:
        userids = validated_data.pop("userids", None)
        changed = super().update(instance, validated_data)
        if userids is not None:
            audiences.replace(changed, userids)
        return changed


@describe_list(
    "segment",
    "segments",
    SegmentSerializer,
    {"name": "Members in Beijing", "any_tags": ["北京"], "all_tags": ["会员"]},
    SEGMENT,
)
class SegmentList(ThingList):
    serializer_class = SegmentSerializer
    queryset = Segment.objects.all()


@describe_detail("segment", "segments", SegmentSerializer, SEGMENT)
class SegmentDetail(ThingDetail):
    serializer_class = SegmentSerializer
    queryset = Segment.objects.all()
