import io
import os
import random
import resource
import time
import zipfile
from datetime import date, datetime
from datetime import time as clock

import openpyxl
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont

from tests.users import sheets
from users import workbooks
from users.reading.__main__ import DAMAGED
from users.reading.cells import Refused, Run
from users.reading.xlsx import XlsxTable, _SheetReader, _Strings
from users.workbooks import BadFile, CellProblem, Columns, open_table


def read(path, name=""):
    with open_table(path, name) as table:
        return table.columns, list(table)


def refused(path, name=""):
    with pytest.raises(BadFile) as caught:
        read(path, name)
    # The sentence is complete: nothing is left to fill in.
    assert "%(" not in caught.value.sentence
    return caught.value.code


def workbook(path, *rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def csv(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


HEAD = sheets.inline("userid", "value")


def test_a_workbook_gives_columns_and_numbered_rows(tmp_path):
    path = workbook(
        tmp_path / "a.xlsx",
        ["userid", "手机号", None],
        ["u1", 13800138000],
        [],
        [None, None],
        [1001.0, "  \u3000x\u00a0\u200b"],
        ["u3"],
    )

    columns, rows = read(path)

    assert columns == ["userid", "手机号"]
    assert rows == [(2, ["u1", "13800138000"]), (5, ["1001", "x"]), (6, ["u3", ""])]


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (13800138000, "13800138000"),
        (1001.0, "1001"),
        (1.5, "1.5"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (-3, "-3"),
        (999999999999999, "999999999999999"),
        (True, "TRUE"),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime.fromisoformat("2026-01-31T08:30"), "2026-01-31 08:30"),
        (datetime.fromisoformat("2026-01-31T08:30:15"), "2026-01-31 08:30:15"),
        (clock(8, 30), "08:30"),
        ("000123", "000123"),
        ("110101199003071234", "110101199003071234"),
        ("a\nb", "a\nb"),
        (CellRichText("a", TextBlock(InlineFont(b=True), "b"), "c"), "abc"),
        ("\u202d13800138000\u202c", "13800138000"),
    ],
)
def test_values_read_as_a_person_sees_them(tmp_path, value, seen):
    path = workbook(tmp_path / "a.xlsx", ["userid", "value"], ["u1", value])

    assert read(path)[1] == [(2, ["u1", seen])]


