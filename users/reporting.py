"""Workbooks that we write: the report of an upload, and the sample to fill in."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any

from django.http import FileResponse
from django.utils.translation import gettext as _
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font, PatternFill

from .models import Upload

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def write_report(upload: Upload, file: IO[bytes]) -> None:
    """Write row, userid, kind and reason of every problem, in the active language."""
    error, warning = _("refused"), _("warning")
    _write(
        file,
        _("Report"),
        [(_("Row"), 8), ("userid", 28), (_("Result"), 12), (_("Reason"), 100)],
        (
            [
                found.row,
                found.userid,
                warning if found.is_warning else error,
                found.reason,
            ]
            for found in upload.errors.order_by("id").iterator(2000)
        ),
    )


def write_sample(file: IO[bytes]) -> None:
    """Write a workbook with every column and rows that show how they are meant.

    The openIDs have the right shape and belong to nobody.
    """
    _write(
        file,
        _("Users"),
        [
            ("userid", 18),
            ("wechatoa_openid", 34),
            ("tag", 20),
            ("phone", 18),
            ("email", 28),
            ("bind_id", 14),
        ],
        [
            [
                "zhangsan",
                f"o{'A' * 24}001",
                "会员;北京",
                "13800138001",
                "zs@example.com",
            ],
            ["lisi", f"o{'A' * 24}002", "会员", "+8613800138002"],
            ["100234", f"o{'A' * 24}003", "", "", "wangwu@example.com"],
        ],
    )


def report_answer(upload: Upload) -> FileResponse:
    """Return the report of an upload as a download."""
    return _download(
        lambda file: write_report(upload, file), f"upload-{upload.pk}-report.xlsx"
    )


def sample_answer() -> FileResponse:
    """Return the sample workbook as a download."""
    return _download(write_sample, "users-sample.xlsx")


def _download(write: Callable[[IO[bytes]], None], name: str) -> FileResponse:
    file = tempfile.TemporaryFile()  # noqa: SIM115  the response closes it
    write(file)
    file.seek(0)
    return FileResponse(
        file, as_attachment=True, filename=name, content_type=CONTENT_TYPE
    )


def _write(
    file: IO[bytes],
    title: str,
    columns: Sequence[tuple[str, int]],
    rows: Iterable[Sequence[Any]],
) -> None:
    book = Workbook(write_only=True)
    sheet = book.create_sheet(title[:31])
    for at, (_name, width) in enumerate(columns):
        sheet.column_dimensions["ABCDEFGH"[at]].width = width
    sheet.freeze_panes = "A2"
    head = []
    for name, _width in columns:
        cell = WriteOnlyCell(sheet, name)
        cell.font = Font(bold=True)
        cell.fill = PatternFill("solid", fgColor="E5F4EB")
        head.append(cell)
    sheet.append(head)
    for row in rows:
        sheet.append([_plain(sheet, value) for value in row])
    book.save(file)


def _plain(sheet: Any, value: Any) -> Any:
    """A text stays a text: what begins with "=" would else become a formula."""
    if not isinstance(value, str):
        return value
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("�", value))
    cell.data_type = "s"
    # Format "text": digits stay digits when somebody edits the cell.
    cell.number_format = "@"
    return cell
