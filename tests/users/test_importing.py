import io
import random

import openpyxl
import pytest
from django.core.files.base import ContentFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import ChannelFactory, OpenIDFactory, RecipientFactory, TagFactory
from users import importing, tasks
from users.models import (
    Follower,
    OpenID,
    Recipient,
    RecipientTag,
    Upload,
    UploadError,
)
from users.rows import Columns, Person, Reader
from users.workbooks import BadFile

pytestmark = pytest.mark.django_db


def openid(number):
    return f"o{number:027d}"


@pytest.fixture
def channel():
    return ChannelFactory(code="shop")


def uploaded(text, *, mode="set", channel=None, name="users.csv", run=True):
    """Import a file of `text`, as a worker does once it is woken."""
    upload = importing.new_upload(
        ContentFile(text.encode()), name, mode=mode, channel=channel, status="queued"
    )
    if run:
        importing.import_upload(upload.pk)
    upload.refresh_from_db()
    return upload


def blocks_of(rows):
    return {"postgresql": rows, "sqlite": rows}


def counts(upload):
    return (upload.status, upload.rows_ok, upload.rows_failed, upload.rows_warned)


def report(upload):
    errors = UploadError.objects.filter(upload=upload).order_by("id")
    return [(error.row, error.userid, error.code) for error in errors]


def people():
    return {
        person.userid: (
            {o.channel.code: o.openid for o in person.openids.all()},
            sorted(tag.name for tag in person.tags.all()),
            person.phone,
            person.email,
        )
        for person in Recipient.objects.with_bindings()
    }


HEAD = "userid,wechatoa_openid,tag,phone,email\n"


def test_set_creates_people_with_all_they_have(channel):
    upload = uploaded(
        HEAD + f"u1,{openid(1)},会员;VIP,+86 138-0013-8000,a@b.cn\nu2,{openid(2)},,,\n",
        channel=channel,
    )

    assert counts(upload) == ("finished", 2, 0, 0)
    assert people() == {
        "u1": ({"shop": openid(1)}, ["VIP", "会员"], "+8613800138000", "a@b.cn"),
        "u2": ({"shop": openid(2)}, [], "", ""),
    }
    assert upload.bytes_done == upload.bytes_total
    assert not upload.file.storage.exists(upload.file.name)


def test_set_overwrites_what_a_row_says_and_leaves_the_rest(channel):
    uploaded(
        HEAD + f"u1,{openid(1)},a;b,13800138000,a@b.cn\n",
        channel=channel,
    )
    OpenID.objects.update(followed=True)

    uploaded(HEAD + f"u1,{openid(2)},b;c,,\n", channel=channel)

    assert people() == {
        "u1": ({"shop": openid(2)}, ["b", "c"], "13800138000", "a@b.cn")
    }
    assert OpenID.objects.get().followed is None


def test_set_touches_no_row_that_says_the_same(channel):
    text = HEAD + f"u1,{openid(1)},a,13800138000,a@b.cn\n"
    uploaded(text, channel=channel)
    long_ago = timezone.now() - timezone.timedelta(days=9)
    Recipient.objects.update(updated_at=long_ago)
    OpenID.objects.update(updated_at=long_ago, followed=True)

    upload = uploaded(text, channel=channel)

    assert counts(upload) == ("finished", 1, 0, 0)
    assert Recipient.objects.get().updated_at == long_ago
    assert OpenID.objects.get().updated_at == long_ago
    assert OpenID.objects.get().followed is True


