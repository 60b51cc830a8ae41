"""WeChat's public template library over the resource API."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from channels_wechat.api.errors import Conflict
from channels_wechat.api.schema import COMMON, INVALID, WECHAT, refused
from channels_wechat.models import Channel
from channels_wechat.wechat.library import MAX_KEYWORDS, MAX_SCENE, MIN_KEYWORDS
from templates_mgmt import library
from templates_mgmt.models import Template

from .serializers import KINDS, TemplateSerializer

CODE_OF = gettext_lazy("Code of a channel.")
PAGE, MAX_PAGE = 30, 100
View = TypeVar("View", bound=Callable[..., Response])


class ChannelQuery(serializers.Serializer[Any]):
    """Whose library: titles depend on an account's categories."""

    channel = serializers.SlugRelatedField(
        slug_field="code", queryset=Channel.objects.all(), help_text=CODE_OF
    )


class TitleQuery(ChannelQuery):
    """Which titles."""

    category = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        help_text=gettext_lazy("Id of a category; all of the account's without it."),
    )
    q = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text=gettext_lazy("Words that the title has."),
    )
    cursor = serializers.RegexField(r"\A[0-9]{1,6}\Z", required=False)
    page_size = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_PAGE, default=PAGE
    )


class KeywordQuery(ChannelQuery):
    """Of which title."""

    tid = serializers.RegexField(r"\A[0-9]{1,18}\Z")


class CategorySerializer(serializers.Serializer[Any]):
    """A category (类目) of the account."""

    id = serializers.IntegerField()
    name = serializers.CharField()


class TitleSerializer(serializers.Serializer[Any]):
    """A public template."""

    tid = serializers.CharField()
    title = serializers.CharField()
    long_term = serializers.BooleanField(
        help_text=gettext_lazy(
            "Accepted once, good for any number of messages; otherwise for one."
        )
    )
    category = serializers.IntegerField()


class KeywordSerializer(serializers.Serializer[Any]):
    """A field that a title offers."""

    kid = serializers.IntegerField()
    name = serializers.CharField()
    example = serializers.CharField()
    type = serializers.CharField(help_text=gettext_lazy("What its values must be."))


