"""A pasted list or a file becomes the audience of a draft."""

from pathlib import Path

import openpyxl
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from sends import control, drafting, reading
from sends.models import AudienceRow, Send
from tests.factories import SendFactory
from users.workbooks import BadFile

LARGE = "\n".join(f"user-{n:06d}" for n in range(30_000))

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def storage(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


@pytest.fixture
def draft():
    return SendFactory()


def csv(*lines: str) -> ContentFile:
    return ContentFile("\n".join(lines).encode())


def workbook(tmp_path, *rows) -> ContentFile:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    path = tmp_path / "made.xlsx"
    book.save(path)
    return ContentFile(path.read_bytes())


def lines(draft) -> list[tuple]:
    found = AudienceRow.objects.filter(send=draft).order_by("id")
    return list(found.values_list("row", "userid", "openid", "variables"))


def kept_files(storage) -> list:
    return [path for path in storage.rglob("*") if path.is_file()]


def test_pasted_userids_are_taken_at_once(draft, storage):
    done = reading.take_paste(draft, "zhangsan\r\n lisi,wangwu;\n\n张三\n")

    assert done
    assert [line[1] for line in lines(draft)] == ["zhangsan", "lisi", "wangwu", "张三"]
    assert draft.audience == Send.Audience.ROWS
    assert reading.state_of(draft).shape == "userid"
    assert not kept_files(storage)


def test_openids_are_known_by_their_shape(draft):
    ids = ["oSB" + f"{n:025d}" for n in range(3)]

    reading.take_paste(draft, "\n".join([*ids, "zhangsan"]))

    assert [line[2] for line in lines(draft)] == [*ids, "zhangsan"]
    assert reading.state_of(draft).shape == "openid"


def test_an_empty_paste_says_that_nobody_is_in_it(draft):
    reading.take_paste(draft, " \n ,, \n")

    state = reading.state_of(draft)
    assert (state.state, state.sentence) == ("failed", "There is nobody in this list.")


def test_a_large_paste_is_left_to_a_worker(draft, storage):
    ids = [f"user-{n:06d}" for n in range(100_000)]

    assert not reading.take_paste(draft, "\n".join(ids))
    waiting = reading.state_of(draft)
    reading.read(draft.pk)
    draft.refresh_from_db()

    assert waiting.state == "waiting"
    assert not lines(draft)[100_000:]
    assert lines(draft)[-1][:3] == (100_000, "user-099999", "")
    assert reading.state_of(draft).rows == 100_000
    assert not kept_files(storage)


def test_the_other_columns_of_a_file_become_variables(draft, tmp_path):
    file = workbook(
        tmp_path,
        ["UserID", "wechatoa_openid", "订单 {号}", "amount", None],
        ["zhangsan", None, "A1", 12.5, "no name"],
        [None, "oSB0000000000000000000000001", "A2", 7, None],
    )

    reading.take_file(draft, file, "orders.xlsx")

    assert draft.columns == ["订单 号", "amount"]
    assert lines(draft) == [
        (2, "zhangsan", "", {"订单 号": "A1", "amount": "12.5"}),
        (3, "", "oSB0000000000000000000000001", {"订单 号": "A2", "amount": "7"}),
    ]
    assert reading.state_of(draft).shape == "both"


@pytest.mark.parametrize(
    ("header", "shape", "variables"),
    [
        ("会员编号,name", "userid", ["name"]),
        ("name,微信公众号openID", "openid", ["name"]),
        ("用户,userid", "userid", ["用户"]),
    ],
)
def test_columns_of_people_are_called_as_in_uploads(draft, header, shape, variables):
    reading.take_file(draft, csv(header, "zhangsan,wangwu"), "people.csv")

    state = reading.state_of(draft)
    assert (state.state, state.shape, draft.columns) == ("done", shape, variables)


def test_a_bad_row_is_left_out_and_told_with_its_number(draft, tmp_path):
    file = workbook(
        tmp_path,
        ["userid", "code"],
        ["zhangsan", "1"],
        [None, "2"],
        ["lisi", 123456789012345678],
        ["w" * 65, "4"],
    )

    reading.take_file(draft, file, "people.xlsx")

    state = reading.state_of(draft)
    assert [line[1] for line in lines(draft)] == ["zhangsan"]
    assert (state.rows, state.problems) == (1, 3)
    told = dict(state.row_problems())
    assert told[3] == "neither a userid nor an openID"
    assert "Excel has rounded it" in told[4]
    assert told[5].endswith("is longer than 64 characters")


def test_a_file_without_a_column_of_people_is_refused_with_a_sentence(draft):
    reading.take_file(draft, csv("name,phone", "Zhang,1"), "people.csv")

    state = reading.state_of(draft)
    assert state.state == "failed"
    assert state.sentence.startswith("No column is called userid or openid.")


def test_a_file_that_is_no_table_is_refused_at_once_and_not_kept(draft, storage):
    with pytest.raises(BadFile) as refusal:
        reading.take_file(draft, ContentFile(b"%PDF-1.7 ..."), "people.xlsx")

    assert refusal.value.code == "not_a_workbook"
    assert not kept_files(storage)


def test_a_name_with_an_endless_ending_is_only_a_name(draft, storage):
    with pytest.raises(BadFile) as refusal:
        reading.take_file(draft, csv("userid", "zhangsan"), "a." + "x" * 250)

    assert refusal.value.code == "unknown_ending"
    assert not kept_files(storage)


def test_a_deleted_draft_takes_its_list_along(draft, storage):
    reading.take_paste(draft, LARGE)
    assert kept_files(storage)

    drafting.delete(draft)

    assert not kept_files(storage)
    assert not Send.objects.exists()


def test_a_newer_list_ends_the_reading_of_an_older_one(draft):
    reading.take_paste(draft, LARGE)
    older = Send.objects.get(pk=draft.pk)
    claimed = reading._claim(older.pk)
    path = Path(default_storage.path(claimed.path))
    path = path.rename(path.with_suffix(".kept"))  # as if it were still open

    reading.take_paste(draft, "zhangsan")
    with pytest.raises(reading.Superseded):
        reading._read_list(older.pk, claimed, path)

    assert [line[1] for line in lines(draft)] == ["zhangsan"]


def test_two_workers_do_not_read_the_same_list(draft):
    reading.take_paste(draft, LARGE)

    assert reading._claim(draft.pk) is not None
    assert reading._claim(draft.pk) is None


def test_a_reader_that_died_is_replaced(draft, time_machine):
    reading.take_paste(draft, LARGE)
    assert reading._claim(draft.pk) is not None

    time_machine.move_to(timezone.now() + 2 * reading.SILENCE)
    reading.read(draft.pk)

    assert AudienceRow.objects.filter(send=draft).count() == 30_000


def test_a_submitted_send_keeps_its_audience(draft):
    Send.objects.filter(pk=draft.pk).update(status=Send.Status.RUNNING)

    with pytest.raises(control.WrongState):
        reading.take_paste(draft, "zhangsan")
    with pytest.raises(control.WrongState):
        reading.choose_everyone(draft)


def test_choosing_tags_forgets_the_list(draft):
    reading.take_paste(draft, "zhangsan")

    reading.choose_tags(draft, ["vip"])

    draft.refresh_from_db()
    assert (draft.audience, draft.tags, draft.reading) == ("tags", ["vip"], None)
    assert not lines(draft)
