import io
import re
from html import unescape

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from tests.factories import (
    ChannelFactory,
    OpenIDFactory,
    RecipientFactory,
    TagFactory,
    UserFactory,
)
from users import audiences, importing
from users.models import OpenID, Recipient, Upload, UserList

pytestmark = pytest.mark.django_db


def openid(number):
    return f"o{number:027d}"


@pytest.fixture
def operator(client):
    client.force_login(UserFactory(is_superuser=True))
    return client


@pytest.fixture
def channel():
    return ChannelFactory(code="shop", name="Shop")


def choose(client, text, name="users.csv", follow=True, **data):
    file = SimpleUploadedFile(name, text.encode())
    data = {"file": file, "channel": "", "mode": "set"} | data
    return client.post(reverse("admin:users_upload_add"), data, follow=follow)


def page(name, upload):
    return reverse(f"admin:users_upload_{name}", args=[upload.pk])


# -- uploads ---------------------------------------------------------------------------


def test_from_the_file_over_the_preview_to_the_report(operator, channel):
    text = f"userid,openid,name\nu1,{openid(1)},x\nu 2,,\n"

    preview = choose(operator, text, channel=channel.pk).content.decode()

    upload = Upload.objects.get()
    assert upload.status == "preview"
    assert upload.created_by.is_superuser
    assert openid(1) in preview
    assert "“u 2” has other characters" in preview
    assert "One of 2 rows will be left out" in preview
    assert page("start", upload) in preview
    assert not Recipient.objects.exists()

    operator.post(page("start", upload))
    waiting = operator.get(page("change", upload)).content.decode()
    assert page("progress", upload) in waiting
    assert "X-Live" not in operator.get(page("progress", upload))
    importing.import_upload(upload.pk)
    assert operator.get(page("progress", upload))["X-Live"] == "reload"
    report = operator.get(page("change", upload)).content.decode()
    assert "data-live-url" not in report
    assert "u 2" in report
    book = operator.get(page("report", upload))
    sheet = openpyxl.load_workbook(io.BytesIO(b"".join(book.streaming_content))).active
    assert sheet.max_row == 2
    listed = operator.get(reverse("admin:users_upload_changelist")).content.decode()
    assert "users.csv" in listed


def test_a_bad_file_is_refused_on_the_form(operator):
    answer = choose(operator, "no workbook", "a.xlsx")

    assert "no Excel workbook" in answer.content.decode()
    assert not Upload.objects.exists()


def test_an_empty_file_is_refused_on_the_form(operator):
    assert "The file is empty" in choose(operator, "").content.decode()


def test_channel_and_mode_may_be_changed_in_the_preview(operator, channel):
    missing = choose(operator, f"userid,openid\nu1,{openid(1)}\n").content.decode()
    upload = Upload.objects.get()
    assert "Choose one for the upload" in missing
    assert "Not one row can be imported" in missing

    chosen = {"channel": channel.pk, "mode": "add"}
    answer = operator.post(page("choose", upload), chosen, follow=True)

    upload.refresh_from_db()
    assert (upload.channel, upload.mode) == (channel, "add")
    assert "Choose one for the upload" not in answer.content.decode()


def test_the_only_channel_is_chosen_already(operator, channel):
    form = operator.get(reverse("admin:users_upload_add")).content.decode()

    assert re.search(rf'<option value="{channel.pk}" selected>', form)


def test_a_preview_warns_before_people_are_deleted(operator):
    preview = choose(operator, "userid\nu1\n", mode="del").content.decode()

    assert "This deletes people" in preview
    assert "data-confirm" in preview


def test_a_discarded_preview_leaves_nothing(operator):
    choose(operator, "userid\nu1\n")
    upload = Upload.objects.get()

    operator.post(page("discard", upload))

    assert not Upload.objects.exists()
    assert not upload.file.storage.exists(upload.file.name)


def test_an_upload_under_way_is_not_discarded(operator):
    choose(operator, "userid\nu1\n")
    upload = Upload.objects.get()
    importing.start(upload)

    operator.post(page("discard", upload))

    assert Upload.objects.get().status == "queued"


def test_a_preview_whose_file_is_gone_says_so(operator):
    choose(operator, "userid\nu1\n")
    upload = Upload.objects.get()
    upload.file.storage.delete(upload.file.name)

    answer = operator.get(page("change", upload))

    assert answer.status_code == 200
    assert "no longer on the server" in answer.content.decode()


