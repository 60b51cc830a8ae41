"""/v1/user/opt and /v1/user/delete: chapter 4 of the JUMS API."""

import pytest

from tests.factories import ChannelFactory
from tests.jums_fixture import refusal
from users.models import OpenID, Recipient, RecipientContact, RecipientTag

pytestmark = pytest.mark.django_db

OPENID = "oRcf0w_yHT-1F_pioV1cHbf7ghFI"
OTHER = "oSB0000000000000000000000001"


def report(answer):
    """Return (userids that worked, {userid: errcode of those that failed})."""
    body = answer.json()
    assert (answer.status_code, body["code"], body["message"]) == (200, 0, "success")
    assert set(body["data"]) == {"success", "fail"}
    for item in body["data"]["fail"]:
        assert set(item) == {"userid", "errcode", "errmsg"}
        assert isinstance(item["errcode"], str)
        assert item["errmsg"]
    return body["data"]["success"], {
        item["userid"]: item["errcode"] for item in body["data"]["fail"]
    }


def known(userid, key):
    """What is stored of a person, as `set` would say it; `key` reads as "KEY"."""
    person = Recipient.objects.get(userid=userid)
    contacts = RecipientContact.objects.filter(recipient=person)
    found = {"tag": {}, "phone": {}, "email": {}, "wechatoa": {}}
    for tag in person.tags.order_by("name"):
        found["tag"].setdefault(tag.bind, []).append(tag.name)
    for name in ("phone", "email"):
        found[name] = {"all": getattr(person, name)}
        found[name] |= {one.bind: getattr(one, name) for one in contacts}
    for one in OpenID.objects.filter(recipient=person).select_related("channel"):
        found["wechatoa"][one.channel.code] = one.openid
    kept = {}
    for name, values in found.items():
        values = {"KEY" if b == key else b: v for b, v in values.items() if v}
        if values:
            kept[name] = values
    return kept


def keyed(value, key):
    """Replace the name "KEY" by a ChannelKey, wherever it is."""
    if not isinstance(value, dict):
        return value
    return {
        key if name == "KEY" else name: keyed(inner, key)
        for name, inner in value.items()
    }


@pytest.fixture
def opt(shop):
    """Apply items, one after another in one call; "KEY" is the caller's ChannelKey."""

    def call(*items, caller=shop):
        return report(
            caller.post("user/opt", [keyed(item, shop.row.key) for item in items])
        )

    return call


# -- shapes ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "item",
    [
        {"userid": "zhangsan", "set": {"wechatoa": {"shop": OPENID}}},
        {"userid": "zhangsan", "set": {"shop": OPENID}},
        {"userid": "zhangsan", "wechatoa": {"shop": OPENID}},
    ],
    ids=["by attribute", "by code, as the Official Account guide", "without set"],
)
@pytest.mark.parametrize(
    "wrap", [lambda item: [item], lambda item: item], ids=["list", "one object"]
)
def test_every_documented_shape_binds_the_openid(shop, item, wrap):
    assert report(shop.post("user/opt", wrap(item))) == (["zhangsan"], {})
    assert known("zhangsan", "") == {"wechatoa": {"shop": OPENID}}


def test_the_guides_own_example_works_unchanged(shop):
    shop.row.channels.add(ChannelFactory(code="wechatoa123"))
    body = (
        '[{"userid":"zhangsan","set":{"wechatoa123":"oRcf0w_yHT-1F_pioV1cHbf7ghFI"}}]'
    )

    assert report(shop.post("user/opt", body)) == (["zhangsan"], {})
    assert known("zhangsan", "") == {"wechatoa": {"wechatoa123": OPENID}}


@pytest.mark.parametrize(
    ("given", "userid"), [("张三@a.b|c", "张三@a.b|c"), (17, "17"), (" x ", "x")]
)
def test_an_unknown_userid_is_created_a_known_one_updated(opt, given, userid):
    assert opt({"userid": given}) == ([userid], {})
    assert opt({"userid": given, "set": {"phone": {"all": "13800138000"}}})[0]

    assert Recipient.objects.get(userid=userid).phone == "13800138000"


# -- what operations do ----------------------------------------------------------------
BEFORE = {
    "tag": {"all": ["a", "b"], "KEY": ["own"]},
    "phone": {"all": "13800138000", "KEY": "13900139000"},
    "email": {"all": "a@example.com"},
    "wechatoa": {"shop": OPENID},
}


