"""/wxaapi/newtmpl/*: the public library, and what it refuses to add."""

import pytest

from sandbox.notices import TITLES
from sandbox.values import CHECKS, problem

LIBRARY = "/wxaapi/newtmpl/"


@pytest.fixture
def ask(sandbox):
    """Do one call; GET, or POST with a body."""
    token = sandbox.token()

    def ask(name, body=None, **query):
        if body is None:
            return sandbox.get(LIBRARY + name, access_token=token, **query)
        return sandbox.post(LIBRARY + name, body, access_token=token)

    return ask


@pytest.fixture
def add(ask):
    def add(tid="5005", kids=(1, 2), scene="家长会前提醒"):
        body = {"tid": tid, "kidList": [*kids], "sceneDesc": scene}
        return ask("addtemplate", body)

    return add


@pytest.fixture(autouse=True)
def all_categories(sandbox):
    sandbox.control("PATCH", "subscriptions", {"categories": [307, 412, 228, 616]})


def test_every_example_of_the_library_fits_its_rule():
    wrong = [
        (title.title, keyword.name)
        for title in TITLES.values()
        for keyword in title.keywords.values()
        if problem(CHECKS[keyword.rule], keyword.example, keyword.listed)
    ]
    assert wrong == []
    assert {title.type for title in TITLES.values()} == {2, 3}
    assert len(TITLES) > 30


def test_titles_of_the_accounts_categories_come_in_pages(ask):
    categories = ask("getcategory")
    assert categories["errcode"] == 0
    assert {"id": 616, "name": "城市公用服务"} in categories["data"]

    first = ask("getpubtemplatetitles", ids="307,616", start=0, limit=10)
    rest = ask("getpubtemplatetitles", ids="307,616", start=10, limit=10)
    beyond = ask("getpubtemplatetitles", ids="307,616", start=20, limit=10)

    assert first["count"] == 15
    assert (len(first["data"]), len(rest["data"]), beyond["data"]) == (10, 5, [])
    assert first["data"][0] == {
        "tid": 1001,
        "title": "订单发货通知",
        "type": 2,
        "categoryId": "307",
    }


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({"start": 0, "limit": 10}, 200018),
        ({"ids": "731", "start": 0, "limit": 10}, 200019),
        ({"ids": "x", "start": 0, "limit": 10}, 200019),
        ({"ids": "616", "limit": 10}, 200016),
        ({"ids": "616", "start": -1, "limit": 10}, 200016),
        ({"ids": "616", "start": 0, "limit": 31}, 200017),
        ({"ids": "616", "start": 0}, 200017),
    ],
)
def test_titles_are_refused_word_for_word(ask, query, errcode):
    assert ask("getpubtemplatetitles", **query)["errcode"] == errcode


def test_keywords_name_their_rule(ask):
    answer = ask("getpubtemplatekeywords", tid=2003)

    assert answer["count"] == 6
    assert answer["data"][2] == {
        "kid": 3,
        "name": "受理状态",
        "example": "已受理",
        "rule": "enum_string",
    }
    assert ask("getpubtemplatekeywords", tid=9)["errcode"] == 200014


def test_an_added_template_is_listed_in_the_chosen_order(ask, add):
    added = add("2003", (3, 1))

    listed = ask("gettemplate")["data"][-1]
    assert listed == {
        "priTmplId": added["priTmplId"],
        "title": "报修受理通知",
        "content": "受理状态:{{enum_string3.DATA}}\n"
        "报修单号:{{character_string1.DATA}}\n",
        "example": "受理状态:已受理\n报修单号:BX20260508\n",
        "type": 2,
        "keywordEnumValueList": [
            {
                "keywordCode": "enum_string3.DATA",
                "enumValueList": ["已受理", "处理中", "已完成", "已取消"],
            }
        ],
    }


def test_long_term_titles_give_long_term_templates(ask, add):
    template_id = add("3002")["priTmplId"]

    by_id = {t["priTmplId"]: t for t in ask("gettemplate")["data"]}
    assert by_id[template_id]["type"] == 3


@pytest.mark.parametrize(
    ("wrong", "errcode"),
    [
        ({"tid": "9"}, 200014),
        ({"tid": None}, 200014),
        ({"tid": "6001"}, 200014),
        ({"kids": (1,)}, 200020),
        ({"kids": (1, 2, 3, 4, 5, 6)}, 200020),
        ({"kids": (1, 99)}, 200020),
        ({"kids": (1, 1)}, 200020),
        ({"kids": ("1", "2")}, 200020),
        ({"scene": ""}, 200021),
        ({"scene": "字" * 16}, 200021),
    ],
)
def test_what_cannot_be_added(add, wrong, errcode):
    assert add(**wrong)["errcode"] == errcode


def test_the_same_choice_is_added_once(add):
    assert add(kids=(1, 2))["errcode"] == 0
    assert add(kids=(2, 1))["errcode"] == 200022
    assert add(kids=(1, 3))["errcode"] == 0


def test_a_banned_title_and_the_51st_template(sandbox, add):
    sandbox.control("PATCH", "subscriptions", {"banned_tids": [5001]})
    assert add("5001")["errcode"] == 200013

    notices = [
        {"title": f"通知{n}", "content": "内容:{{thing1.DATA}}\n"} for n in range(49)
    ]
    sandbox.control("PATCH", "subscriptions", {"notices": notices})

    assert add(kids=(1, 2))["errcode"] == 0
    assert add(kids=(1, 3))["errcode"] == 200012


def test_a_removed_template_is_gone(ask, add):
    template_id = add()["priTmplId"]

    assert ask("deltemplate", {"priTmplId": template_id})["errcode"] == 0
    assert ask("deltemplate", {"priTmplId": template_id})["errcode"] == 200002
    assert template_id not in str(ask("gettemplate"))


def test_a_test_account_has_no_library(sandbox):
    account = sandbox.add_account(kind="test")
    token = sandbox.token(account["appid"], account["secret"])

    answer = sandbox.get(LIBRARY + "getcategory", access_token=token)

    assert answer["errcode"] == 48001


def test_a_missing_token_and_the_wrong_method_are_said_first(sandbox, ask):
    assert sandbox.get(LIBRARY + "gettemplate")["errcode"] == 41001
    assert ask("gettemplate", {})["errcode"] == 43001