@pytest.mark.parametrize(
    ("cell", "seen"),
    [
        ("<c><v>13800138000.0</v></c>", "13800138000"),
        ("<c><v>1.3800138E+10</v></c>", "13800138000"),
        ("<c><v> 7 </v></c>", "7"),
        ('<c t="n"><v>7</v></c>', "7"),
        ("<c><f>1+1</f><v>2</v></c>", "2"),
        ('<c t="str"><f>"U"&amp;"1"</f><v>U1</v></c>', "U1"),
        ('<c t="str"><f>""</f><v></v></c>', ""),
        ('<c t="d"><v>2026-01-31T08:30:00</v></c>', "2026-01-31 08:30:00"),
        ('<c t="inlineStr"><is><t>a_x005F_b</t></is></c>', "a_b"),
        ('<c t="inlineStr"><is><t>_x005F_x000D_</t></is></c>', "_x000D_"),
        ('<c t="inlineStr"><is><t>_xD83D__xDE00_</t></is></c>', "😀"),
        ('<c t="inlineStr"><is><r><t>a</t></r> <r><t>b</t></r></is></c>', "ab"),
        (
            '<c t="inlineStr"><is><t>東</t><rPh><t>ひがし</t></rPh></is></c>',
            "東",
        ),
        ('<c t="inlineStr"><is><t><![CDATA[<b>]]>&amp;</t></is></c>', "<b>&"),
        ('<c s="1"><v>46053.5</v></c>', "2026-01-31 12:00"),
        ('<c s="2"><v>1.5</v></c>', "36:00"),
        ('<c s="3"><v>46053</v></c>', "2026-01-31"),
        ('<c s="4"><v>12</v></c>', "12"),
        ('<c s="5"><v>46053</v></c>', "2026-01-31"),
        ('<c s="1"><v>1</v></c>', "1900-01-01"),
        ('<c s="1"><v>60</v></c>', CellProblem("bad_date", "1900-02-29")),
        ('<c s="1"><v>-1</v></c>', CellProblem("bad_date", "-1")),
        (
            "<c><v>1.101011990030712E+17</v></c>",
            CellProblem("rounded_number", "1.101011990030712E+17"),
        ),
        (
            "<c><v>110101199003071234</v></c>",
            CellProblem("rounded_number", "110101199003071234"),
        ),
        (
            '<c t="e"><f>1/0</f><v>#DIV/0!</v></c>',
            CellProblem("error_value", "#DIV/0!"),
        ),
        ("<c><f>1+1</f></c>", CellProblem("no_kept_value", "")),
        ('<c t="b"><f>TRUE()</f></c>', CellProblem("no_kept_value", "")),
        ("<c><v>abc</v></c>", CellProblem("not_a_number", "abc")),
        ("<c><v>1E999</v></c>", CellProblem("not_a_number", "1E999")),
        (
            f'<c t="inlineStr"><is><t>{"A" * 40_000}</t></is></c>',
            CellProblem("too_long", "A" * 60),
        ),
    ],
)
def test_cells_as_excel_stores_them(tmp_path, cell, seen):
    styles = (
        '<numFmts><numFmt numFmtId="164" formatCode="yyyy&quot;年&quot;m"/>'
        '<numFmt numFmtId="165" formatCode="[h]:mm"/>'
        '<numFmt numFmtId="166" formatCode="0&quot;days&quot;"/>'
        '<numFmt numFmtId="167" formatCode="[$-804]mmmm\\ d"/></numFmts>'
        '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/>'
        '<xf numFmtId="22"/><xf numFmtId="165"/><xf numFmtId="164"/>'
        '<xf numFmtId="166"/><xf numFmtId="167"/></cellXfs>'
    )
    rows = f'{HEAD}<row><c t="inlineStr"><is><t>u1</t></is></c>{cell}</row>'
    path = sheets.write(tmp_path / "a.xlsx", rows, styles=styles)

    assert read(path)[1] == [(2, ["u1", seen])]


def test_days_may_count_from_1904(tmp_path):
    path = sheets.write(
        tmp_path / "a.xlsx",
        f'{HEAD}<row><c><v>1</v></c><c s="1"><v>1</v></c></row>',
        styles='<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>',
        workbook=f'<workbook {sheets.MAIN} xmlns:r="{sheets.RELATIONS}">'
        '<workbookPr date1904="1"/><sheets><sheet name="a" r:id="rId1"/></sheets>'
        "</workbook>",
    )

    assert read(path)[1] == [(2, ["1", "1904-01-02"])]


def test_every_problem_of_a_cell_has_its_sentence():
    for code in workbooks.CELL_PROBLEMS:
        sentence = workbooks.describe(CellProblem(code, "12"), "phone")
        assert "%(" not in sentence


def test_the_first_visible_sheet_is_read(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["hidden"])
    book.active.sheet_state = "hidden"
    book.create_sheet("shown").append(["userid"])
    book.create_sheet("third").append(["other"])
    book.active = 1
    book.save(tmp_path / "a.xlsx")

    assert read(tmp_path / "a.xlsx") == (["userid"], [])


def test_a_prefix_before_every_element_is_as_good_as_none(tmp_path):
    path = workbook(tmp_path / "a.xlsx", ["userid"], ["u1"], [7])
    other = tmp_path / "b.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            text = old.read(name).decode()
            if name.startswith("xl/worksheets/") or name == "xl/sharedStrings.xml":
                text = text.replace("</", "</x:").replace("<", "<x:")
                text = text.replace("<x:/x:", "</x:").replace("<x:?xml", "<?xml")
                text = text.replace("xmlns=", "xmlns:x=")
            new.writestr(name, text)

    assert read(other) == (["userid"], [(2, ["u1"]), (3, ["7"])])