def test_set_takes_known_and_new_people_in_one_block(channel):
    other = ChannelFactory(code="club")
    uploaded(HEAD + f"u2,{openid(2)},a;b,13800138000,\n", channel=channel)
    Follower.objects.heard(other.pk, [(openid(9), False, timezone.now())])

    upload = uploaded(
        "userid,bind_id,wechatoa_openid,tag,phone,email\n"
        f"u3,club,{openid(9)},c,,\n"
        f"u2,,{openid(4)},b;c,,new@b.cn\n"
        f"u3,shop,{openid(5)},d;e,13900139000,\n"
        f"u1,shop,{openid(6)},,,\n",
        channel=channel,
    )

    assert people() == {
        "u1": ({"shop": openid(6)}, [], "", ""),
        "u2": ({"shop": openid(4)}, ["b", "c"], "13800138000", "new@b.cn"),
        "u3": ({"club": openid(9), "shop": openid(5)}, ["d", "e"], "13900139000", ""),
    }
    assert counts(upload) == ("finished", 4, 0, 0)
    follows = OpenID.objects.values_list("openid", "followed").order_by("openid")
    assert list(follows) == [
        (openid(4), None),
        (openid(5), None),
        (openid(6), None),
        (openid(9), False),
    ]


def test_add_keeps_the_tags_that_are_there(channel):
    uploaded(HEAD + f"u1,{openid(1)},a,13800138000,\n", channel=channel)

    upload = uploaded(
        HEAD + f"u1,{openid(2)},b,,new@b.cn\nu2,{openid(3)},b,,\nu2,{openid(3)},c,,\n",
        mode="add",
        channel=channel,
    )

    assert people() == {
        "u1": ({"shop": openid(2)}, ["a", "b"], "13800138000", "new@b.cn"),
        "u2": ({"shop": openid(3)}, ["b", "c"], "", ""),
    }
    assert counts(upload) == ("finished", 3, 0, 0)


def test_del_takes_away_exactly_what_the_rows_say(channel):
    uploaded(
        HEAD + f"u1,{openid(1)},a;b,13800138000,a@b.cn\nu2,{openid(2)},a,,\n",
        channel=channel,
    )

    upload = uploaded(
        HEAD + f"u1,{openid(1)},b,13800138000,other@b.cn\nu2,{openid(9)},,,\nu3,,a,,\n",
        mode="del",
        channel=channel,
    )

    assert people() == {
        "u1": ({}, ["a"], "", "a@b.cn"),
        "u2": ({"shop": openid(2)}, ["a"], "", ""),
    }
    assert report(upload) == [(3, "u2", "openid_differs"), (4, "u3", "unknown_userid")]


def test_del_with_nothing_but_userids_removes_the_people(channel):
    other = OpenIDFactory(recipient__userid="other")
    gone = OpenIDFactory(recipient__userid="gone")
    TagFactory(recipient=gone.recipient, name="a")

    upload = uploaded("userid\ngone\nnobody\n", mode="del")

    assert list(people()) == ["other"]
    assert OpenID.objects.get() == other
    assert report(upload) == [(3, "nobody", "unknown_userid")]
    assert upload.deletes_people


def test_bind_id_names_the_channel_of_each_row(channel):
    app = ChannelFactory(code="app2")
    upload = uploaded(
        "用户ID,通道编码,openID,标签\n"
        f"u1,shop,{openid(1)},a\nu1,app2,{openid(2)},\nu1,all,,b\n"
        f"u2,nowhere,{openid(3)},\nu3,all,{openid(4)},\nu4,,{openid(5)},\n",
        channel=app,
    )

    assert people() == {
        "u1": ({"shop": openid(1), "app2": openid(2)}, ["b"], "", ""),
        "u4": ({"app2": openid(5)}, [], "", ""),
    }
    assert report(upload) == [
        (5, "u2", "unknown_channel"),
        (6, "u3", "openid_for_all"),
    ]


