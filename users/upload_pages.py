"""The console's pages of uploads: choose a file, look at it, start, watch, report."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from channels_wechat.models import Channel

from . import importing
from .models import Upload
from .reporting import report_answer, sample_answer
from .workbooks import BadFile

ERRORS_A_PAGE = 50
MEANINGS = {
    "userid": "userid",
    "bind_id": _("channel code"),
    "wechatoa_openid": "openID",
    "tag": _("tags"),
    "phone": _("phone"),
    "email": _("email"),
}


class ChoiceForm(forms.Form):
    """Where openIDs go, and what is done with the rows."""

    channel = forms.ModelChoiceField(
        Channel.objects.all(),
        required=False,
        label=_("Channel"),
        empty_label=_("From the column bind_id"),
        help_text=_("Whose openIDs these are, in rows without a bind_id of their own."),
    )
    mode = forms.ChoiceField(
        choices=Upload.Mode.choices,
        initial=Upload.Mode.SET,
        help_text=_(
            "Set overwrites what a row says; empty cells change nothing. Add does the "
            "same, but keeps the tags that are there. Delete takes away exactly what "
            "a row says, and whole people when userid is the only column."
        ),
        label=_("What to do with the rows"),
    )


class UploadForm(ChoiceForm):
    file = forms.FileField(
        label=_("File"),
        allow_empty_file=True,
        help_text=_(".xlsx, or .csv in UTF-8 or GBK; at most 100 MB."),
    )


class UploadAdmin(ModelAdmin):
    """The history of uploads is a list of the admin; the rest are pages of our own."""

    list_display = ["named", "channel", "shown_mode", "state", "result", "began"]
    list_filter = ["status", "channel"]
    list_filter_submit = False
    list_select_related = ["channel", "created_by"]
    search_fields = ["name"]
    ordering = ["-pk"]
    list_per_page = 50
    actions = None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # rows are written by the import alone

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # `discard` asks for this permission itself

    @admin.display(description=_("file name"), ordering="name")
    def named(self, upload: Upload) -> SafeString:
        by = upload.created_by or gettext("by API")
        return format_html(
            '<span class="strong">{}</span><br><span class="note">{}</span>',
            upload.name,
            by,
        )

    @admin.display(description=_("mode"), ordering="mode")
    def shown_mode(self, upload: Upload) -> str:
        return upload.get_mode_display()

    @admin.display(description=_("status"), ordering="status")
    def state(self, upload: Upload) -> SafeString:
        return format_html(
            '<span class="pill pill-{}">{}</span>',
            upload.status,
            upload.get_status_display(),
        )

    @admin.display(description=_("rows"))
    def result(self, upload: Upload) -> SafeString:
        parts = [gettext("%(count)s imported") % {"count": f"{upload.rows_ok:,}"}]
        if upload.rows_failed:
            refused = f"{upload.rows_failed:,}"
            parts.append(gettext("%(count)s refused") % {"count": refused})
        return format_html('<span class="num">{}</span>', " · ".join(parts))

    @admin.display(description=_("created"), ordering="created_at")
    def began(self, upload: Upload) -> Any:
        return upload.created_at

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        post: Callable[[Any], Any] = lambda page: view(require_POST(page))  # noqa: E731
        name = "users_upload_{}".format
        return [
            path("sample.xlsx", view(self.sample_view), name=name("sample")),
            path("<int:pk>/start/", post(self.start_view), name=name("start")),
            path("<int:pk>/choose/", post(self.choose_view), name=name("choose")),
            path("<int:pk>/discard/", post(self.discard_view), name=name("discard")),
            path("<int:pk>/progress/", view(self.progress_view), name=name("progress")),
            path("<int:pk>/report.xlsx", view(self.report_view), name=name("report")),
            *super().get_urls(),
        ]

    def _page(
        self, request: HttpRequest, template: str, title: Any, **context: Any
    ) -> TemplateResponse:
        frame = {**self.admin_site.each_context(request), "opts": self.opts}
        frame |= {"title": title, "may_add": self.has_add_permission(request)}
        return TemplateResponse(request, template, frame | context)

    # -- choose ------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = UploadForm(initial={"channel": _only_channel()})
        if request.method == "POST":
            form = UploadForm(request.POST, request.FILES)
            if form.is_valid():
                given = form.cleaned_data
                try:
                    upload = importing.new_upload(
                        given["file"],
                        given["file"].name,
                        mode=given["mode"],
                        channel=given["channel"],
                        by=request.user,
                    )
                except BadFile as bad:
                    form.add_error("file", bad.sentence)
                else:
                    return _to(upload)
        return self._page(
            request,
            "users/upload_new.html",
            _("Upload users"),
            form=form,
            columns=_column_guide(),
        )

    def sample_view(self, request: HttpRequest) -> Any:
        return sample_answer()

    # -- look at it --------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        upload = self._upload(request, object_id)
        if upload.status == Upload.Status.PREVIEW:
            return self._preview(request, upload)
        after = request.GET.get("after", "")
        errors = upload.errors.order_by("pk")
        if after.isdecimal() and len(after) < 19:
            errors = errors.filter(pk__gt=int(after))
        found = list(errors[: ERRORS_A_PAGE + 1])
        return self._page(
            request,
            "users/upload.html",
            upload.name,
            original=upload,
            upload=upload,
            problems=found[:ERRORS_A_PAGE],
            next_after=found[ERRORS_A_PAGE - 1].pk if len(found) > ERRORS_A_PAGE else 0,
            is_first_page=not after,
        )

    def _preview(self, request: HttpRequest, upload: Upload) -> HttpResponse:
        preview, broken = None, ""
        try:
            preview = importing.preview(upload)
        except BadFile as bad:
            broken = bad.sentence
        columns = [
            (name, means, MEANINGS.get(means, "")) for name, means in upload.columns
        ]
        return self._page(
            request,
            "users/upload_preview.html",
            upload.name,
            original=upload,
            upload=upload,
            preview=preview,
            broken=broken,
            columns=columns,
            form=ChoiceForm(initial={"channel": upload.channel, "mode": upload.mode}),
        )

    def _upload(
        self, request: HttpRequest, pk: str | int, *, to_change: bool = False
    ) -> Upload:
        allowed = (
            self.has_add_permission(request)
            if to_change
            else self.has_view_permission(request)
        )
        if not allowed:
            raise PermissionDenied
        if not str(pk).isdecimal() or len(str(pk)) > 18:
            raise Http404
        uploads = Upload.objects.select_related("channel", "created_by")
        return get_object_or_404(uploads, pk=pk)

    # -- start, watch, report ----------------------------------------------------------

    def choose_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        upload = self._upload(request, pk, to_change=True)
        form = ChoiceForm(request.POST)
        if form.is_valid():
            Upload.objects.filter(pk=pk, status=Upload.Status.PREVIEW).update(
                channel=form.cleaned_data["channel"], mode=form.cleaned_data["mode"]
            )
        return _to(upload)

    def start_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        upload = self._upload(request, pk, to_change=True)
        importing.start(upload)
        return _to(upload)

    def discard_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        upload = self._upload(request, pk, to_change=True)
        if upload.status != Upload.Status.PREVIEW:
            may_delete = request.user.has_perm("users.delete_upload")
            if not may_delete:
                raise PermissionDenied
        if importing.discard(upload):
            messages.success(request, gettext("%(name)s is gone.") % {"name": upload})
            return HttpResponseRedirect(reverse("admin:users_upload_changelist"))
        messages.warning(request, gettext("It is being imported; wait for its end."))
        return _to(upload)

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The moving part of the page; once it is over, the page is loaded anew."""
        upload = self._upload(request, pk)
        response = TemplateResponse(
            request, "users/_upload_progress.html", {"upload": upload}
        )
        if not upload.is_open:
            response["X-Live"] = "reload"
        return response

    def report_view(self, request: HttpRequest, pk: int) -> Any:
        return report_answer(self._upload(request, pk))


def _to(upload: Upload) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:users_upload_change", args=[upload.pk]))


def _only_channel() -> Channel | None:
    two = list(Channel.objects.filter(enabled=True)[:2])
    return two[0] if len(two) == 1 else None


def _column_guide() -> list[tuple[str, str, Any]]:
    """Return (name, other name, what goes in) of each column we take."""
    return [
        ("userid", "用户ID", _("Your own id of the person. Each row needs one.")),
        ("wechatoa_openid", "openID", _("28 characters, begins with o.")),
        ("tag", "标签", _("One or more, with commas or semicolons between.")),
        ("phone", "手机号", _("Digits, as number or as text.")),
        ("email", "邮箱", _("One address.")),
        ("bind_id", "通道编码", _("Code of the channel of this row's openID.")),
    ]