def test_a_false_dimension_is_not_believed(tmp_path):
    rows = HEAD + sheets.inline("u", "v") * 5000
    head = '<dimension ref="A1:A2"/>'
    path = sheets.write(tmp_path / "a.xlsx", rows, sheet_head=head)

    assert len(read(path)[1]) == 5000


def test_a_cell_alone_far_out_is_the_problem_of_its_row(tmp_path):
    rows = (
        '<row r="1"><c r="A1" t="inlineStr"><is><t>userid</t></is></c></row>'
        '<row r="2"><c r="A2"><v>1</v></c><c r="XFD2"><v>1</v></c></row>'
        '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    )
    path = sheets.write(tmp_path / "a.xlsx", rows)

    columns, found = read(path)

    assert columns == ["userid"]
    assert found == [
        (2, ["1"]),
        (1048576, [CellProblem("far_cell", "XFD1048576")]),
    ]


def test_a_workbook_only_named_so(tmp_path):
    path = tmp_path / "a.xlsx"
    for content in (b"userid,openid\n", b"\x89PNG\r\n\x1a\n" + b"\0" * 99, b"<html>"):
        path.write_bytes(content)
        assert refused(path) == "not_a_workbook"


def test_other_kinds_of_files(tmp_path):
    good = workbook(tmp_path / "a.xlsx", ["userid"])
    assert refused(good, "a.csv") == "renamed_workbook"
    assert refused(good, "a.pdf") == "unknown_ending"
    assert refused(good, "a") == "unknown_ending"
    assert refused(good, "a.xlsm") == "macro_workbook"
    assert refused(good, "a.xlsb") == "binary_workbook"
    assert read(good, "总表.XLSX")[0] == ["userid"]


def test_old_and_encrypted_workbooks(tmp_path):
    path = tmp_path / "a.xlsx"
    container = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2000
    path.write_bytes(container)
    assert refused(path) == "old_excel"
    path.write_bytes(container + "EncryptedPackage".encode("utf-16-le") + b"\0" * 99)
    assert refused(path) == "encrypted"


def test_other_zip_files(tmp_path):
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("holiday.jpg", b"x")
    assert refused(path) == "not_a_workbook"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("[Content_Types].xml", b"x")
        file.writestr("word/document.xml", b"x")
    assert refused(path) == "not_a_workbook"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("[Content_Types].xml", b"x")
        file.writestr("xl/workbook.bin", b"x")
    assert refused(path) == "binary_workbook"
    path.write_bytes(b"PK\x05\x06" + b"\0" * 18)
    assert refused(path) == "not_a_workbook"


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.99])
def test_a_workbook_cut_short(tmp_path, keep):
    path = workbook(tmp_path / "a.xlsx", *([["userid"]] * 500))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])

    assert refused(path) == "damaged"


def test_a_changed_byte(tmp_path):
    rows = [["userid"], *([f"u{n}"] for n in range(5000))]
    path = workbook(tmp_path / "a.xlsx", *rows)
    with zipfile.ZipFile(path) as file:
        info = file.getinfo("xl/worksheets/sheet1.xml")
    with path.open("r+b") as file:
        file.seek(info.header_offset + 30 + len(info.filename) + 4000)
        file.write(b"\xff\xff\xff\xff")

    assert refused(path) == "damaged"


