"""/v1/user/opt and /v1/user/delete, as clients of the commercial JUMS call them."""

import base64
import json

import pytest

from channels_wechat import access_keys, business_channels
from tests.factories import ChannelFactory, OpenIDFactory
from users.models import OpenID, Recipient, RecipientContact, RecipientTag

pytestmark = pytest.mark.django_db

OPENID = "oRcf0w_yHT-1F_pioV1cHbf7ghFI"


@pytest.fixture
def channel():
    return ChannelFactory(code="wechatoa123")


@pytest.fixture
def sender(channel):
    row, _secret = business_channels.create_business_channel("shop", [channel])
    return row


@pytest.fixture
def access():
    row, secret = access_keys.create_access_key("crm")
    return row.key, secret


@pytest.fixture
def post(client, sender):
    def call(path, body, key=None):
        pair = key or (sender.key, sender.master_secret)
        token = base64.b64encode(":".join(pair).encode()).decode()
        return client.post(
            f"/v1/user/{path}",
            data=body if isinstance(body, str) else json.dumps(body),
            content_type="text/html",
            headers={"authorization": f"Basic {token}"},
        )

    return call


def report(answer):
    body = answer.json()
    assert (answer.status_code, body["code"], body["message"]) == (200, 0, "success")
    return body["data"]["success"], {
        item["userid"]: item["errcode"] for item in body["data"]["fail"]
    }


@pytest.mark.parametrize(
    "item",
    [
        {"userid": "zhangsan", "set": {"wechatoa": {"wechatoa123": OPENID}}},
        {"userid": "zhangsan", "set": {"wechatoa123": OPENID}},
        {"userid": "zhangsan", "wechatoa": {"wechatoa123": OPENID}},
    ],
)
@pytest.mark.parametrize("wrap", [lambda item: [item], lambda item: item])
def test_all_documented_shapes_bind_the_openid(post, item, wrap):
    assert report(post("opt", wrap(item))) == (["zhangsan"], {})
    assert OpenID.objects.get().openid == OPENID
    assert Recipient.objects.get().userid == "zhangsan"


def test_tags_phone_and_email_are_kept_by_bind_id(post, sender):
    item = {
        "userid": 17,
        "set": {
            "tag": {"all": ["vip"], sender.key: ["own", 5]},
            "phone": {"all": ["13800138000"], sender.key: "13900139000"},
            "email": {"all": "a@example.com"},
        },
    }

    assert report(post("opt", [item])) == (["17"], {})

    person = Recipient.objects.get(userid="17")
    assert (person.phone, person.email) == ("13800138000", "a@example.com")
    assert set(person.tags.values_list("bind", "name")) == {
        ("all", "vip"),
        (sender.key, "own"),
        (sender.key, "5"),
    }
    assert RecipientContact.objects.get().phone == "13900139000"


def test_del_goes_before_set_before_add_and_items_run_in_order(post):
    items = [
        {"userid": "a", "set": {"tag": {"all": ["x", "y"]}}},
        {
            "userid": "a",
            "add": {"tag": {"all": ["z"]}},
            "del": {"tag": {"all": ["x"]}},
        },
        {"userid": "b", "add": {"tag": {"all": ["n"]}}, "set": {"tag": {"all": []}}},
    ]

    report(post("opt", items))

    assert set(RecipientTag.objects.values_list("recipient__userid", "name")) == {
        ("a", "y"),
        ("a", "z"),
        ("b", "n"),
    }


def test_del_removes_what_is_named_and_nothing_else(post, channel):
    OpenIDFactory(channel=channel, recipient__userid="a", openid=OPENID)
    other = {"userid": "a", "del": {"wechatoa": {"wechatoa123": "o" * 28}}}
    this = {"userid": "a", "del": {"wechatoa": {"wechatoa123": OPENID}}}

    assert report(post("opt", [other])) == (["a"], {})
    assert OpenID.objects.count() == 1
    report(post("opt", [this]))
    assert OpenID.objects.count() == 0


