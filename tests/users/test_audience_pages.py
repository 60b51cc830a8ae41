"""The console's pages of lists and segments."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import SendFactory, TagFactory
from users.models import Segment, UserList, UserListEntry

pytestmark = pytest.mark.django_db


def page_of(name, *args):
    return reverse(f"admin:users_{name}", args=args)


def problems(answer):
    return dict(answer.context["adminform"].form.errors)


def test_a_list_is_pasted_shown_and_replaced(admin_client):
    form = {
        "name": "Gone",
        "kind": "black",
        "userids": "zhangsan\r\n lisi \r\n\r\nlisi",
    }
    admin_client.post(page_of("userlist_add"), form)

    row = UserList.objects.get()
    assert {entry.userid for entry in row.entries.all()} == {"zhangsan", "lisi"}
    change = page_of("userlist_change", row.pk)
    assert "zhangsan\nlisi" in admin_client.get(change).text
    admin_client.post(change, {**form, "userids": "wangwu"})
    assert [entry.userid for entry in row.entries.all()] == ["wangwu"]
    assert "Gone" in admin_client.get(page_of("userlist_changelist")).text


def test_a_hundred_thousand_are_pasted_in_one_go(admin_client):
    pasted = "\n".join(f"user{number:08d}" for number in range(100_000))

    admin_client.post(
        page_of("userlist_add"), {"name": "All", "kind": "white", "userids": pasted}
    )

    assert UserListEntry.objects.count() == 100_000


def test_a_wrong_line_is_told_with_its_number(admin_client):
    form = {"name": "Gone", "kind": "black", "userids": "zhangsan\n\na b\nlisi"}

    answer = admin_client.post(page_of("userlist_add"), form)

    assert problems(answer) == {"userids": ["Line 3: “a b” is no userid."]}
    assert not UserList.objects.exists()


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


def test_who_may_look_may_not_change(person):
    row = UserList.objects.create(name="Gone", kind="black")
    UserListEntry.objects.create(list=row, userid="zhangsan")
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
