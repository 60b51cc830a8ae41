"""Make `recipients.xlsx`, what `make demo` uploads: 1,000 people of the sandbox.

    python docs/demo/make_workbook.py

The openIDs follow from numbers, so the file fits every sandbox.
"""

import sys
from datetime import datetime
from pathlib import Path

from openpyxl import Workbook
from openpyxl.styles import Font

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from sandbox.accounts import DEMO_APPID  # noqa: E402  # the line above finds it
from sandbox.people import openid  # noqa: E402

PEOPLE = 1000
TAGS = ("gold", "silver", "bronze")


def main() -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "recipients"
    sheet.append(["userid", "wechatoa_openid", "tag", "phone", "email"])
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    for n in range(1, PEOPLE + 1):
        sheet.append(
            [
                f"u{n:04}",
                openid(DEMO_APPID, n),
                TAGS[0 if n % 20 == 1 else 1 if n % 4 == 0 else 2],
                f"138{n:08}",
                f"u{n:04}@example.com",
            ]
        )
    for column, width in zip("ABCDE", (10, 34, 10, 14, 22), strict=True):
        sheet.column_dimensions[column].width = width
    sheet.freeze_panes = "A2"
    # The same bytes every time: no time of day in it.
    book.properties.created = book.properties.modified = datetime(2026, 1, 1)  # noqa: DTZ001  # Excel has no zones
    book.save(HERE / "recipients.xlsx")


if __name__ == "__main__":
    main()