def test_an_empty_text_clears(post, channel):
    OpenIDFactory(channel=channel, recipient__userid="a", openid=OPENID)

    report(post("opt", [{"userid": "a", "set": {"wechatoa": {"wechatoa123": ""}}}]))

    assert not OpenID.objects.exists()


def test_one_openid_may_belong_to_two_users(post):
    items = [
        {"userid": name, "set": {"wechatoa": {"wechatoa123": OPENID}}} for name in "ab"
    ]

    assert report(post("opt", items)) == (["a", "b"], {})
    assert OpenID.objects.filter(openid=OPENID).count() == 2


def test_one_bad_item_spoils_no_other(post, sender):
    ChannelFactory(code="foreign")
    other, _secret = business_channels.create_business_channel("other")
    bad = {
        "no object": "x",
        "": {"userid": ""},
        "b1": {"userid": "b1", "nickname": "x"},
        "b2": {"userid": "b2", "set": []},
        "b3": {"userid": "b3", "set": {"wechatoa": {"nope": OPENID}}},
        "b4": {"userid": "b4", "set": {"wechatoa": {"all": OPENID}}},
        "b5": {"userid": "b5", "set": {"wechatoa": {"wechatoa123": "short"}}},
        "b6": {"userid": "b6", "set": {"phone": {"all": ["1380013800", "2"]}}},
        "b7": {"userid": "b7", "add": {"phone": {"all": "13800138000"}}},
        "b8": {"userid": "b8", "set": {"tag": {"all": ["a b"]}}},
        "b9": {"userid": "b9", "set": {"dingtalkcc": "x"}},
        "b10": {
            "userid": "b10",
            "set": {"tag": {"all": [f"t{n}" for n in range(101)]}},
        },
    }
    foreign = {
        "f1": {"userid": "f1", "set": {"wechatoa": {"foreign": OPENID}}},
        "f2": {"userid": "f2", "set": {"tag": {other.key: ["x"]}}},
    }
    good = {"userid": "good", "set": {"tag": {"all": ["x"]}}}

    success, fail = report(post("opt", [*bad.values(), good, *foreign.values()]))

    assert success == ["good"]
    assert set(Recipient.objects.values_list("userid", flat=True)) == {"good"}
    assert {fail[name] for name in bad if name in fail} == {"4004"}
    assert {fail["f1"], fail["f2"]} == {"4005"}


def test_an_access_key_may_write_any_bind_id(post, access):
    ChannelFactory(code="foreign")
    item = {"userid": "a", "set": {"wechatoa": {"foreign": OPENID}}}

    assert report(post("opt", [item], key=access)) == (["a"], {})


@pytest.mark.parametrize("body", ["null", "", "{", '"x"', "7"])
def test_a_body_that_is_no_array_is_4004(post, body):
    answer = post("opt", body)

    assert (answer.status_code, answer.json()["code"]) == (400, 4004)


def test_more_than_a_thousand_items_are_refused(post):
    answer = post("opt", [{"userid": f"u{n}"} for n in range(1001)])

    assert (answer.status_code, answer.json()["code"]) == (400, 4004)


def test_a_thousand_items_take_few_statements(post, django_assert_max_num_queries):
    items = [
        {
            "userid": f"u{n}",
            "set": {"wechatoa": {"wechatoa123": f"o{n:027d}"}, "tag": {"all": ["t"]}},
        }
        for n in range(1000)
    ]
    post("opt", items[:1])

    with django_assert_max_num_queries(60):
        assert len(report(post("opt", items))[0]) == 1000
    assert OpenID.objects.count() == 1000


def test_deleting_takes_an_access_key(post, access, channel):
    OpenIDFactory(channel=channel, recipient__userid="1")
    OpenIDFactory(channel=channel, recipient__userid="kept")

    refused = post("delete", [1])
    assert (refused.status_code, refused.json()["code"]) == (403, 4005)

    assert report(post("delete", [1, "unknown"], key=access)) == (["1", "unknown"], {})
    assert list(Recipient.objects.values_list("userid", flat=True)) == ["kept"]
    assert OpenID.objects.count() == 1