JUNK = [
    *(b'"', b"<", b">", b"-1", b"x:", b"\xff", b"&#0;", b"&amp;", b"</c>", b"<v>"),
    *(b"</v>", b't="s"', b'r="XFD1"', b'r="1A"', b's="99"', b"<row>", b"</row>"),
    *(b"9" * 30, b"NaN", b"1e400", b"../", b"<is><t>", b"<f/>", b"<!--", b"_xD800_"),
]


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_broken_the_reader_knows_what_to_say(tmp_path, seed):
    rows = [["userid", "a"], *(["u", 1.5], [True, datetime(2026, 1, 1)], ["=1", "x"])]  # noqa: DTZ001  as Excel has it
    whole = workbook(tmp_path / "a.xlsx", *rows).read_bytes()
    path = tmp_path / "b.xlsx"
    chance = random.Random(seed)
    outcomes = set()

    for _ in range(60):
        with (
            zipfile.ZipFile(io.BytesIO(whole)) as old,
            zipfile.ZipFile(path, "w") as new,
        ):
            victim = chance.choice(old.namelist())
            for name in old.namelist():
                part = old.read(name)
                if name == victim:
                    at = chance.randrange(len(part))
                    part = part[:at] + chance.choice(JUNK) + part[at + 3 :]
                new.writestr(name, part)
        if chance.random() < 0.3:
            broken = bytearray(path.read_bytes())
            for _ in range(4):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            path.write_bytes(broken)
        # In this process, so that anything unforeseen fails the test.
        try:
            outcomes.add(len(list(XlsxTable(path).rows())))
        except (Refused, *DAMAGED) as error:
            outcomes.add(type(error))

    assert len(outcomes) > 3


def test_a_sheet_that_ends_too_early(tmp_path):
    path = sheets.write(tmp_path / "a.xlsx", f"{HEAD}<row><c>")
    assert refused(path) == "damaged"


@pytest.mark.parametrize("index", ["5", "-1", "x", "99999999999999999999"])
def test_a_string_that_is_not_there(tmp_path, index):
    rows = f'{HEAD}<row><c t="s"><v>{index}</v></c></row>'
    path = sheets.write(tmp_path / "a.xlsx", rows, strings="<si><t>only</t></si>")
    assert refused(path) == "damaged"


def test_empty_files(tmp_path):
    for name in ("a.xlsx", "a.csv"):
        (tmp_path / name).write_bytes(b"")
        assert refused(tmp_path / name) == "empty"
    assert refused(workbook(tmp_path / "a.xlsx")) == "empty"
    assert refused(workbook(tmp_path / "a.xlsx", [], [None], [" "])) == "empty"
    assert refused(csv(tmp_path / "a.csv", "\ufeff\r\n\r\n,,\r\n")) == "empty"


def test_headers_that_name_nothing(tmp_path):
    assert refused(workbook(tmp_path / "a.xlsx", ["a", "b", "a"])) == "double_column"
    path = sheets.write(tmp_path / "a.xlsx", '<row><c t="e"><v>#N/A</v></c></row>')
    assert refused(path) == "bad_header"
    path = workbook(tmp_path / "a.xlsx", ["userid", None, "phone"], ["1", "x", "2"])
    assert read(path) == (["userid", "", "phone"], [(2, ["1", "x", "2"])])


# -- quick and slow ------------------------------------------------------------------

PLAIN_CELLS = [
    '<c r="A{n}" t="inlineStr"><is><t>a{n}</t></is></c>',
    '<c r="B{n}" s="1"/><c r="C{n}" t="s"><v>{n}</v></c>',
    '<c r="D{n}"><v>13800138000</v></c>',
    '<c r="E{n}" s="1"><v>45000</v></c><c r="F{n}" t="n"><v>1.5</v></c>',
    '<c r="B{n}" t="str"><v> &lt;b&gt; &amp;amp; &quot;x&quot; </v></c>',
    '<c r="G{n}" t="inlineStr"><is><t xml:space="preserve"> x_x0041_\n</t></is></c>',
    '<c r="XFD{n}"><v>1</v></c>',
    '<c r="C{n}" t="s"><v></v></c><c r="A{n}"><v>110101199003071234</v></c>',
]
# Rows that many of a list look like, and those that nearly do.
ALIKE = [
    '<c r="A{n}" t="s"><v>{n}</v></c><c r="B{n}" s="2" t="s"><v>{m}</v></c>',
    '<c r="A{n}" t="s"><v>{n}</v></c><c r="B{n}"><v>{number}</v></c>',
    '<c r="A{n}" s="2"><v>{number}</v></c><c r="B{n}" t="n"><v>{m}</v></c>',
    '<c r="A{n}" t="s"><v>{m}</v></c><c r="B{n}" s="1"><v>{m}</v></c>',
    '<c r="A{n}" t="s"><v>{m}</v></c><c r="C{n}" t="s"><v>{n}</v></c>',
    '<c r="B{n}" t="s"><v>{n}</v></c>',
]
NUMBERS = ["13800138000", "-5", "0", "007", "1.5", "1E3", "1234567890123456", " 7", ""]
OTHER_CELLS = [
    '<c t="s"><v>1</v></c>',
    '<c r="A{n}" t="b"><v>1</v></c>',
    "<c r='B{n}'><v>1</v></c>",
    '<c r="B{n}" t="str"><f>A1</f><v>x</v></c>',
    '<c r="H{n}" t="inlineStr"><is><r><t>ri</t></r><r><t>ch</t></r></is></c>',
    '<c r="A{n}" t="inlineStr"><is><t><![CDATA[<a>]]></t></is></c><!-- x -->',
    '<c r="A{n}" t="inlineStr"><is><t>&#65;\r\nb</t></is></c>',
]


