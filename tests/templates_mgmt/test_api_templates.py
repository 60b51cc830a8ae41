"""Templates over the resource API."""

import pytest
from django.utils import timezone

from tests.factories import ChannelFactory, TemplateFactory

pytestmark = pytest.mark.django_db
LIST = "/api/templates/"


def ids(answer):
    return [row["template_id"] for row in answer.json()["results"]]


def test_the_list_in_two_queries(api, django_assert_num_queries):
    template = TemplateFactory(template_id="t-1")
    TemplateFactory()

    with django_assert_num_queries(2):
        row = api.get(LIST).json()["results"][0]

    assert row == {
        "channel": template.channel.code,
        "template_id": "t-1",
        "kind": "template",
        "title": "Meeting reminder",
        "content": template.content,
        "example": template.example,
        "removed_at": None,
        "fields": [
            {"key": "thing1", "label": "Topic", "type": "thing"},
            {"key": "time2", "label": "Time", "type": "time"},
        ],
    }


def test_filters(api):
    mine = TemplateFactory(template_id="t-1")
    TemplateFactory(template_id="t-2")
    TemplateFactory(template_id="t-3", channel=mine.channel, removed_at=timezone.now())
    code = mine.channel.code

    assert ids(api.get(LIST, {"channel": code})) == ["t-1"]
    assert ids(api.get(LIST, {"channel": code, "kind": "template"})) == ["t-1"]
    assert ids(api.get(LIST, {"channel": code, "kind": "subscribe"})) == []
    assert ids(api.get(LIST, {"channel": code, "removed": "true"})) == ["t-1", "t-3"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channel", "nobody"),
        ("channel", "\0"),
        ("kind", "sms"),
        ("kind", "\0"),
        ("removed", "perhaps"),
    ],
)
def test_a_filter_that_makes_no_sense_is_named(api, name, value):
    answer = api.get(LIST, {name: value})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [name]


class TestRefresh:
    @pytest.fixture
    def path(self):
        return f"/api/channels/{ChannelFactory().code}/refresh-templates/"

    def test_what_changed(self, api, wechat, path):
        first = api.post(path)
        again = api.post(path)

        assert first.status_code == 200
        nothing = {"added": 0, "changed": 0, "removed": 0, "unchanged": 0}
        assert first.json() == {
            "template": {**nothing, "added": 2},
            "subscribe": {**nothing, "added": 2},
        }
        assert again.json()["template"]["unchanged"] == 2
        assert again.json()["subscribe"]["unchanged"] == 2
        assert len(api.get(LIST).json()["results"]) == 4

    def test_a_test_account_hears_why_one_list_is_missing(self, api, wechat, path):
        wechat.subscribe_answers({"errcode": 48001, "errmsg": "api unauthorized"})

        answer = api.post(path)

        assert answer.status_code == 200
        assert answer.json()["template"]["added"] == 2
        assert answer.json()["subscribe"]["added"] == 0
        assert answer.json()["subscribe_refused"] == {
            "errcode": 48001,
            "errmsg": "api unauthorized",
            "detail": "The account may not use this interface.",
        }

    def test_wechat_refuses(self, api, wechat, path):
        words = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist"
        wechat.refuses_tokens(40164, f"{words} rid: 5f1e2d3c-4b5a6978-12345678")

        answer = api.post(path)

        assert answer.status_code == 502
        body = answer.json()
        assert (body["code"], body["errcode"]) == ("wechat_refused", 40164)
        assert body["errmsg"] == words
        assert body["detail"]
        assert body["fields"] == {}

    def test_a_code_nobody_knows(self, api, wechat, path):
        wechat.refuses_tokens(987654, "something new")

        body = api.post(path).json()

        assert (body["errcode"], body["errmsg"]) == (987654, "something new")
        assert "something new" in body["detail"]

    def test_nobody_answers(self, api, path):
        # The tests' WeChat is a port where nobody listens.
        answer = api.post(path)

        assert answer.status_code == 502
        assert answer.json()["code"] == "wechat_unavailable"
        assert answer.json()["errcode"] is None
        assert "access_token" not in answer.content.decode()

    def test_it_needs_its_own_permission(self, person, path):
        reader = person("channels_wechat.view_channel", "channels_wechat.add_channel")
        reader.handler.enforce_csrf_checks = False
        assert reader.post(path).status_code == 403

    def test_only_by_post(self, api, path):
        assert api.get(path).status_code == 405

    def test_of_no_channel(self, api):
        answer = api.post("/api/channels/nobody/refresh-templates/")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