def test_bad_rows_never_stop_the_others(channel):
    rows = [
        ("u1", openid(1), "", "", ""),
        ("", openid(2), "", "", ""),
        ("u" * 65, "", "", "", ""),
        ("u 4", "", "", "", ""),
        ("u5", "x" * 28, "", "", ""),
        ("u6", openid(6)[:-1], "", "", ""),
        ("u7", "", "x" * 41, "", ""),
        ("u8", "", "a b", "", ""),
        ("u9", "", ";".join(f"t{n}" for n in range(101)), "", ""),
        ("u10", "", "", "tel", ""),
        ("u11", "", "", "", "nobody"),
        ("u12", "", "", "1.38E+15", ""),
        ("u13", "#N/A", "", "", ""),
        ("u14", openid(14), "会员、VIP", "", ""),
    ]
    text = HEAD + "".join(",".join(row) + "\n" for row in rows)

    upload = uploaded(text, channel=channel)

    assert sorted(people()) == ["u1", "u14"]
    assert report(upload) == [
        (3, "", "userid_missing"),
        (4, "u" * 64, "userid_too_long"),
        (5, "u 4", "userid_characters"),
        (6, "u5", "openid_shape"),
        (7, "u6", "openid_shape"),
        (8, "u7", "tag_shape"),
        (9, "u8", "tag_shape"),
        (10, "u9", "too_many_tags"),
        (11, "u10", "phone_shape"),
        (12, "u11", "email_shape"),
        (13, "u12", "rounded_number"),
        (14, "u13", "error_value"),
    ]
    assert counts(upload) == ("finished", 2, 12, 0)
    sentences = [error.reason for error in upload.errors.all()]
    assert not [text for text in sentences if "%(" in text]
    assert "phone" in sentences[-2]


def test_characters_that_no_table_takes(channel):
    book = openpyxl.Workbook()
    book.active.append(["userid", "phone"])
    book.active.append(["u_x0000_1", ""])
    book.active.append(["u2", "138_x0009_0013_x005C_n"])
    file = io.BytesIO()
    book.save(file)
    upload = importing.new_upload(
        ContentFile(file.getvalue()), "a.xlsx", status="queued"
    )

    importing.import_upload(upload.pk)

    assert report(upload) == [
        (2, "u�1", "userid_characters"),
        (3, "u2", "phone_shape"),
    ]


def test_a_channel_must_come_from_somewhere():
    upload = uploaded(f"userid,openid\nu1,{openid(1)}\n")

    assert report(upload) == [(2, "u1", "no_channel")]


def test_the_same_row_twice_is_fine(channel):
    upload = uploaded(
        f"userid,openid\nu1,{openid(1)}\nu1,{openid(1)}\n", channel=channel
    )

    assert counts(upload) == ("finished", 2, 0, 0)
    assert report(upload) == []


def test_of_two_openids_the_last_wins_with_a_warning(channel):
    upload = uploaded(
        f"userid,openid\nu1,{openid(1)}\nu2,{openid(3)}\nu1,{openid(2)}\n",
        channel=channel,
    )

    assert people()["u1"][0] == {"shop": openid(2)}
    assert report(upload) == [(4, "u1", "another_openid")]
    assert counts(upload) == ("finished", 3, 0, 1)
    assert "2" in upload.errors.get().reason


def test_rows_in_different_blocks_know_of_each_other(channel, monkeypatch):
    monkeypatch.setattr(importing, "ROWS_A_BLOCK", blocks_of(2))
    text = "userid,openid\n" + "".join(
        f"u{n % 4},{openid(n)}\n" if n % 3 else "bad user,\n" for n in range(11)
    )

    upload = uploaded(text, channel=channel)

    assert counts(upload) == ("finished", 7, 4, 3)
    assert upload.rows_total == 11
    assert people()["u2"][0] == {"shop": openid(10)}


def test_unknown_columns_are_named_and_left_out(channel):
    upload = uploaded(
        f"姓名,userid,openid,app_regid,\n王,u1,{openid(1)},x,\n", channel=channel
    )

    assert upload.ignored_columns == ["姓名", "app_regid"]
    assert people()["u1"][0] == {"shop": openid(1)}


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("u1,o123\n", "no_header"),
        ("openid,phone\n", "no_userid"),
        ("userid,手机,phone\n", "double_meaning"),
        ("userid,userid\n", "double_column"),
        ("\n", "empty"),
    ],
)
def test_a_header_that_does_not_do_is_refused_at_once(head, code):
    with pytest.raises(BadFile) as caught:
        uploaded(head)

    assert caught.value.code == code
    assert "%(" not in caught.value.sentence
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    "name",
    ["用户ID", "User ID", "ＵＳＥＲＩＤ", "user_id", " userid ", "用户 id"],
)
def test_people_call_the_column_many_names(name):
    assert uploaded(f"{name},x\nu1,\n").rows_ok == 1