def in_pieces(data, choose):
    # The first one holds the head, as it does in use.
    yield data[:100]
    data = data[100:]
    while data:
        size = choose.choice([1, 7, 300, 70_000])
        yield data[:size]
        data = data[size:]


@pytest.mark.parametrize("seed", range(30))
def test_the_quick_way_reads_what_the_parser_reads(seed):
    choose = random.Random(seed)
    cells = PLAIN_CELLS * 20 + OTHER_CELLS * (seed % 2)
    texts = "".join(
        choose.choice(
            ["<si><t>s{n}</t></si>", "<si><t> &amp;{n}好 </t></si>"] * 9
            + ["<si><r><t>r</t></r></si>", "<si><t/></si>"] * (seed % 3)
            + [f"<si><t>{'long' * 8192}</t></si>"] * (seed % 5 == 0)
        ).format(n=n)
        for n in range(400)
    )
    alike = choose.choice(ALIKE)
    long_runs = seed % 4 > 1
    sheet = ""
    for n in range(1, 300):
        inside = "".join(choose.choices(cells, k=choose.randrange(4)))
        if choose.random() < (0.01 if long_runs else 0.1):
            alike = choose.choice(ALIKE)
        if choose.random() < (0.98 if long_runs else 0.7):
            inside = alike
        number = choose.choice(NUMBERS[:3] * 5 + NUMBERS * (not long_runs))
        inside = inside.format(n=n, m=choose.randrange(400), number=number)
        end = choose.choice(["</row>", "</row>\n"])
        sheet += f'<row r="{n}" spans="1:4" x:y="z">{inside}{end}'

    def read_all(table, data):
        table = f"<?xml version='1.0'?><sst count='1'>{table}</sst>".encode()
        strings = _Strings(in_pieces(table, choose))
        reader = _SheetReader({"1": "date"}, strings, False)
        data = f"<worksheet><cols/>{data}</worksheet>".encode()
        for piece in in_pieces(data, choose):
            reader.feed(piece)
            if reader.finished:
                break
        rows = [
            row
            for item in reader.ready
            for row in (item.rows() if isinstance(item, Run) else [item])
        ]
        return rows, reader._plain is not None

    quick, was_quick = read_all(texts, f"<sheetData>{sheet}</sheetData>")
    slow, was_not = read_all(f"<!-- -->{texts}", f"<sheetData >{sheet}</sheetData >")
    assert quick == slow
    assert quick
    assert not was_not
    if not long_runs:
        assert was_quick == (not seed % 2)


