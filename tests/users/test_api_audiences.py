"""Black and white lists, and segments, over the resource API."""

import pytest

from tests.factories import RecipientFactory, SendFactory, TagFactory
from users.audiences import BadUserID, checked
from users.models import Segment, UserList, UserListEntry

pytestmark = pytest.mark.django_db
LISTS, SEGMENTS = "/api/lists/", "/api/segments/"
GIVEN = {"kind": "black", "name": "Gone", "userids": ["zhangsan", "lisi", "zhangsan"]}


class TestLists:
    def test_made_read_changed_removed(self, api):
        answer = api.post(LISTS, GIVEN)

        assert answer.status_code == 201
        made = answer.json()
        assert set(made) == {"id", "kind", "name", "size", "created_at"}
        assert isinstance(made["id"], int)
        assert made["size"] == 2
        one = f"{LISTS}{made['id']}/"
        assert api.get(one).json() == {**made, "userids": ["zhangsan", "lisi"]}
        assert api.get(LISTS).json()["results"] == [made]

        changed = api.patch(one, {"name": "Left", "userids": ["wangwu"]}).json()
        assert (changed["name"], changed["kind"]) == ("Left", "black")
        assert (changed["size"], changed["userids"]) == (1, ["wangwu"])
        assert api.patch(one, {"name": "Away"}).json()["userids"] == ["wangwu"]

        assert api.delete(one).status_code == 204
        assert not UserListEntry.objects.exists()
        assert api.get(one).json()["code"] == "not_found"

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"kind": "grey"}, "kind"),
            ({"name": ""}, "name"),
            ({"name": "taken"}, "name"),
            ({"userids": "zhangsan"}, "userids"),
            ({"userids": ["ok", 5]}, "userids"),
            ({"userids": ["a b"]}, "userids"),
            ({"userids": ["a\0b"]}, "userids"),
            ({"userids": ["x" * 65]}, "userids"),
            ({"userids": None}, "userids"),
        ],
    )
    def test_what_is_wrong_is_named(self, api, wrong, field):
        UserList.objects.create(kind="black", name="taken")

        answer = api.post(LISTS, {**GIVEN, **wrong})

        assert answer.status_code == 400
        assert list(answer.json()["fields"]) == [field]
        assert UserList.objects.count() == 1

    def test_one_that_sends_name_stays(self, api):
        kept = UserList.objects.create(kind="black", name="Gone")
        UserListEntry.objects.create(list=kept, userid="lisi")
        SendFactory(blacklist=kept)

        answer = api.delete(f"{LISTS}{kept.pk}/")

        assert answer.status_code == 409
        assert answer.json()["code"] == "in_use"
        assert kept.entries.count() == 1

    def test_a_hundred_thousand_in_one_go(self, api):
        userids = [f"user{n:08d}" for n in range(100_000)]

        answer = api.post(LISTS, {**GIVEN, "userids": userids})

        assert answer.json()["size"] == 100_000


class TestSegments:
    def test_by_tags_with_its_size(self, api):
        people = [RecipientFactory() for _number in range(4)]
        for person, *tags in zip(people, "aab", "xyx", strict=False):
            for tag in tags:
                TagFactory(recipient=person, name=tag)

        answer = api.post(
            SEGMENTS,
            {
                "name": "S",
                "any_tags": ["a", "b"],
                "all_tags": ["x"],
                "none_tags": ["b"],
            },
        )

        assert answer.status_code == 201
        made = answer.json()
        assert isinstance(made["id"], int)
        assert made["size"] == 1
        one = f"{SEGMENTS}{made['id']}/"
        assert api.get(one).json() == made
        assert api.patch(one, {"all_tags": []}).json()["size"] == 2
        assert api.get(SEGMENTS).json()["results"][0]["size"] == 2
        assert api.delete(one).status_code == 204

    def test_a_fixed_list(self, api):
        RecipientFactory(userid="zhangsan")
        given = {"name": "S", "userids": ["zhangsan", "nobody", "zhangsan"]}

        made = api.post(SEGMENTS, given).json()

        assert made["size"] == 1
        assert Segment.objects.get().users.count() == 2
        one = f"{SEGMENTS}{made['id']}/"
        answer = api.patch(one, {"any_tags": ["a"]})
        assert list(answer.json()["fields"]) == ["userids"]
        assert api.patch(one, {"any_tags": ["a"], "userids": []}).json()["size"] == 0

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({}, "any_tags"),
            ({"any_tags": []}, "any_tags"),
            ({"any_tags": ["a b"]}, "any_tags.0"),
            ({"all_tags": "a"}, "all_tags"),
            ({"none_tags": ["a", "x" * 41]}, "none_tags.1"),
            ({"userids": ["a"], "any_tags": ["a"]}, "userids"),
            ({"userids": []}, "any_tags"),
            ({"userids": {}}, "userids"),
            ({"any_tags": ["a"], "name": None}, "name"),
        ],
    )
    def test_what_is_wrong_is_named(self, api, wrong, field):
        answer = api.post(SEGMENTS, {"name": "S", **wrong})

        assert answer.status_code == 400
        assert list(answer.json()["fields"]) == [field]
        assert not Segment.objects.exists()


@pytest.mark.parametrize(
    ("address", "model", "given"),
    [
        (LISTS, "userlist", GIVEN),
        (SEGMENTS, "segment", {"name": "S", "any_tags": ["a"]}),
    ],
)
def test_people_of_the_console_need_the_permission(api, person, address, model, given):
    one = f"{address}{api.post(address, given).json()['id']}/"
    viewer = person(f"users.view_{model}")
    viewer.handler.enforce_csrf_checks = False

    assert viewer.get(address).status_code == 200
    assert viewer.get(one).status_code == 200
    assert viewer.post(address, {**given, "name": "T"}).status_code == 403
    assert viewer.patch(one, {"name": "T"}).status_code == 403
    assert viewer.delete(one).status_code == 403
    assert person().get(address).status_code == 403


@pytest.mark.parametrize("odd", ["", "a\nb", "a b", "a/b", "x" * 65, "\ud800", 7, None])
def test_one_odd_userid_among_many_is_found(odd):
    userids = ["zhangsan", "lisi@example.com", odd, "wangwu"]

    with pytest.raises(BadUserID) as problem:
        checked(userids)

    assert problem.value.index == 2
    assert checked(["张三", "a|b", "张三"]) == ["张三", "a|b"]
    assert checked([]) == []