def test_a_file_that_breaks_in_the_middle_keeps_what_was_read(channel, monkeypatch):
    monkeypatch.setattr(importing, "ROWS_A_BLOCK", blocks_of(10))
    good = "".join(f"u{n}\n" for n in range(30))

    upload = uploaded("userid\n" + good + '"u' + "x\n" * 40_000)

    assert (upload.status, upload.failure) == ("failed", "open_quote")
    assert "32" in upload.detail
    assert Recipient.objects.count() == upload.rows_ok == 30


# -- twice, killed, taken over ---------------------------------------------------------


def test_running_twice_changes_nothing(channel):
    upload = uploaded(f"userid,openid\nu1,{openid(1)}\n", channel=channel)

    importing.import_upload(upload.pk)

    upload.refresh_from_db()
    assert counts(upload) == ("finished", 1, 0, 0)


GOOD = {
    "userid": ["u1", "A.b@c|d=e+f*g!#$&-_", "u" * 64, "7"],
    "bind_id": ["", "shop", "other"],
    "openid": ["", openid(1), "o" + "_-Zz9" * 5 + "ab"],
    "tag": ["", "VIP", "a;b,a", "会员，老"],
    "phone": ["", "13800138000", "+8613800138000", "12345"],
    "email": ["", "a@b.cn"],
}
# One of them sends its row, or all that came with it, to be looked at one by one.
ODD = {
    "userid": ["", "用户", "a b", "u" * 65, "a\nb", "a\tb", "u\\"],
    "bind_id": ["all", "nowhere"],
    "openid": ["o1", "x" * 28, f"{openid(1)[:-1]}\n", f"p{openid(1)[1:]}"],
    "tag": ["a b", "x" * 41, ",".join(map(str, range(101)))],
    "phone": ["138 0013 8000", "1234", "1" * 21, "+", "x"],
    "email": ["a", "a@b\\.cn"],
}


@pytest.mark.parametrize("seed", range(60))
def test_many_rows_are_read_as_each_is(seed):
    choose = random.Random(seed)
    names = ["userid", *choose.sample(list(GOOD)[1:], seed % 6)]
    reader = Reader(Columns(names), choose.choice([None, 3]), {"shop": 1, "other": 2})
    columns = [choose.choices(GOOD[name], k=20) for name in names]
    is_odd = seed % 2
    if is_odd:
        at = choose.randrange(len(names))
        columns[at][choose.randrange(20)] = choose.choice(ODD[names[at]])
    numbers = range(5, 25)
    one_by_one = [
        reader.read(number, list(cells))
        for number, cells in zip(numbers, zip(*columns, strict=True), strict=True)
    ]

    people = reader.read_all(numbers, columns)

    all_good = all(isinstance(read, Person) for read in one_by_one)
    if people is not None:
        assert [Person(*each) for each in people] == one_by_one
    if not is_odd:
        assert (people is not None) == all_good
    elif not all_good:
        assert people is None


def test_a_person_comes_again_far_below(channel):
    rows = [f"u{n},{openid(n)}" for n in range(5000)]
    rows += [f"u{n},{openid(n)}" for n in range(100)] + [f"u7,{openid(8)}"]

    upload = uploaded("userid,openid\n" + "\n".join(rows) + "\n", channel=channel)

    assert counts(upload) == ("finished", 5101, 0, 1)
    assert report(upload) == [(5102, "u7", "another_openid")]
    # The row that gave it last, not the first one.
    assert upload.errors.get().params == {"row": 5009}
    assert Recipient.objects.count() == OpenID.objects.count() == 5000
    assert Recipient.objects.get(userid="u7").openids.get().openid == openid(8)