def test_long_reports_come_in_pages(operator, django_assert_max_num_queries):
    choose(operator, "userid\n" + "".join(f"u {n}\n" for n in range(120)))
    upload = Upload.objects.get()
    importing.start(upload)
    importing.import_upload(upload.pk)
    seen = []

    address = page("change", upload)
    while address:
        with django_assert_max_num_queries(8):
            text = operator.get(address).content.decode()
        seen += re.findall(r'<span class="mono nowrap">(u \d+)</span>', text)
        following = re.search(r'href="(\?after=\d+)"', text)
        address = page("change", upload) + following[1] if following else None

    assert seen == [f"u {n}" for n in range(120)]


@pytest.mark.parametrize("status", Upload.Status.values)
def test_every_state_has_its_page(operator, status):
    choose(operator, "userid,x\nu1,\n")
    Upload.objects.update(status=status, failure="too_slow", rows_ok=3)

    answer = operator.get(page("change", Upload.objects.get()))

    assert answer.status_code == 200


def test_the_sample_can_be_uploaded_as_it_is(operator, channel):
    book = operator.get(reverse("admin:users_upload_sample"))
    content = b"".join(book.streaming_content)
    upload = importing.new_upload(
        SimpleUploadedFile("sample.xlsx", content),
        "sample.xlsx",
        channel=channel,
        status="queued",
    )

    importing.import_upload(upload.pk)

    upload.refresh_from_db()
    assert (upload.rows_ok, upload.rows_failed, upload.rows_warned) == (3, 0, 0)
    assert upload.ignored_columns == []


@pytest.mark.parametrize("address", ["start", "choose", "discard"])
def test_changes_are_posts(operator, address):
    choose(operator, "userid\nu1\n")
    assert operator.get(page(address, Upload.objects.get())).status_code == 405


def test_whoever_may_only_look_changes_nothing(person):
    file = SimpleUploadedFile("a.csv", b"userid\nu1\n")
    upload = importing.new_upload(file, "a.csv")
    viewer = Client()
    viewer.force_login(person("users.view_upload").user)

    assert viewer.get(page("change", upload)).status_code == 200
    assert viewer.get(reverse("admin:users_upload_add")).status_code == 403
    for address in ("start", "choose", "discard"):
        assert viewer.post(page(address, upload)).status_code == 403
    assert person("users.add_upload").get(page("change", upload)).status_code == 403


@pytest.mark.parametrize("number", ["x", "999999", "9" * 30])
def test_pages_of_uploads_that_do_not_exist(operator, number):
    changelist = reverse("admin:users_upload_changelist")
    assert operator.get(f"{changelist}{number}/change/").status_code == 404


# -- recipients ------------------------------------------------------------------------


def people(client, **query):
    answer = client.get(reverse("admin:users_recipient_changelist"), query)
    return re.findall(r'recipient/\d+/">([^<]+)</a>', answer.content.decode())


def test_people_are_found_by_userid_openid_channel_and_tag(operator, channel):
    one = OpenIDFactory(channel=channel, recipient__userid="anna", openid=openid(1))
    TagFactory(recipient=one.recipient, name="会员")
    RecipientFactory(userid="bert")

    assert people(operator) == ["bert", "anna"]
    assert people(operator, q="an") == ["anna"]
    assert people(operator, q=openid(1)) == ["anna"]
    assert people(operator, channel=channel.pk) == ["anna"]
    assert people(operator, tag="会员", channel=channel.pk, q="anna") == ["anna"]
    assert people(operator, tag="会") == []
    assert people(operator, channel="x", before="y", after="-1") == ["bert", "anna"]