@pytest.mark.parametrize(
    ("item", "after"),
    [
        ({"set": {"tag": {"all": ["c"]}}}, {"tag": {"all": ["c"], "KEY": ["own"]}}),
        ({"set": {"tag": {"KEY": [5]}}}, {"tag": {"all": ["a", "b"], "KEY": ["5"]}}),
        ({"set": {"tag": {"all": []}}}, {"tag": {"KEY": ["own"]}}),
        ({"set": {"tag": {"all": ""}}}, {"tag": {"KEY": ["own"]}}),
        (
            {"add": {"tag": {"all": ["b", "c"]}}},
            {"tag": {"all": ["a", "b", "c"], "KEY": ["own"]}},
        ),
        (
            {"del": {"tag": {"all": ["a", "x"]}}},
            {"tag": {"all": ["b"], "KEY": ["own"]}},
        ),
        ({"del": {"tag": {"all": []}}}, {"tag": {"KEY": ["own"]}}),
        (
            {
                "add": {"tag": {"all": ["z"]}},
                "set": {"tag": {"all": ["y"]}},
                "del": {"tag": {"KEY": ["own"]}},
            },
            {"tag": {"all": ["y", "z"]}},
        ),
        (
            {"del": {"tag": {"all": ["a"]}}, "add": {"tag": {"all": ["a"]}}},
            {},
        ),
        (
            {"set": {"phone": {"all": "+86 138-0013-8001"}}},
            {"phone": {"all": "+8613800138001", "KEY": "13900139000"}},
        ),
        (
            {"set": {"phone": {"KEY": ["13900139001"]}}},
            {"phone": {"all": "13800138000", "KEY": "13900139001"}},
        ),
        ({"set": {"phone": {"all": ""}}}, {"phone": {"KEY": "13900139000"}}),
        ({"set": {"phone": {"all": []}}}, {"phone": {"KEY": "13900139000"}}),
        (
            {"set": {"phone": {"all": 13800138002}}},
            {"phone": {"all": "13800138002", "KEY": "13900139000"}},
        ),
        (
            {"del": {"phone": {"all": "13800138000"}}},
            {"phone": {"KEY": "13900139000"}},
        ),
        ({"del": {"phone": {"all": "99999"}}}, {}),
        ({"del": {"phone": {"KEY": ""}}}, {"phone": {"all": "13800138000"}}),
        (
            {"set": {"email": {"KEY": "b@example.com"}}},
            {"email": {"all": "a@example.com", "KEY": "b@example.com"}},
        ),
        ({"del": {"email": {"all": "a@example.com"}}}, {"email": None}),
        ({"set": {"email": {"all": ""}}}, {"email": None}),
        ({"set": {"wechatoa": {"shop": OTHER}}}, {"wechatoa": {"shop": OTHER}}),
        ({"set": {"wechatoa": {"shop": ""}}}, {"wechatoa": None}),
        ({"set": {"wechatoa": {"shop": []}}}, {"wechatoa": None}),
        ({"del": {"wechatoa": {"shop": OPENID}}}, {"wechatoa": None}),
        ({"del": {"wechatoa": {"shop": ""}}}, {"wechatoa": None}),
        ({"del": {"wechatoa": {"shop": []}}}, {"wechatoa": None}),
        ({"del": {"shop": OPENID}}, {"wechatoa": None}),
        ({"del": {"wechatoa": {"shop": OTHER}}}, {}),
        (
            {"del": {"shop": OPENID}, "set": {"shop": OTHER}},
            {"wechatoa": {"shop": OTHER}},
        ),
        (
            {
                "set": {"phone": {"all": "10086"}},
                "phone": {"KEY": "10010"},
                "email": {"all": "c@example.com"},
            },
            {
                "phone": {"all": "10086", "KEY": "10010"},
                "email": {"all": "c@example.com"},
            },
        ),
        ({"set": None, "add": "", "del": {}, "phone": None, "tag": ""}, {}),
        ({"set": {"app": {}, "wechatmp": "", "dingtalkcc": None, "phone": None}}, {}),
        ({}, {}),
    ],
    ids=str,
)
def test_what_an_item_does(opt, shop, item, after):
    opt({"userid": "a", "set": BEFORE})

    assert opt({"userid": "a", **item}) == (["a"], {})

    expected = {name: v for name, v in (BEFORE | after).items() if v}
    assert known("a", shop.row.key) == expected