def test_many_rows_come_by_column(tmp_path):
    rows = [[f"u{n}", f"好{n % 7} {n}", str(13800000000 + n)] for n in range(5000)]
    rows[2000][1] = rows[2001][2] = rows[4998][1] = None
    rows[2010] = [None, None, None]
    rows[3000][0] = 110101199003071234
    rows[3500][2] = " a\n b_x0041_ "
    path = workbook(tmp_path / "a.xlsx", ["userid", "name", "phone"], *rows)

    with open_table(path) as table:
        found = list(table.some())

    by_column = [some for some in found if isinstance(some, Columns)]
    assert sum(len(some.numbers) for some in by_column) > 2000
    seen = [
        row
        for some in found
        for row in (some.rows() if isinstance(some, Columns) else some)
    ]
    rows[3000][0] = CellProblem("rounded_number", "1.101011990030712e+17")
    rows[3500][2] = "a\n bA"
    assert seen == [
        (n, [cell or "" for cell in row]) for n, row in enumerate(rows, 2) if any(row)
    ]


def test_what_parts_the_cells_may_stand_in_one(tmp_path):
    lines = (f"{sheets.inline(f'u{n}', f'a_x0000_{n}')}" for n in range(9))
    path = sheets.write(tmp_path / "a.xlsx", HEAD + "".join(lines))

    assert read(path)[1][8] == (10, ["u8", "a\x008"])


# -- hostile -------------------------------------------------------------------------


