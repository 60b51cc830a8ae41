"""The console's pages of lists and segments."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.factories import RecipientFactory, SendFactory, TagFactory
from users import audiences
from users.models import Segment, UserList, UserListEntry

pytestmark = pytest.mark.django_db


def page_of(name, *args):
    return reverse(f"admin:users_{name}", args=args)


def problems(answer):
    return dict(answer.context["adminform"].form.errors)


def on(row):
    return sorted(audiences.entries_of(row).values_list("userid", flat=True))


def test_a_list_is_pasted_and_shown(admin_client):
    form = {
        "name": "Gone",
        "kind": "black",
        "userids": "zhangsan\r\n lisi \r\n\r\nlisi",
    }
    admin_client.post(page_of("userlist_add"), form)

    row = UserList.objects.get()
    assert on(row) == ["lisi", "zhangsan"]
    assert row.size == 2
    page = admin_client.get(page_of("userlist_change", row.pk)).text
    assert page.index("lisi") < page.index("zhangsan")
    assert "Gone" in admin_client.get(page_of("userlist_changelist")).text


@pytest.mark.parametrize(
    ("how", "pasted", "left", "said"),
    [
        ("add", "wangwu\nlisi", ["lisi", "wangwu", "zhangsan"], "1 userid added."),
        ("remove", "lisi\nnobody", ["zhangsan"], "1 userid removed."),
        ("replace", "wangwu", ["wangwu"], "1 userid is on it."),
        ("replace", "", [], "0 userids are on it."),
        ("add", "", ["lisi", "zhangsan"], ""),
        ("remove", "", ["lisi", "zhangsan"], ""),
    ],
)
def test_a_list_is_changed_without_pasting_all_of_it(
    admin_client, how, pasted, left, said
):
    row = UserList.objects.create(name="Gone", kind="black")
    audiences.replace(row, ["zhangsan", "lisi"])

    answer = admin_client.post(
        page_of("userlist_change", row.pk),
        {"name": "Gone", "kind": "black", "how": how, "userids": pasted},
        follow=True,
    )

    row.refresh_from_db()
    assert on(row) == left
    assert row.size == len(left)
    assert said in answer.text


def test_a_long_list_is_looked_through_page_by_page(
    admin_client, django_assert_num_queries
):
    row = UserList.objects.create(name="Gone", kind="black")
    audiences.replace(row, [f"u{number:04d}" for number in range(3)])
    address = page_of("userlist_change", row.pk)
    with CaptureQueriesContext(connection) as few:
        admin_client.get(address)
    audiences.replace(row, [f"u{number:04d}" for number in range(2500)])

    with django_assert_num_queries(len(few)):
        page = admin_client.get(address)
    second = admin_client.get(f"{address}?{page.context['members']['next']}")

    assert "u0099" in page.text
    assert "u0100" not in page.text
    assert len(page.content) < 200_000
    assert [userid for userid, _pk in second.context["members"]["people"]] == [
        f"u{number:04d}" for number in range(100, 200)
    ]


def test_a_list_is_asked_for_one_person_and_saved_as_a_file(admin_client):
    row = UserList.objects.create(name="Gone", kind="black")
    audiences.replace(row, ["zhangsan", "lisi"])
    person = RecipientFactory(userid="zhangsan")
    address = page_of("userlist_change", row.pk)

    found = admin_client.get(address + "?member=zhangsan").text
    missed = admin_client.get(address + "?member=wangwu").text
    file = admin_client.get(page_of("userlist_userids", row.pk))

    assert page_of("recipient_page", person.pk) in found
    assert "wangwu is not on it." in missed
    assert file.getvalue() == b"lisi\nzhangsan\n"
    assert "attachment" in file["Content-Disposition"]


def test_the_list_of_lists_counts_nobody(admin_client, django_assert_num_queries):
    audiences.replace(UserList.objects.create(name="Gone", kind="black"), ["a"])
    with CaptureQueriesContext(connection) as one:
        admin_client.get(page_of("userlist_changelist"))
    for number in range(5):
        row = UserList.objects.create(name=f"L{number}", kind="white")
        audiences.replace(row, [f"u{n}" for n in range(50)])

    with django_assert_num_queries(len(one)):
        page = admin_client.get(page_of("userlist_changelist")).text

    assert "users_userlistentry" not in str(one.captured_queries)
    assert "50" in page


def test_the_list_of_segments_looks_at_nobody(admin_client, django_assert_num_queries):
    Segment.objects.create(name="S", any_tags=["vip"])
    with CaptureQueriesContext(connection) as one:
        admin_client.get(page_of("segment_changelist"))
    for number in range(5):
        audiences.replace(Segment.objects.create(name=f"S{number}"), ["a", "b"])

    with django_assert_num_queries(len(one)) as many:
        admin_client.get(page_of("segment_changelist"))

    assert "users_segmentuser" not in str(many.captured_queries)


@pytest.mark.parametrize("tags", [[], ["vip"]])
def test_a_large_segment_is_looked_through_page_by_page(
    admin_client, django_assert_num_queries, tags
):
    row = Segment.objects.create(name="S", any_tags=tags)

    def grow(numbers):
        if not tags:
            audiences.put_on(row, [f"u{number:04d}" for number in numbers])
        for number in numbers if tags else ():
            TagFactory(name="vip", recipient__userid=f"u{number:04d}")

    address = page_of("segment_change", row.pk)
    grow(range(3))
    with CaptureQueriesContext(connection) as few:
        admin_client.get(address)
    grow(range(3, 250))

    with django_assert_num_queries(len(few)):
        first = admin_client.get(address)
    second = admin_client.get(f"{address}?{first.context['members']['next']}")

    pages = [page.context["members"]["people"] for page in (first, second)]
    assert [userid for page in pages for userid, _pk in page] == [
        f"u{number:04d}" for number in range(200)
    ]


def test_a_segment_shows_whom_its_tags_mean_now(admin_client):
    vip, other = (TagFactory(name=name).recipient for name in ("vip", "gold"))
    row = Segment.objects.create(name="S", any_tags=["vip"])
    address = page_of("segment_change", row.pk)

    page = admin_client.get(address)
    file = admin_client.get(page_of("segment_userids", row.pk)).getvalue().decode()

    assert page.context["members"]["people"] == [(vip.userid, vip.pk)]
    assert file == f"{vip.userid}\n"
    assert other.userid not in page.text


def test_a_hundred_thousand_are_pasted_in_one_go(admin_client):
    pasted = "\n".join(f"user{number:08d}" for number in range(100_000))

    admin_client.post(
        page_of("userlist_add"), {"name": "All", "kind": "white", "userids": pasted}
    )

    assert UserListEntry.objects.count() == 100_000


def test_a_wrong_line_is_told_with_its_number(admin_client):
    form = {"name": "Gone", "kind": "black", "userids": "zhangsan\n\na b\nlisi"}

    answer = admin_client.post(page_of("userlist_add"), form)

    told = problems(answer)["userids"][0]
    assert told.startswith("Line 3: “a b” is no userid. A userid has at most 64")
    assert not UserList.objects.exists()


def test_a_name_that_is_taken_is_told_at_the_name(admin_client):
    UserList.objects.create(name="Gone", kind="black")

    answer = admin_client.post(
        page_of("userlist_add"), {"name": "Gone", "kind": "white"}
    )

    assert problems(answer) == {"name": ["It is taken already. Choose another."]}


def test_a_list_that_sends_name_is_not_deleted(admin_client):
    row = UserList.objects.create(name="Gone", kind="black")
    SendFactory(blacklist=row)

    admin_client.post(page_of("userlist_delete", row.pk), {"post": "yes"})

    assert UserList.objects.exists()


def test_a_segment_by_tags(admin_client):
    TagFactory(name="vip")
    admin_client.post(page_of("segment_add"), {"name": "S", "any_tags": "vip\ngold"})

    row = Segment.objects.get()
    assert row.any_tags == ["vip", "gold"]
    assert row.all_tags == row.none_tags == []
    page = admin_client.get(page_of("segment_change", row.pk)).text
    assert "vip\ngold" in page
    assert "any of: vip, gold" in admin_client.get(page_of("segment_changelist")).text


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({}, "any_tags"),
        ({"any_tags": "a b"}, "any_tags"),
        ({"any_tags": "a", "userids": "zhangsan"}, "userids"),
        ({"userids": "a b"}, "userids"),
    ],
)
def test_what_is_wrong_with_a_segment_is_said(admin_client, form, field):
    answer = admin_client.post(page_of("segment_add"), {"name": "S", **form})

    assert list(problems(answer)) == [field]
    assert not Segment.objects.exists()


def test_a_fixed_segment_becomes_one_by_tags_when_its_userids_go(admin_client):
    row = Segment.objects.create(name="S")
    audiences.replace(row, ["zhangsan", "lisi"])
    address = page_of("segment_change", row.pk)
    tags = {"name": "S", "any_tags": "vip"}

    both = admin_client.post(address, {**tags, "how": "add"})
    some = {**tags, "how": "remove", "userids": "lisi"}
    still = admin_client.post(address, some)
    nobody = {"name": "S", "how": "remove", "userids": "lisi\nzhangsan"}
    neither = admin_client.post(address, nobody)
    assert list(problems(both)) == list(problems(still)) == ["userids"]
    assert list(problems(neither)) == ["any_tags"]
    assert on(row) == ["lisi", "zhangsan"]

    admin_client.post(address, {**tags, "how": "replace", "userids": ""})

    row.refresh_from_db()
    assert row.any_tags == ["vip"]
    assert on(row) == []


def test_who_may_look_may_not_change(person):
    row = UserList.objects.create(name="Gone", kind="black")
    audiences.put_on(row, ["zhangsan"])
    segment = Segment.objects.create(name="S", any_tags=["vip"])
    viewer = Client()
    viewer.force_login(person("users.view_userlist", "users.view_segment").user)

    assert "zhangsan" in viewer.get(page_of("userlist_change", row.pk)).text
    assert "vip" in viewer.get(page_of("segment_change", segment.pk)).text
    form = {"name": "X", "kind": "white"}
    assert viewer.post(page_of("userlist_add"), form).status_code == 403
    change = page_of("userlist_change", row.pk)
    assert viewer.post(change, form).status_code == 403
    assert UserList.objects.get().name == "Gone"