def test_items_run_in_order(opt, shop):
    opt(
        {"userid": "a", "set": {"tag": {"all": ["x"]}}},
        {"userid": "b", "set": {"wechatoa": {"shop": OPENID}}},
        {"userid": "a", "add": {"tag": {"all": ["y"]}}},
        {"userid": "b", "set": {"wechatoa": {"shop": ""}}},
    )

    assert known("a", "") == {"tag": {"all": ["x", "y"]}}
    assert known("b", "") == {}


def test_one_openid_may_belong_to_two_users(opt):
    items = [{"userid": name, "set": {"shop": OPENID}} for name in "ab"]

    assert opt(*items) == (["a", "b"], {})
    assert OpenID.objects.filter(openid=OPENID).count() == 2


# -- what is refused -------------------------------------------------------------------
@pytest.mark.parametrize(
    "item",
    [
        "no object",
        7,
        None,
        [],
        {"set": {"phone": {"all": "13800138000"}}},
        {"userid": ""},
        {"userid": None},
        {"userid": True},
        {"userid": 1.5},
        {"userid": ["bad"]},
        {"userid": "x" * 65},
        {"userid": "a b"},
        {"userid": "a/b"},
        {"userid": "a\0b"},
    ],
    ids=str,
)
def test_without_a_proper_userid_an_item_is_4004(opt, item):
    success, fail = opt(item, {"userid": "good"})

    assert (success, list(fail.values())) == (["good"], ["4004"])
    assert (
        Recipient.objects.exclude(openids__channel__code="shop").get().userid == "good"
    )


@pytest.mark.parametrize(
    "item",
    [
        {"nickname": "x"},
        {"shop": OPENID},
        {"remove": {"tag": {"all": ["x"]}}},
        {"set": []},
        {"set": "x"},
        {"set": {"nickname": "x"}},
        {"set": {"nobody": OPENID}},
        {"set": {"tag": ["x"]}},
        {"set": {"tag": {"nobody": ["x"]}}},
        {"set": {"tag": {"shop": ["x"]}}},
        {"set": {"tag": {"all": ["a b"]}}},
        {"set": {"tag": {"all": [""]}}},
        {"set": {"tag": {"all": [None]}}},
        {"set": {"tag": {"all": {"x": 1}}}},
        {"set": {"tag": {"all": ["十" * 14]}}},
        {"set": {"tag": {"all": [f"t{n}" for n in range(101)]}}},
        {"set": {"phone": "13800138000"}},
        {"set": {"phone": {"shop": "13800138000"}}},
        {"set": {"phone": {"all": "no phone"}}},
        {"set": {"phone": {"all": ["13800138000", "13800138001"]}}},
        {"set": {"email": {"all": "no email"}}},
        {"set": {"email": {"all": ["a@example.com", "b@example.com"]}}},
        {"add": {"phone": {"all": "13800138000"}}},
        {"add": {"email": {"all": "a@example.com"}}},
        {"add": {"wechatoa": {"shop": OPENID}}},
        {"set": {"wechatoa": OPENID}},
        {"set": {"wechatoa": {"nobody": OPENID}}},
        {"set": {"wechatoa": {"all": OPENID}}},
        {"set": {"wechatoa": {"KEY": OPENID}}},
        {"set": {"wechatoa": {"shop": "short"}}},
        {"set": {"wechatoa": {"shop": [OPENID, OTHER]}}},
        {"set": {"wechatoa": {"shop": {"a": 1}}}},
        {"set": {"app": {"code": ["id"]}}},
        {"set": {"wechatmp": {"code": "id"}}},
        {"set": {"alipaylife": {"code": "id"}}},
        {"set": {"dingtalkcc": "id"}},
        {"set": {"wechatwk": "id"}},
        {"add": {"wechatwk_linkedcorp": ["id"]}},
    ],
    ids=lambda item: str(item)[:60],
)
def test_a_wrong_attribute_is_4004_and_spoils_nothing_else(opt, item):
    good = {"userid": "good", "set": {"tag": {"all": ["x"]}}}
    bad = {"userid": "bad", **item, "email": {"all": "kept@example.com"}}

    assert opt(bad, good) == (["good"], {"bad": "4004"})
    assert not Recipient.objects.filter(userid="bad").exists()


def test_the_sentence_names_the_field(shop):
    item = {"userid": "a", "set": {"phone": {"all": "x"}}}

    (fail,) = shop.post("user/opt", [item]).json()["data"]["fail"]

    assert fail["errmsg"].startswith("set.phone.all: ")