@pytest.fixture
def children_are_small():
    """The reading processes of the test stay below 700 MB, and so do we."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 700_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100_000


def test_entities_are_refused(tmp_path):
    lol = '<!DOCTYPE x [<!ENTITY a "aaaa">]>'
    path = workbook(tmp_path / "a.xlsx", ["userid"])
    other = tmp_path / "b.xlsx"
    for part in ("xl/worksheets/sheet1.xml", "xl/workbook.xml", "_rels/.rels"):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
            for name in old.namelist():
                text = old.read(name).decode()
                if name == part:
                    text = (
                        text.replace("?>", "?>" + lol) if "?>" in text else lol + text
                    )
                new.writestr(name, text)
        assert refused(other) == "dtd"


@pytest.mark.usefixtures("children_are_small")
def test_more_rows_than_excel_has(tmp_path):
    block = b"<row/>" * 20_000
    path = sheets.write(tmp_path / "a.xlsx", [HEAD.encode(), *([block] * 60)])
    assert path.stat().st_size < 100_000

    assert refused(path) == "too_many_rows"


@pytest.mark.usefixtures("children_are_small")
def test_one_string_of_hundreds_of_megabytes(tmp_path):
    megabyte = b"A" * (1 << 20)
    strings = [b"<si><t>", *([megabyte] * 350), b"</t></si>"]
    rows = '<row><c t="s"><v>0</v></c></row>'
    path = sheets.write(tmp_path / "a.xlsx", rows, strings=strings)
    assert path.stat().st_size < 5_000_000

    assert refused(path) == "too_big_inside"


def test_a_sheet_of_hundreds_of_megabytes_is_not_even_unpacked(tmp_path):
    block = sheets.inline("A", "B").encode() * 10_000
    path = sheets.write(tmp_path / "a.xlsx", [HEAD.encode(), *([block] * 100)])
    started = time.monotonic()

    assert refused(path) == "too_big_inside"
    assert time.monotonic() - started < 5


@pytest.mark.usefixtures("children_are_small")
def test_strings_that_fill_the_memory(tmp_path):
    # Different enough to look like people's data from outside.
    padding = "好" * 900
    block = "".join(
        f"<si><t>{random.getrandbits(320):080x}{padding}</t></si>" for _ in range(1000)
    )
    rows = HEAD + '<row><c t="s"><v>99999999</v></c></row>'
    path = sheets.write(tmp_path / "a.xlsx", rows, strings=[block.encode()] * 120)

    assert refused(path) == "too_much_memory"


@pytest.mark.usefixtures("children_are_small")
@pytest.mark.parametrize("opening", [b'<row r="', b"<", b"<!--"])
def test_a_tag_without_end(tmp_path, opening):
    path = sheets.write(tmp_path / "a.xlsx", [opening, *([b"1" * (1 << 20)] * 30)])
    started = time.monotonic()

    assert refused(path) == "damaged"
    assert time.monotonic() - started < 10


def test_a_directory_that_lies_about_sizes(tmp_path):
    path = sheets.write(tmp_path / "a.xlsx", HEAD + sheets.inline("u", "v") * 3000)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        info = file.getinfo("xl/worksheets/sheet1.xml")
    true_size = info.file_size.to_bytes(4, "little")
    assert data.count(true_size) >= 1
    path.write_bytes(data.replace(true_size, (100).to_bytes(4, "little")))

    assert refused(path) == "damaged"


def test_an_unfinished_read_leaves_no_process(tmp_path):
    rows = HEAD + sheets.inline("u", "v") * 100_000
    path = sheets.write(tmp_path / "a.xlsx", rows)

    with open_table(path) as table:
        next(iter(table))
        pid = table._process.pid

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_silence_ends_the_reading(tmp_path, monkeypatch):
    # Much to unpack and not one row: the process says nothing for a second or more.
    def rows():
        yield HEAD.encode()
        yield b"<row>"
        for _ in range(24):
            yield b"<c/>" * (1 << 18)

    path = sheets.write(tmp_path / "a.xlsx", rows())
    monkeypatch.setattr(workbooks, "SILENCE_SECONDS", 0.2)
    started = time.monotonic()

    assert refused(path) == "too_slow"
    assert time.monotonic() - started < 5


# -- CSV -------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
def test_encodings(tmp_path, encoding):
    text = "userid,标签\r\nu1,会员\r\n"
    path = csv(tmp_path / "a.csv", text, encoding)

    assert read(path) == (["userid", "标签"], [(2, ["u1", "会员"])])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators(tmp_path, separator):
    path = csv(tmp_path / "a.csv", f'userid{separator}"a,;b"\nu1{separator}2\n')

    assert read(path) == (["userid", "a,;b"], [(2, ["u1", "2"])])


def test_rows_are_numbered_as_in_excel(tmp_path):
    path = csv(tmp_path / "a.csv", 'userid,note\n\nu1,"two\nlines"\n,\n"u2"\nu3,x,y\n')

    rows = read(path)[1]

    assert rows == [(3, ["u1", "two\nlines"]), (5, ["u2", ""]), (6, ["u3", "x"])]


@pytest.mark.parametrize(
    ("cell", "seen"),
    [
        ("1.10101E+17", CellProblem("rounded_number", "1.10101E+17")),
        ("1E+11", CellProblem("rounded_number", "1E+11")),
        ("#N/A", CellProblem("error_value", "#N/A")),
        ('"=""00123"""', "00123"),
        ("\u3000x\u00a0", "x"),
        ("110101199003071234", "110101199003071234"),
    ],
)
def test_what_excel_saves_as_text(tmp_path, cell, seen):
    path = csv(tmp_path / "a.csv", f"userid\n{cell}\n")

    assert read(path)[1] == [(2, [seen])]


def test_texts_that_are_none(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"userid\n\xff\xff\xff\n")
    assert refused(path) == "unknown_encoding"
    path.write_bytes(b"userid\nu\0\n")
    assert refused(path) == "not_text"
    path.write_bytes(b"userid\n" + b"u\n" * 5000 + b"\0")
    assert refused(path) == "not_text"
    path.write_bytes(b"%PDF-1.7\n")
    assert refused(path) == "not_text"
    path.write_bytes(b'userid\n"u' + b"x\n" * 50_000)
    assert refused(path) == "open_quote"


def test_too_large_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(workbooks, "MAX_FILE_BYTES", 10)
    assert refused(csv(tmp_path / "a.csv", "userid,openid")) == "too_large"


def test_progress_reaches_the_total(tmp_path):
    path = csv(tmp_path / "a.csv", "userid\n" + "u\n" * 200_000)
    seen = []

    with open_table(path) as table:
        for number, _cells in table:
            if not number % 50_000:
                seen.append(table.bytes_done / table.bytes_total)

    assert seen == sorted(seen)
    assert 0.1 < seen[0] < 0.5
    assert table.bytes_done == table.bytes_total
