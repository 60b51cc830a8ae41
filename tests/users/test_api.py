import io
import json
import zipfile

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.factories import ChannelFactory, OpenIDFactory, RecipientFactory, TagFactory
from users import importing
from users.models import Recipient, Upload


def openid(number):
    return f"o{number:027d}"


@pytest.fixture
def channel(db):
    return ChannelFactory(code="shop")


def post(api, content, name="users.csv", **data):
    if isinstance(content, str):
        content = content.encode()
    file = SimpleUploadedFile(name, content)
    return api.post("/api/uploads/", {"file": file, **data}, format="multipart")


def test_an_upload_is_taken_imported_and_reported(api, channel):
    text = f"userid,openid,name\nu1,{openid(1)},x\nu 2,,\nu1,{openid(2)},x\n"

    answer = post(api, text, channel="shop", mode="set")

    assert answer.status_code == 202
    assert answer.json()["status"] == "queued"
    address = f"/api/uploads/{answer.json()['id']}/"
    importing.import_upload(answer.json()["id"])
    shown = api.get(address).json()
    assert shown["status"] == "finished"
    assert shown["detail"] == ""
    assert (shown["rows_total"], shown["rows_ok"], shown["rows_failed"]) == (3, 2, 1)
    assert shown["ignored_columns"] == ["name"]
    assert shown["channel"] == "shop"
    errors = api.get(f"{address}errors/").json()
    assert errors["next"] is None
    assert [(e["row"], e["userid"], e["level"]) for e in errors["results"]] == [
        (3, "u 2", "error"),
        (4, "u1", "warning"),
    ]
    assert all(error["reason"] for error in errors["results"])
    book = api.get(f"{address}errors.xlsx")
    assert book["Content-Type"].endswith("spreadsheetml.sheet")
    sheet = openpyxl.load_workbook(io.BytesIO(b"".join(book.streaming_content))).active
    rows = list(sheet.iter_rows(values_only=True))
    assert rows[1][:2] == (3, "u 2")
    assert len(rows) == 3
    assert api.get("/api/recipients/u1/").json()["openids"] == {"shop": openid(2)}


def test_a_report_holds_no_formula(api, channel):
    upload = post(api, 'userid,phone\n"=HYPERLINK",x\n').json()
    importing.import_upload(upload["id"])

    book = api.get(f"/api/uploads/{upload['id']}/errors.xlsx")

    sheet = openpyxl.load_workbook(io.BytesIO(b"".join(book.streaming_content))).active
    assert [cell.data_type for cell in sheet[2]] == ["n", "s", "s", "s"]


def other_zip():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("photo.jpg", "x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.xlsx", b""),
        ("a.csv", b""),
        ("a.xlsx", b"no workbook"),
        ("a.xlsx", other_zip()),
        ("a.csv", other_zip()),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99),
        ("a.pdf", b"%PDF-1.4"),
        ("a.csv", b"no table at all"),
        ("a.csv", b"\x89PNG\r\n\x1a\n\0\0"),
        ("a", b"userid\nu1\n"),
        ("../../etc/x.csv", b"phone\n1\n"),
    ],
)
def test_what_is_no_table_of_users_is_refused_at_once(api, name, content):
    answer = post(api, content, name)

    assert answer.status_code == 422
    assert answer.json()["code"] == "bad_file"
    assert len(answer.json()["detail"]) > 15
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"mode": "overwrite"}, "mode"),
        ({"channel": "nowhere"}, "channel"),
        ({"file": "text"}, "file"),
        ({"file": None}, "file"),
    ],
)
def test_other_mistakes_name_their_field(api, data, field):
    given = {"file": SimpleUploadedFile("a.csv", b"userid\nu1\n")} | data
    given = {name: value for name, value in given.items() if value is not None}

    answer = api.post("/api/uploads/", given, format="multipart")

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]


def test_a_file_that_breaks_later_fails_with_its_sentence(api):
    upload = post(api, 'userid\nu1\n"' + "x\n" * 50_000).json()

    importing.import_upload(upload["id"])

    shown = api.get(f"/api/uploads/{upload['id']}/").json()
    assert shown["status"] == "failed"
    assert "row 3" in shown["detail"]


def test_reasons_come_in_the_language_of_the_caller(api, settings):
    upload = post(api, "userid\nu 1\n").json()
    importing.import_upload(upload["id"])

    answer = api.get(f"/api/uploads/{upload['id']}/errors/", HTTP_ACCEPT_LANGUAGE="en")

    assert "letters, digits" in answer.json()["results"][0]["reason"]


def test_uploads_are_listed_without_previews(api, channel, django_assert_num_queries):
    post(api, "userid\nu1\n", channel="shop")
    post(api, "userid\nu2\n")
    importing.new_upload(SimpleUploadedFile("a.csv", b"userid\n"), "a.csv")

    with django_assert_num_queries(2):
        listed = api.get("/api/uploads/").json()["results"]

    assert [upload["channel"] for upload in listed] == [None, "shop"]


@pytest.mark.parametrize("number", ["0", "999999", "999999999999999999", "x", "-1"])
def test_uploads_that_do_not_exist(api, number):
    for address in ("", "errors/", "errors.xlsx"):
        answer = api.get(f"/api/uploads/{number}/{address}")
        assert answer.status_code == 404
        assert json.loads(answer.content)["code"] == "not_found"


def test_recipients_are_listed_filtered_and_shown(
    api, channel, django_assert_num_queries
):
    one = OpenIDFactory(channel=channel, recipient__userid="u.1", openid=openid(1))
    OpenIDFactory(recipient=one.recipient, channel__code="app2", openid=openid(2))
    TagFactory(recipient=one.recipient, name="会员")
    RecipientFactory(userid="v2", phone="13800138000", email="a@b.cn")

    def listed(**query):
        answer = api.get("/api/recipients/", query).json()
        return [person["userid"] for person in answer["results"]]

    with django_assert_num_queries(5):  # of these one is the access key's
        assert listed() == ["u.1", "v2"]
    assert listed(tag="会员") == listed(channel="shop") == ["u.1"]
    assert listed(tag="会", channel="shop") == []
    assert listed(q="v") == ["v2"]
    assert listed(q=openid(2)) == ["u.1"]
    assert api.get("/api/recipients/", {"channel": "no"}).status_code == 400
    assert api.get("/api/recipients/u.1/").json() == {
        "userid": "u.1",
        "openids": {"shop": openid(1), "app2": openid(2)},
        "tags": ["会员"],
        "phone": "",
        "email": "",
    }
    assert api.get("/api/recipients/nobody/").json()["code"] == "not_found"


def test_pages_of_recipients_meet_without_a_gap(api):
    Recipient.objects.bulk_create(Recipient(userid=f"u{n}") for n in range(25))
    seen = []

    address = "/api/recipients/?page_size=10"
    while address:
        page = api.get(address).json()
        seen += [person["userid"] for person in page["results"]]
        address = page["next"]

    assert seen == [f"u{n}" for n in range(25)]


def test_console_users_need_the_permission(person, db):
    assert person().get("/api/recipients/").status_code == 403
    assert person("users.view_recipient").get("/api/recipients/").status_code == 200
    assert person("users.view_upload").get("/api/uploads/").status_code == 200
    assert post(person("users.view_upload"), "userid\n").status_code == 403