@pytest.mark.parametrize(
    "item",
    [
        {"set": {"wechatoa": {"rival": OTHER}}},
        {"set": {"rival": OTHER}},
        {"del": {"wechatoa": {"rival": ""}}},
        {"set": {"tag": {"KEY": ["x"]}}},
        {"add": {"tag": {"KEY": ["x"]}}},
        {"del": {"tag": {"KEY": []}}},
        {"set": {"phone": {"KEY": "13800138000"}}},
        {"set": {"email": {"KEY": "a@example.com"}}},
    ],
    ids=str,
)
def test_a_foreign_bind_id_is_4005_for_a_channel_key_and_fine_for_an_access_key(
    shop, rival, crm, item
):
    items = [{"userid": rival.userid, **keyed(item, rival.row.key)}]
    before = known(rival.userid, "")

    assert report(shop.post("user/opt", items)) == ([], {rival.userid: "4005"})
    assert known(rival.userid, "") == before
    assert report(crm.post("user/opt", items)) == ([rival.userid], {})


def test_a_hundred_tags_a_user_and_bind_id(opt, shop):
    tags = [f"t{n}" for n in range(100)]
    opt({"userid": "a", "set": {"tag": {"all": tags}}})

    assert opt({"userid": "a", "add": {"tag": {"all": ["one more"]}}})[1]
    assert opt({"userid": "a", "add": {"tag": {"all": ["more"]}}}) == (
        [],
        {"a": "4004"},
    )
    assert opt({"userid": "a", "add": {"tag": {"KEY": ["more"]}}}) == (["a"], {})
    assert opt({"userid": "b", "set": {"tag": {"all": ["十" * 13]}}}) == (["b"], {})


def test_when_every_item_fails_the_call_still_worked(opt):
    assert opt({"userid": "a", "x": 1}, {"userid": "b", "x": 1}) == (
        [],
        {"a": "4004", "b": "4004"},
    )


@pytest.mark.parametrize("path", ["user/opt", "user/delete"])
def test_a_thousand_items_and_no_more(crm, path):
    items = [{"userid": n} if path == "user/opt" else n for n in range(1001)]

    assert refusal(crm.post(path, items)) == (400, 4004)
    assert len(report(crm.post(path, items[:1000]))[0]) == 1000
    assert report(crm.post(path, [])) == ([], {})


def test_a_thousand_items_take_few_statements(shop, django_assert_max_num_queries):
    items = [
        {
            "userid": f"u{n}",
            "set": {"wechatoa": {"shop": f"o{n:027d}"}, "tag": {"all": ["t"]}},
        }
        for n in range(1000)
    ]
    shop.post("user/opt", items[:1])

    with django_assert_max_num_queries(60):
        assert len(report(shop.post("user/opt", items))[0]) == 1000
    assert OpenID.objects.count() == 1001


# -- deleting --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "success", "fail"),
    [
        (["1"], ["1"], {}),
        ([1], ["1"], {}),
        ([1, "gone", "unknown"], ["1", "gone", "unknown"], {}),
        (["1", "1"], ["1", "1"], {}),
        ("1", ["1"], {}),
        (1, ["1"], {}),
        (["1", None], ["1"], {"": "4004"}),
        (["1", "a b"], ["1"], {"a b": "4004"}),
        (["1", {"userid": "1"}], ["1"], {"": "4004"}),
        (["1", ["1"], True], ["1"], {"": "4004"}),
    ],
    ids=str,
)
def test_users_and_their_bindings_are_deleted(crm, shop, body, success, fail):
    for userid in ("1", "gone"):
        person = shop.bind(userid).recipient
        RecipientTag.objects.create(recipient=person, name="t", bind="all")
        RecipientContact.objects.create(
            recipient=person, bind=shop.row.key, phone="10086"
        )

    assert report(crm.post("user/delete", body)) == (success, fail)

    gone = {"1", "gone"} & set(success)
    left = {"1", "gone"} - gone
    for bindings in (OpenID, RecipientTag, RecipientContact):
        people = set(bindings.objects.values_list("recipient__userid", flat=True))
        assert people - {shop.userid} == left
    assert set(Recipient.objects.values_list("userid", flat=True)) == left | {
        shop.userid
    }


@pytest.mark.parametrize("body", ['{"userid": "1"}', "true", "1.5"])
def test_what_is_no_list_of_userids_deletes_nothing(crm, shop, body):
    assert refusal(crm.post("user/delete", body)) == (400, 4004)
    assert Recipient.objects.exists()


def test_a_channel_key_cannot_delete(shop):
    assert refusal(shop.post("user/delete", [shop.userid])) == (403, 4005)
    assert OpenID.objects.filter(pk=shop.person.pk).exists()
