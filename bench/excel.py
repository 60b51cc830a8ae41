"""A workbook into users and openIDs beside merely reading it with openpyxl."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

from .measure import Row, Size, in_turn, ratio
from .stage import ROOT, Stage, stage

COLUMNS = ["userid", "wechatoa_openid", "phone", "tag"]
TYPES = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/><Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>"""  # noqa: E501
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PARTS = {
    "[Content_Types].xml": TYPES,
    "_rels/.rels": f'<Relationships xmlns="{PACKAGE}"><Relationship Id="rId1" '
    f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
    '<sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}">'
    f'<Relationship Id="rId1" Type="{OFFICE}/worksheet" '
    'Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{OFFICE}/sharedStrings" '
    'Target="sharedStrings.xml"/></Relationships>',
}


def make_workbook(path: Path, rows: int) -> None:
    """Write a workbook as Excel saves it: every text is a shared string."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        for name, text in PARTS.items():
            book.writestr(name, text)
        with book.open("xl/sharedStrings.xml", "w", force_zip64=True) as part:
            uniques = len(COLUMNS) + 3 * rows + 10
            part.write(
                f'<sst xmlns="{MAIN}" count="{4 * rows + 4}" uniqueCount="{uniques}">'
                "".encode()
            )
            texts = [*COLUMNS, *(f"group{number}" for number in range(10))]
            part.write("".join(f"<si><t>{text}</t></si>" for text in texts).encode())
            for start in range(0, rows, 10_000):
                part.write(
                    "".join(
                        f"<si><t>user{n:08d}</t></si><si><t>oBook{n:023d}</t></si>"
                        f"<si><t>{13800000000 + n}</t></si>"
                        for n in range(start, min(rows, start + 10_000))
                    ).encode()
                )
            part.write(b"</sst>")
        with book.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as part:
            part.write(
                f'<worksheet xmlns="{MAIN}"><dimension ref="A1:D{rows + 1}"/>'
                '<sheetData><row r="1">'.encode()
            )
            part.write(
                "".join(
                    f'<c r="{letter}1" t="s"><v>{at}</v></c>'
                    for at, letter in enumerate("ABCD")
                ).encode()
            )
            part.write(b"</row>")
            for start in range(0, rows, 10_000):
                part.write(
                    "".join(
                        f'<row r="{n + 2}"><c r="A{n + 2}" t="s"><v>{14 + 3 * n}</v>'
                        f'</c><c r="B{n + 2}" t="s"><v>{15 + 3 * n}</v></c>'
                        f'<c r="C{n + 2}" t="s"><v>{16 + 3 * n}</v></c>'
                        f'<c r="D{n + 2}" t="s"><v>{4 + n % 10}</v></c></row>'
                        for n in range(start, min(rows, start + 10_000))
                    ).encode()
                )
            part.write(b"</sheetData></worksheet>")


def run(size: Size) -> list[Row]:
    with stage() as it:
        from django.core.files import File
        from django.db import connection

        from users import importing
        from users.models import OpenID, Recipient, Upload

        from . import product

        path, rows = it.place / "book.xlsx", size.large
        make_workbook(path, rows)
        channel = product.make_channel(0)
        peaks: dict[str, list[float]] = {"import": [], "openpyxl": []}

        def ours() -> float:
            with connection.cursor() as cursor:
                cursor.execute(
                    "TRUNCATE users_recipient, users_openid,"
                    " users_recipienttag, users_upload CASCADE"
                )
            with path.open("rb") as file:
                upload = importing.new_upload(File(file), "book.xlsx", channel=channel)
            # What `start` does, but without a wake-up that nobody hears.
            Upload.objects.filter(pk=upload.pk).update(status="queued")
            seconds, peak = _child(it, "import", str(upload.pk))
            upload.refresh_from_db()
            first = upload.errors.first()
            assert upload.rows_ok == rows, (upload.rows_ok, upload.detail, first)
            assert Recipient.objects.count() == OpenID.objects.count() == rows
            upload.file.delete(save=False)
            peaks["import"].append(peak)
            return rows / seconds

        def openpyxl() -> float:
            seconds, peak = _child(it, "openpyxl", str(path))
            peaks["openpyxl"].append(peak)
            return rows / seconds

        sides = in_turn(size.rounds, "rows/s", {"import": ours, "openpyxl": openpyxl})
        return [
            Row(
                f"importing {rows:,} rows of Excel / reading them with openpyxl",
                ratio(sides, "import", "openpyxl"),
                3,
                "at least",
                sides,
                "rows/s",
            ),
            Row(
                "peak memory of that import, both processes",
                max(peaks["import"]),
                600,
                "at most",
                peaks,
                "MB",
            ),
        ]


def _child(it: Stage, what: str, argument: str) -> tuple[float, float]:
    """Run one side in a process of its own; return its seconds and its peak in MB."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.excel", what, argument],
        env=it.env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    return found["seconds"], found["peak_mb"]


def _side(what: str, argument: str) -> None:
    import logging
    import resource
    import time

    if what == "import":
        import django

        django.setup()
        logging.disable(logging.INFO)
        from users.importing import import_upload

        started = time.perf_counter()
        import_upload(int(argument))
    else:
        from openpyxl import load_workbook

        started = time.perf_counter()
        book = load_workbook(argument, read_only=True)
        for _cells in book.worksheets[0].iter_rows(values_only=True):
            pass
    seconds = time.perf_counter() - started
    # Of ourselves and of the largest process that we have started: their sum is never
    # less than what both had at one time.
    peak = sum(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(json.dumps({"seconds": seconds, "peak_mb": peak / 1024}))


if __name__ == "__main__":
    _side(*sys.argv[1:])
