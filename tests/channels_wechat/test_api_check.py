"""The check of a channel over the resource API."""

import pytest

from tests.factories import ChannelFactory

pytestmark = pytest.mark.django_db


def test_findings_are_an_answer_even_when_they_are_bad(api):
    channel = ChannelFactory()
    # The tests' WeChat is a port where nobody listens.
    answer = api.post(f"/api/channels/{channel.code}/check/")

    assert answer.status_code == 200
    findings = answer.json()["findings"]
    assert findings
    assert all(set(f) == {"check", "level", "detail", "fix"} for f in findings)
    assert {f["level"] for f in findings} <= {"ok", "warn", "bad"}
    assert "bad" in {f["level"] for f in findings}
    assert channel.app_secret not in answer.content.decode()


def test_it_needs_its_own_permission(person):
    path = f"/api/channels/{ChannelFactory().code}/check/"
    reader = person("channels_wechat.view_channel", "channels_wechat.add_channel")
    reader.handler.enforce_csrf_checks = False
    assert reader.post(path).status_code == 403


def test_of_no_channel(api):
    assert api.post("/api/channels/nobody/check/").status_code == 404
