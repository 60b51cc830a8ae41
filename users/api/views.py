"""The addresses of uploads and recipients below /api/."""

from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from channels_wechat.api.auth import console_user
from channels_wechat.api.errors import Unprocessable
from channels_wechat.api.pagination import CursorPagination, OldestFirst
from channels_wechat.api.schema import COMMON, INVALID, NOT_FOUND, refused
from users import importing, reporting
from users.models import Recipient, Upload, UploadError
from users.workbooks import BadFile

from .serializers import (
    NewUploadSerializer,
    RecipientQuery,
    RecipientSerializer,
    UploadErrorSerializer,
    UploadSerializer,
)

SHOWN_UPLOAD = {
    "id": 7,
    "status": "finished",
    "detail": "",
    "name": "members.xlsx",
    "channel": "hr",
    "mode": "set",
    "rows_total": 1204,
    "rows_ok": 1203,
    "rows_failed": 1,
    "rows_warned": 0,
    "ignored_columns": ["name"],
    "created_at": "2026-11-22T09:30:00Z",
    "started_at": "2026-11-22T09:30:00Z",
    "finished_at": "2026-11-22T09:30:02Z",
}
SHOWN_PERSON = {
    "userid": "zhangsan",
    "openids": {"hr": "oRcf0w_yHT-1F_pioV1cHbf7ghFI"},
    "tags": ["会员", "北京"],
    "phone": "13800138000",
    "email": "zhangsan@example.com",
}


class UploadList(ListAPIView[Upload]):
    """Files of users."""

    serializer_class = UploadSerializer
    pagination_class = CursorPagination
    parser_classes = (MultiPartParser,)

    def get_queryset(self) -> QuerySet[Upload]:
        # A preview is the console's own affair until somebody starts it.
        uploads = Upload.objects.exclude(status=Upload.Status.PREVIEW)
        return uploads.select_related("channel")

    @extend_schema(
        operation_id="uploads_list",
        summary="List the uploads",
        responses={200: UploadSerializer(many=True), 400: INVALID, **COMMON},
        examples=[OpenApiExample("upload", SHOWN_UPLOAD, response_only=True)],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="uploads_create",
        summary="Upload users",
        description="The header is read at once, the rows are imported by a worker. "
        "Modes: `set` overwrites what a row says and leaves empty cells alone; `add` "
        "does the same, but keeps the tags that are there; `del` takes away exactly "
        "what a row says, and the whole recipient when there is no column but "
        "`userid`.",
        request={"multipart/form-data": NewUploadSerializer},
        responses={
            202: UploadSerializer,
            400: INVALID,
            422: refused("bad_file", "No column is called userid. Found: name, phone."),
            **COMMON,
        },
        examples=[
            OpenApiExample(
                "queued",
                {**SHOWN_UPLOAD, "status": "queued", "finished_at": None},
                response_only=True,
                status_codes=["202"],
            )
        ],
    )
    def post(self, request: Request) -> Response:
        given = NewUploadSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        file = given.validated_data["file"]
        try:
            upload = importing.new_upload(
                file,
                file.name,
                mode=given.validated_data["mode"],
                channel=given.validated_data.get("channel"),
                by=console_user(request),
                status=Upload.Status.QUEUED,
            )
        except BadFile as bad:
            raise Unprocessable(bad.sentence, "bad_file") from None
        answer = UploadSerializer(upload).data
        return Response(answer, status=status.HTTP_202_ACCEPTED)


class UploadView(GenericAPIView[Any]):
    """What every address below one upload shares."""

    serializer_class: type[BaseSerializer[Any]] = UploadSerializer
    queryset = Upload.objects.select_related("channel")

    def upload(self) -> Upload:
        """Return the upload of the address. Raises NotFound."""
        found = Upload.objects.select_related("channel").filter(pk=self.kwargs["pk"])
        upload = found.exclude(status=Upload.Status.PREVIEW).first()
        if upload is None:
            raise NotFound(_("No such upload."))
        return upload


class UploadDetail(UploadView):
    @extend_schema(
        operation_id="uploads_retrieve",
        summary="How far an upload is",
        responses={200: UploadSerializer, 404: NOT_FOUND, **COMMON},
        examples=[OpenApiExample("upload", SHOWN_UPLOAD, response_only=True)],
    )
    def get(self, request: Request, pk: str) -> Response:
        return Response(UploadSerializer(self.upload()).data)


class UploadErrors(UploadView):
    """Rows that were refused, or imported with a warning."""

    serializer_class = UploadErrorSerializer
    pagination_class = OldestFirst

    @extend_schema(
        operation_id="uploads_errors_list",
        summary="List the rows with problems",
        responses={
            200: UploadErrorSerializer(many=True),
            400: INVALID,
            404: NOT_FOUND,
            **COMMON,
        },
        examples=[
            OpenApiExample(
                "error",
                {
                    "row": 17,
                    "userid": "lisi",
                    "level": "error",
                    "code": "openid_shape",
                    "reason": "openID: “oRcf0w” is none; an openID has 28 characters "
                    "and begins with o.",
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, pk: str) -> Response:
        errors = UploadError.objects.filter(upload=self.upload())
        page = self.paginate_queryset(errors)
        shown = self.get_serializer(page, many=True)
        return self.get_paginated_response(shown.data)


class UploadReport(UploadView):
    """The same as a workbook."""

    @extend_schema(
        operation_id="uploads_errors_workbook",
        summary="The rows with problems as .xlsx",
        responses={
            (200, reporting.CONTENT_TYPE): OpenApiResponse(OpenApiTypes.BINARY),
            404: NOT_FOUND,
            **COMMON,
        },
    )
    def get(self, request: Request, pk: str) -> FileResponse:
        return reporting.report_answer(self.upload())


class RecipientList(ListAPIView[Recipient]):
    """People."""

    serializer_class = RecipientSerializer
    pagination_class = OldestFirst
    queryset = Recipient.objects.with_bindings()

    def get_queryset(self) -> QuerySet[Recipient]:
        query = RecipientQuery(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        people = Recipient.objects.with_bindings()
        if tag := asked.get("tag"):
            people = people.tagged(tag)
        if channel := asked.get("channel"):
            people = people.bound_to(channel.pk)
        if text := asked.get("q"):
            people = people.matching(text)
        return people

    @extend_schema(
        operation_id="recipients_list",
        summary="List the recipients",
        parameters=[RecipientQuery],
        responses={200: RecipientSerializer(many=True), 400: INVALID, **COMMON},
        examples=[OpenApiExample("recipient", SHOWN_PERSON, response_only=True)],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class RecipientDetail(GenericAPIView[Recipient]):
    """One person."""

    serializer_class = RecipientSerializer
    queryset = Recipient.objects.with_bindings()

    @extend_schema(
        operation_id="recipients_retrieve",
        summary="One recipient",
        responses={200: RecipientSerializer, 404: NOT_FOUND, **COMMON},
        examples=[OpenApiExample("recipient", SHOWN_PERSON, response_only=True)],
    )
    def get(self, request: Request, userid: str) -> Response:
        person = self.get_queryset().filter(userid=userid).first()
        if person is None:
            raise NotFound(_("No such recipient."))
        return Response(RecipientSerializer(person).data)
