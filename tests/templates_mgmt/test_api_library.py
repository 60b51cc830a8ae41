"""WeChat's public library over /api/, against the sandbox."""

import pytest
from django.core.cache import cache

from sends.models import Send
from templates_mgmt.models import Template
from tests.factories import ChannelFactory, SendFactory

pytestmark = pytest.mark.django_db
LIBRARY = "/api/public-templates/"
BY_TID = {
    "channel": "spruce",
    "kind": "subscribe",
    "tid": "2003",
    "kids": [3, 1],
    "scene": "报修进度提醒",
}
BY_NUMBER = {
    "channel": "spruce",
    "kind": "template",
    "template_id_short": "47123",
    "keywords": ["快递公司", "订单编号"],
}


@pytest.fixture
def channel(settings, sandbox):
    cache.clear()
    settings.WECHAT_API_BASE = sandbox.url
    return ChannelFactory(code="spruce", appid=sandbox.appid, app_secret=sandbox.secret)


def test_categories_titles_and_keywords_lead_to_a_template(api, channel):
    categories = api.get(f"{LIBRARY}categories/?channel=spruce").json()["results"]
    [category] = [c["id"] for c in categories if c["name"] == "物业管理"]
    query = f"channel=spruce&category={category}&q=报修"
    titles = api.get(f"{LIBRARY}titles/?{query}").json()["results"]
    assert [t["title"] for t in titles] == ["报修受理通知", "报修完成通知"]
    tid = titles[0]["tid"]
    keywords = api.get(f"{LIBRARY}keywords/?channel=spruce&tid={tid}").json()
    assert keywords["results"][0] == {
        "kid": 1,
        "name": "报修单号",
        "example": "BX20260508",
        "type": "character_string",
    }

    answer = api.post("/api/templates/", BY_TID)

    assert answer.status_code == 201
    made = answer.json()
    assert (made["kind"], made["title"], made["removed_at"]) == (
        "subscribe",
        "报修受理通知",
        None,
    )
    assert [f["key"] for f in made["fields"]] == ["enum_string3", "character_string1"]
    listed = api.get("/api/templates/?channel=spruce&kind=subscribe").json()["results"]
    assert made["template_id"] in {t["template_id"] for t in listed}


def test_titles_come_in_pages(api, channel):
    def page(address):
        answer = api.get(address).json()
        return [t["tid"] for t in answer["results"]], answer

    everything, _answer = page(f"{LIBRARY}titles/?channel=spruce&page_size=100")
    first, answer = page(f"{LIBRARY}titles/?channel=spruce&page_size=20")
    assert answer["previous"] is None
    second, answer = page(answer["next"])
    again, _answer = page(answer["previous"])

    assert first + second == everything
    assert answer["next"] is None
    assert again == first


def test_a_template_message_is_added_by_its_number(api, channel):
    answer = api.post("/api/templates/", BY_NUMBER)

    assert answer.status_code == 201
    assert answer.json()["title"] == "订单发货提醒"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (BY_TID | {"channel": "none"}, "channel"),
        (BY_TID | {"kind": "x"}, "kind"),
        (BY_TID | {"tid": "x"}, "tid"),
        (BY_TID | {"kids": [1]}, "kids"),
        (BY_TID | {"kids": [1, 2, 3, 4, 5, 6]}, "kids"),
        (BY_TID | {"kids": [1, 1]}, "kids"),
        (BY_TID | {"scene": "字" * 16}, "scene"),
        (BY_TID | {"scene": " "}, "scene"),
        ({k: v for k, v in BY_TID.items() if k != "kids"}, "kids"),
        (BY_NUMBER | {"keywords": []}, "keywords"),
        (BY_NUMBER | {"template_id_short": "../x"}, "template_id_short"),
        (BY_NUMBER | {"kind": "subscribe"}, "tid"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_wechat_is_asked(
    api, channel, sandbox, given, field
):
    answer = api.post("/api/templates/", given)

    assert answer.status_code == 400
    assert field in answer.json()["fields"]
    assert sandbox.stats()["calls"] == {}


def test_wechats_refusal_is_answered_in_plain_words(api, channel):
    api.post("/api/templates/", BY_TID)

    answer = api.post("/api/templates/", BY_TID)

    assert answer.status_code == 502
    told = answer.json()
    assert (told["code"], told["errcode"]) == ("wechat_refused", 200022)
    assert told["detail"].startswith("The account has this title with these keywords")


def test_a_template_is_removed_unless_sends_use_it(api, channel, sandbox):
    template_id = api.post("/api/templates/", BY_TID).json()["template_id"]
    address = f"/api/templates/spruce/{template_id}/"
    template = Template.objects.get(template_id=template_id)
    send = SendFactory(template=template, status=Send.Status.RUNNING)

    refused = api.delete(address)
    assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
    assert "1 send still uses" in refused.json()["detail"]

    send.status = Send.Status.FINISHED
    send.save()
    assert api.delete(address).status_code == 204
    assert api.delete(address).status_code == 404
    assert api.delete(f"/api/templates/other/{template_id}/").status_code == 404


def test_people_of_the_console_need_the_right_to_add(person, channel, sandbox):
    assert person().post("/api/templates/", BY_TID).status_code == 403
    assert sandbox.stats()["calls"] == {}
