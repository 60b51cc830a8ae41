"""Workbooks written by hand, for what no library would write."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def inline(*texts: str) -> str:
    cells = "".join(f'<c t="inlineStr"><is><t>{text}</t></is></c>' for text in texts)
    return f"<row>{cells}</row>"


def write(
    path: Path,
    rows: str | Iterable[bytes],
    *,
    strings: str | Iterable[bytes] = "",
    styles: str = "",
    sheet_head: str = "",
    workbook: str = "",
    extra: dict[str, str] | None = None,
) -> Path:
    """Write a workbook whose only sheet holds `rows` (XML) between <sheetData>."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr(
            "[Content_Types].xml", f'<Types xmlns="{PACKAGE}/content-types"/>'
        )
        file.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" '
            f'Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/>'
            "</Relationships>",
        )
        file.writestr(
            "xl/workbook.xml",
            workbook
            or f'<workbook {MAIN} xmlns:r="{RELATIONS}"><sheets>'
            '<sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
        )
        kinds = {"worksheet": "worksheets/sheet1.xml"}
        if strings:
            kinds["sharedStrings"] = "sharedStrings.xml"
        if styles:
            kinds["styles"] = "styles.xml"
        relations = "".join(
            f'<Relationship Id="rId{number}" Type="{RELATIONS}/{kind}" '
            f'Target="{part}"/>'
            for number, (kind, part) in enumerate(kinds.items(), 1)
        )
        file.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships">{relations}'
            "</Relationships>",
        )
        if strings:
            with file.open("xl/sharedStrings.xml", "w", force_zip64=True) as part:
                if isinstance(strings, str):
                    strings = [strings.encode()]
                part.write(f"<sst {MAIN}>".encode())
                for block in strings:
                    part.write(block)
                part.write(b"</sst>")
        if styles:
            file.writestr("xl/styles.xml", f"<styleSheet {MAIN}>{styles}</styleSheet>")
        with file.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as part:
            part.write(f"<worksheet {MAIN}>{sheet_head}<sheetData>".encode())
            for block in [rows.encode()] if isinstance(rows, str) else rows:
                part.write(block)
            part.write(b"</sheetData></worksheet>")
        for name, text in (extra or {}).items():
            file.writestr(name, text)
    return path