class Killed(BaseException):
    """What SIGKILL is to a process: nothing after it runs."""


@pytest.mark.django_db(transaction=True)
def test_a_killed_import_goes_on_where_it_was(monkeypatch):
    channel = ChannelFactory()
    monkeypatch.setattr(importing, "ROWS_A_BLOCK", blocks_of(4))
    rows = [f"u{n % 9},{openid(n)}" if n % 5 else "bad user," for n in range(23)]
    text = "userid,openid\n" + "\n".join(rows) + "\n"
    upload = uploaded(text, channel=channel, run=False)
    commit = importing._Import._commit
    calls = []

    def die(self, *arguments):
        calls.append(arguments)
        if len(calls) % 2 == 0:
            raise Killed
        commit(self, *arguments)

    monkeypatch.setattr(importing._Import, "_commit", die)
    for _ in range(3):
        with pytest.raises(Killed):
            importing.import_upload(upload.pk)
        assert importing.sweep() == []
        Upload.objects.update(heartbeat_at=timezone.now() - importing_silence())
        assert importing.sweep() == [upload.pk]
    monkeypatch.setattr(importing._Import, "_commit", commit)

    importing.import_upload(upload.pk)

    upload.refresh_from_db()
    assert counts(upload) == ("finished", 18, 5, 9)
    assert upload.attempt == 4
    straight = uploaded(text, channel=channel)
    assert counts(straight) == counts(upload)
    assert report(straight) == report(upload)


def importing_silence():
    from users.querysets import SILENCE

    return SILENCE + timezone.timedelta(seconds=1)


def test_a_worker_that_was_replaced_stops(channel, monkeypatch):
    monkeypatch.setattr(importing, "ROWS_A_BLOCK", blocks_of(1))
    upload = uploaded("userid\nu1\nu2\nu3\n", run=False)
    commit = importing._Import._commit

    def taken_over(self, block):
        commit(self, block)
        if block.last_row == 3:
            Upload.objects.update(attempt=7)

    monkeypatch.setattr(importing._Import, "_commit", taken_over)
    importing.import_upload(upload.pk)

    upload.refresh_from_db()
    assert (upload.status, upload.rows_ok) == ("running", 2)
    assert not Recipient.objects.filter(userid="u3").exists()
    assert upload.file.storage.exists(upload.file.name)


def test_a_file_that_ends_every_worker_is_given_up():
    upload = uploaded("userid\nu1\n", run=False)
    Upload.objects.update(attempt=importing.MAX_ATTEMPTS)

    importing.import_upload(upload.pk)

    upload.refresh_from_db()
    assert (upload.status, upload.failure) == ("failed", "gave_up")


def test_a_file_that_is_gone():
    upload = uploaded("userid\nu1\n", run=False)
    upload.file.storage.delete(upload.file.name)

    tasks.import_upload(upload.pk)

    upload.refresh_from_db()
    assert (upload.status, upload.failure) == ("failed", "file_gone")


def test_the_sweep_removes_previews_that_nobody_started():
    upload = importing.new_upload(ContentFile(b"userid\n"), "a.csv")
    fresh = importing.new_upload(ContentFile(b"userid\n"), "a.csv")
    day = timezone.timedelta(days=1, minutes=1)
    Upload.objects.filter(pk=upload.pk).update(created_at=timezone.now() - day)

    tasks.sweep_uploads()

    assert list(Upload.objects.all()) == [fresh]
    assert not upload.file.storage.exists(upload.file.name)


def test_a_preview_starts_once(django_capture_on_commit_callbacks):
    upload = importing.new_upload(ContentFile(b"userid\nu1\n"), "a.csv")

    with django_capture_on_commit_callbacks() as calls:
        assert importing.start(upload)
        assert not importing.start(upload)

    assert len(calls) == 1
    assert importing.sweep() == [upload.pk]