NAMES = [f"{'uU'[n % 2]}{n}" for n in range(236)] + ["u_é", "u-王"]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("", NAMES[::-1]),
        # By userid, byte by byte: the index that finds them has them so.
        ("?q=u", sorted(name for name in NAMES if name[0] == "u")),
    ],
)
def test_pages_of_people_meet_without_a_gap(operator, first, expected):
    Recipient.objects.bulk_create(Recipient(userid=name) for name in NAMES)
    changelist = reverse("admin:users_recipient_changelist")
    seen, back = [], []

    address = changelist + first
    while address:
        text = operator.get(address).content.decode()
        seen += re.findall(r'recipient/\d+/">([^<]+)</a>', text)
        older = re.search(r'rel="next" href="([^"]+)"', text)
        address = changelist + unescape(older[1]) if older else None
    newer = re.search(r'rel="prev" href="([^"]+)"', text)
    while newer:
        text = operator.get(changelist + unescape(newer[1])).content.decode()
        back = re.findall(r'recipient/\d+/">([^<]+)</a>', text) + back
        newer = re.search(r'rel="prev" href="([^"]+)"', text)

    assert seen == expected
    assert back == seen[: (len(seen) - 1) // 50 * 50]


@pytest.mark.parametrize(("q", "cost"), [("", 8), ("u", 10)])
def test_the_list_costs_the_same_for_few_and_for_many(
    operator, channel, django_assert_num_queries, q, cost
):
    def add(numbers):
        for n in numbers:
            one = OpenIDFactory(channel=channel, recipient__userid=f"u{n}")
            TagFactory(recipient=one.recipient, name="a")

    def look():
        assert people(operator, tag="a", channel=channel.pk, q=q)

    add(range(2))
    look()
    with django_assert_num_queries(cost):
        look()
    add(range(2, 60))
    with django_assert_num_queries(cost) as queries:
        look()
    assert not [q for q in queries if "COUNT(" in q["sql"].upper()]


def test_a_person_has_a_page(operator, channel):
    one = OpenIDFactory(channel=channel, recipient__userid="anna", openid=openid(1))
    TagFactory(recipient=one.recipient, name="会员")

    answer = operator.get(
        reverse("admin:users_recipient_page", args=[one.recipient.pk])
    ).content.decode()

    assert "anna" in answer
    assert openid(1) in answer
    assert "会员" in answer
    # Another app fills in what was sent to them.
    history = reverse("admin:sends_recipient_history", args=["anna"])
    assert f'data-live-url="{history}"' in answer


def test_a_persons_page_names_the_lists_they_are_on(operator, admin_client):
    person = RecipientFactory(userid="anna")
    gone, other = (
        UserList.objects.create(name=name, kind="black") for name in ("Gone", "Other")
    )
    audiences.put_on(gone, ["anna"])
    audiences.put_on(other, ["bert"])
    address = reverse("admin:users_recipient_page", args=[person.pk])

    page = admin_client.get(address).text

    assert reverse("admin:users_userlist_change", args=[gone.pk]) in page
    assert reverse("admin:users_userlist_change", args=[other.pk]) not in page


def test_who_is_not_known_may_have_been_sent_to(operator, admin_client):
    page = admin_client.get(reverse("admin:users_recipient_changelist") + "?q=anna")

    assert reverse("admin:sends_recipient_history", args=["anna"]) in page.text


def edit(client, person, **changes):
    one = person.openids.get()
    data = {
        "phone": person.phone,
        "email": person.email,
        "openids-TOTAL_FORMS": 1,
        "openids-INITIAL_FORMS": 1,
        "openids-0-id": one.pk,
        "openids-0-recipient": person.pk,
        "openids-0-channel": one.channel_id,
        "openids-0-openid": one.openid,
        "tags-TOTAL_FORMS": 1,
        "tags-INITIAL_FORMS": 0,
        "tags-0-recipient": person.pk,
        "tags-0-name": "",
    }
    address = reverse("admin:users_recipient_change", args=[person.pk])
    return client.post(address, data | changes)


def test_a_person_is_edited_by_hand(operator, channel):
    one = OpenIDFactory(channel=channel, openid=openid(1), followed=True)

    answer = edit(
        operator,
        one.recipient,
        **{
            "phone": "13800138000",
            "openids-0-openid": openid(2),
            "tags-0-name": "会员",
        },
    )

    assert answer.status_code == 302, answer.context["errors"]
    assert answer.url.endswith(f"/recipient/{one.recipient_id}/")
    person = Recipient.objects.get()
    assert person.phone == "13800138000"
    assert OpenID.objects.get().openid == openid(2)
    assert OpenID.objects.get().followed is None
    assert person.tags.get().name == "会员"


@pytest.mark.parametrize(
    "change",
    [
        {"openids-0-openid": "x"},
        {"tags-0-name": "a b"},
        {"phone": "tel"},
        {"email": "nobody"},
    ],
)
def test_what_an_upload_would_refuse_the_form_refuses(operator, channel, change):
    one = OpenIDFactory(channel=channel, openid=openid(1))

    answer = edit(operator, one.recipient, **change)

    assert answer.status_code == 200
    assert answer.context["errors"]


def test_people_are_only_for_those_who_may_see_them(person):
    one = RecipientFactory()
    nobody = person()
    viewer = person("users.view_recipient")

    for name, args in (("page", [one.pk]), ("changelist", [])):
        address = reverse(f"admin:users_recipient_{name}", args=args)
        assert nobody.get(address).status_code == 403
        text = viewer.get(address).content.decode()
        assert "users/upload/add" not in text
        assert f"{one.pk}/change" not in text
        assert f"{one.pk}/delete" not in text
