"""The views of things that are simply listed, made, read, changed and removed."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import Model
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework.generics import ListCreateAPIView, RetrieveUpdateDestroyAPIView
from rest_framework.serializers import BaseSerializer

from .errors import unique, unused
from .pagination import OldestFirst
from .schema import COMMON, INVALID, refused

View = TypeVar("View", bound=type)
TAKEN = refused("taken", "Another call took this name just now.")


class ThingList(ListCreateAPIView[Any]):
    """All of them, and a new one."""

    pagination_class = OldestFirst

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        with unique():
            serializer.save()


class ThingDetail(RetrieveUpdateDestroyAPIView[Any]):
    """One of them."""

    http_method_names = ["get", "patch", "delete", "head", "options"]
    in_use: str | Promise = _("This is in use.")

    def perform_update(self, serializer: BaseSerializer[Any]) -> None:
        with unique():
            serializer.save()

    def perform_destroy(self, instance: Model) -> None:
        with unused(self.in_use):
            instance.delete()


def describe_list(
    name: str,
    plural: str,
    serializer: type[BaseSerializer[Any]],
    given: dict[str, Any],
    shown: dict[str, Any],
) -> Callable[[View], View]:
    """Describe a ThingList; `given` and `shown` are the examples."""
    words = plural.replace("_", " ")
    example = OpenApiExample(name, shown, response_only=True)
    return extend_schema_view(
        get=extend_schema(
            operation_id=f"{plural}_list",
            summary=f"List the {words}",
            responses={200: serializer(many=True), 400: INVALID, **COMMON},
            examples=[example],
        ),
        post=extend_schema(
            operation_id=f"{plural}_create",
            summary=f"Make a {name}",
            responses={201: serializer, 400: INVALID, 409: TAKEN, **COMMON},
            examples=[OpenApiExample(f"new {name}", given, request_only=True), example],
        ),
    )


def describe_detail(
    name: str,
    plural: str,
    serializer: type[BaseSerializer[Any]],
    shown: dict[str, Any],
    in_use: str = "",
) -> Callable[[View], View]:
    """Describe a ThingDetail; `in_use` is why one may not be removable."""
    missing = refused("not_found", f"No such {name}.")
    kept: dict[int, Any] = {409: refused("in_use", in_use)} if in_use else {}
    example = OpenApiExample(name, shown, response_only=True)
    return extend_schema_view(
        get=extend_schema(
            operation_id=f"{plural}_read",
            summary=f"One {name}",
            responses={200: serializer, 404: missing, **COMMON},
            examples=[example],
        ),
        patch=extend_schema(
            operation_id=f"{plural}_change",
            summary=f"Change a {name}",
            responses={
                200: serializer,
                400: INVALID,
                404: missing,
                409: TAKEN,
                **COMMON,
            },
            examples=[example],
        ),
        delete=extend_schema(
            operation_id=f"{plural}_delete",
            summary=f"Remove a {name}",
            responses={204: None, 404: missing, **kept, **COMMON},
        ),
    )