def test_the_preview_shows_what_would_become_of_the_rows(channel):
    upload = importing.new_upload(
        ContentFile(
            f"userid,openid,生日\nu1,{openid(1)},1 月\nu 2,,\nu3,#N/A,\n".encode()
        ),
        "a.csv",
        channel=channel,
    )

    preview = importing.preview(upload)

    assert upload.columns == [
        ("userid", "userid"),
        ("openid", "wechatoa_openid"),
        ("生日", ""),
    ]
    assert preview.columns == ["userid", "openid", "生日"]
    assert [row for row, _cells, _problem in preview.rows] == [2, 3, 4]
    assert preview.rows[2][1] == ["u3", "#N/A", ""]
    assert [p.code for p in preview.problems] == ["userid_characters", "error_value"]
    assert (preview.looked_at, preview.bad, preview.is_all) == (3, 2, True)
    assert not Recipient.objects.exists()


# -- many ------------------------------------------------------------------------------


def test_queries_do_not_grow_with_rows(channel, django_assert_num_queries):
    def run(name, number):
        text = "".join(f"{name}{n},{openid(n)},a;b,,\n" for n in range(number))
        return uploaded(HEAD + text, channel=channel, run=False)

    small, large = run("s", 10), run("l", 2000)

    with CaptureQueriesContext(connection) as queries:
        importing.import_upload(small.pk)
    with django_assert_num_queries(len(queries)):
        importing.import_upload(large.pk)

    assert Recipient.objects.count() == 2010


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite counts no rows")
@pytest.mark.parametrize("has_statistics", [True, False])
@pytest.mark.parametrize("mode", ["set", "del"])
def test_a_block_finds_its_people_by_index(channel, mode, has_statistics):
    userids = [f"u{n:05d}" for n in range(20_000)]
    found = Recipient.objects.bulk_create(Recipient(userid=u) for u in userids)
    OpenID.objects.bulk_create(
        OpenID(channel=channel, recipient=person, openid=openid(person.pk))
        for person in found
    )
    RecipientTag.objects.bulk_create(
        RecipientTag(recipient=person, name="old") for person in found
    )
    tables = ["users_recipient", "users_openid", "users_recipienttag"]
    rows = [f"{userid},{openid(n)},new,," for n, userid in enumerate(userids[:4000])]
    upload = uploaded(HEAD + "\n".join(rows), mode=mode, channel=channel, run=False)
    with connection.cursor() as cursor:
        if has_statistics:
            cursor.execute(f"ANALYZE {', '.join(tables)}")
        before = scanned(cursor, tables)
        importing.import_upload(upload.pk)
        after = scanned(cursor, tables)

    upload.refresh_from_db()
    assert (upload.status, upload.rows_ok) == ("finished", 4000)
    assert after == before


def scanned(cursor, tables):
    """Return how many rows of each table this transaction has met in going through it
    from one end to the other."""
    cursor.execute(
        "SELECT relname, seq_tup_read FROM pg_stat_xact_user_tables"
        " WHERE relname = ANY(%s)",
        [tables],
    )
    return dict(cursor.fetchall())


def test_problems_beyond_the_limit_are_only_counted(monkeypatch):
    monkeypatch.setattr(importing, "MAX_REPORTED", 3)
    monkeypatch.setattr(importing, "ROWS_A_BLOCK", blocks_of(2))

    upload = uploaded("userid\n" + "a b\n" * 7)

    assert upload.rows_failed == 7
    assert upload.errors.count() == 3


def test_matching_finds_by_beginning_and_by_openid():
    OpenIDFactory(recipient__userid="anna", openid=openid(5))
    RecipientFactory(userid="ann")
    RecipientFactory(userid="Bert%")

    def found(text):
        return sorted(person.userid for person in Recipient.objects.matching(text))

    assert found("ann") == ["ann", "anna"]
    assert found("nna") == []
    assert found("%") == []
    assert found("Bert%") == ["Bert%"]
    assert found(openid(5)) == ["anna"]