class NewTemplateSerializer(serializers.Serializer[Any]):
    """What to add: of subscribe-notifications `tid`, `kids` and `scene`, of template
    messages `template_id_short` and `keywords`."""

    REQUIRED: ClassVar = {
        Template.Kind.SUBSCRIBE: ("tid", "kids", "scene"),
        Template.Kind.TEMPLATE: ("template_id_short", "keywords"),
    }

    channel = serializers.SlugRelatedField(
        slug_field="code", queryset=Channel.objects.all(), help_text=CODE_OF
    )
    kind = serializers.ChoiceField(KINDS)
    tid = serializers.RegexField(r"\A[0-9]{1,18}\Z", required=False)
    kids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**31 - 1),
        min_length=MIN_KEYWORDS,
        max_length=MAX_KEYWORDS,
        required=False,
        help_text=gettext_lazy("Keywords of the title, in the order of the message."),
    )
    scene = serializers.CharField(
        max_length=MAX_SCENE,
        required=False,
        help_text=gettext_lazy("When people are notified; they see it."),
    )
    template_id_short = serializers.RegexField(
        r"\A[A-Za-z0-9]{1,40}\Z",
        required=False,
        help_text=gettext_lazy("The template's number in WeChat's console."),
    )
    keywords = serializers.ListField(
        child=serializers.CharField(max_length=40),
        min_length=1,
        max_length=MAX_KEYWORDS,
        required=False,
        help_text=gettext_lazy("Names of keywords, in the order of the message."),
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        missing = [name for name in self.REQUIRED[attrs["kind"]] if name not in attrs]
        if missing:
            raise serializers.ValidationError(
                {name: _("This field is required.") for name in missing}
            )
        for name in ("kids", "keywords"):
            if len(set(attrs.get(name, ()))) != len(attrs.get(name, ())):
                raise serializers.ValidationError({name: _("Each one once, please.")})
        return attrs

    def add(self) -> Template:
        """Add it at WeChat and here. Raises WeChatError classes."""
        given = self.validated_data
        if given["kind"] == Template.Kind.SUBSCRIBE:
            return library.add_subscribe(
                given["channel"], given["tid"], given["kids"], given["scene"]
            )
        return library.add_template(
            given["channel"], given["template_id_short"], given["keywords"]
        )


def _described(
    what: str, row: type[serializers.Serializer[Any]], shown: Any
) -> Callable[[View], View]:
    """Return what describes one list of the library."""
    answer = type(
        f"{row.__name__.removesuffix('Serializer')}Page",
        (serializers.Serializer,),
        {
            "__doc__": "A page of a list.",
            "next": serializers.URLField(allow_null=True),
            "previous": serializers.URLField(allow_null=True),
            "results": row(many=True),
        },
    )
    queries = {"categories": ChannelQuery, "titles": TitleQuery}
    page = {"next": None, "previous": None, "results": [shown]}
    described: Callable[[View], View] = extend_schema(
        operation_id=f"public_templates_{what}",
        summary=f"List the {what} of WeChat's public library",
        parameters=[queries.get(what, KeywordQuery)],
        responses={200: answer, 400: INVALID, 502: WECHAT, **COMMON},
        examples=[OpenApiExample(what, page, response_only=True, status_codes=["200"])],
    )
    return described


class LibraryView(GenericAPIView[Template]):
    """What the views of the library share; adding needs the right to add."""

    queryset = Template.objects.none()
    serializer_class = TemplateSerializer

    def asked(self, query: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        given = query(data=self.request.query_params)
        given.is_valid(raise_exception=True)
        asked: dict[str, Any] = given.validated_data
        return asked

    def page(
        self,
        row: type[serializers.Serializer[Any]],
        found: Sequence[Any],
        start: int = 0,
        size: int | None = None,
    ) -> Response:
        """Return `size` of what was found, and where the others are."""
        size = size or max(len(found), 1)
        address = self.request.build_absolute_uri()

        def at(place: int) -> str:
            return replace_query_param(address, "cursor", str(place))

        return Response(
            {
                "next": at(start + size) if start + size < len(found) else None,
                "previous": at(max(start - size, 0)) if start else None,
                "results": row(found[start : start + size], many=True).data,
            }
        )


class CategoryList(LibraryView):
    """The categories of an account."""

    @_described("categories", CategorySerializer, {"id": 616, "name": "城市公用服务"})
    def get(self, request: Request) -> Response:
        asked = self.asked(ChannelQuery)
        return self.page(CategorySerializer, library.categories(asked["channel"]))


class TitleList(LibraryView):
    """The public templates of an account's categories."""

    @_described(
        "titles",
        TitleSerializer,
        {"tid": "3001", "title": "停水通知", "long_term": True, "category": 616},
    )
    def get(self, request: Request) -> Response:
        asked = self.asked(TitleQuery)
        found = library.titles(
            asked["channel"], asked.get("category"), asked.get("q", "")
        )
        start = int(asked.get("cursor", 0))
        return self.page(TitleSerializer, found, start, asked["page_size"])


class KeywordList(LibraryView):
    """The keywords a public template offers."""

    @_described(
        "keywords",
        KeywordSerializer,
        {"kid": 1, "name": "停水区域", "example": "云杉花园一期", "type": "thing"},
    )
    def get(self, request: Request) -> Response:
        asked = self.asked(KeywordQuery)
        return self.page(
            KeywordSerializer, library.keywords(asked["channel"], asked["tid"])
        )


class TemplateDetail(LibraryView):
    """One template of a channel."""

    @extend_schema(
        operation_id="templates_delete",
        summary="Remove a template, at WeChat and here",
        parameters=[
            OpenApiParameter(
                "channel", OpenApiTypes.STR, OpenApiParameter.PATH, description=CODE_OF
            )
        ],
        responses={
            204: None,
            404: refused("not_found", "No such template."),
            409: refused("in_use", "2 sends still use this template."),
            502: WECHAT,
            **COMMON,
        },
    )
    def delete(self, request: Request, channel: str, template_id: str) -> Response:
        template = (
            Template.objects.current()
            .select_related("channel")
            .filter(channel__code=channel, template_id=template_id)
            .first()
        )
        if template is None:
            raise NotFound(_("The channel has no such template."))
        try:
            library.remove(template)
        except library.TemplateInUse as used:
            raise Conflict(str(used), "in_use") from None
        return Response(status=status.HTTP_204_NO_CONTENT)
