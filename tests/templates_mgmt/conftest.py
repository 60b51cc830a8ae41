"""WeChat's template list, faked at the HTTP edge."""

import json
from pathlib import Path

import pytest
import responses

FIXTURES = Path(__file__).parent / "fixtures"
TOKEN = "http://127.0.0.1:9/cgi-bin/stable_token"
LIST = "http://127.0.0.1:9/cgi-bin/template/get_all_private_template"
SUBSCRIBE = "http://127.0.0.1:9/wxaapi/newtmpl/gettemplate"


class WeChat:
    """What the account's two template lists answer from now on."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock
        self.templates = json.loads(
            (FIXTURES / "get_all_private_template.json").read_text()
        )["template_list"]
        mock.post(TOKEN, json={"access_token": "a-token", "expires_in": 7200})
        self.lists(self.templates)
        self.subscribe = json.loads((FIXTURES / "gettemplate.json").read_text())
        self.subscribe_answers(self.subscribe)

    def lists(self, templates: list[dict[str, str]]) -> None:
        self.answers({"template_list": templates})

    def answers(self, body: dict[str, object]) -> None:
        self.mock.remove(responses.GET, LIST)
        self.mock.get(LIST, body=json.dumps(body, ensure_ascii=False))

    def subscribe_answers(self, body: dict[str, object]) -> None:
        self.mock.remove(responses.GET, SUBSCRIBE)
        self.mock.get(SUBSCRIBE, body=json.dumps(body, ensure_ascii=False))

    def refuses_tokens(self, errcode: int, errmsg: str) -> None:
        self.mock.replace(
            responses.POST, TOKEN, json={"errcode": errcode, "errmsg": errmsg}
        )


@pytest.fixture
def wechat():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield WeChat(mock)
