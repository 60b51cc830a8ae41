"""The guide inside the console."""

import re
from urllib.parse import unquote

import pytest
from django.test import Client

from jums import guide
from tests.factories import ChannelFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator():
    client = Client()
    client.force_login(UserFactory(is_superuser=True))
    return client


@pytest.mark.parametrize(
    ("language", "says"), [("en", "IP whitelist"), ("zh-hans", "白名单")]
)
def test_the_guide_is_in_the_readers_language(operator, language, says):
    operator.cookies["django_language"] = language

    answer = operator.get("/console/guide/")

    body = answer.content.decode()
    assert answer.status_code == 200
    assert says in body
    assert "<table>" in body
    assert not re.search("<p>(English|中文)</p>", body)
    assert "**" not in re.sub(r"<code>.*?</code>", "", answer.context["guide"])


@pytest.mark.parametrize("name", ["connect.md", "connect.zh-CN.md"])
def test_every_link_of_the_guide_leads_somewhere(name):
    html = guide.rendered(guide.DOCS / name, 0)

    anchors = set(re.findall(r' id="([^"]+)"', html))
    targets = re.findall(r'<a href="([^"]+)"', html)
    assert targets
    for target in targets:
        assert target.startswith("https://") or unquote(target[1:]) in anchors, target


def test_raw_html_is_shown_and_not_obeyed(tmp_path):
    file = tmp_path / "page.md"
    file.write_text("# A & b\n\n<script>x</script> [a](other.md) [b](javascript:x)\n")

    html = guide.rendered(file, 1)

    assert "<script>" not in html
    assert "<a " not in html
    assert '<h1 id="a--b">' in html


def test_it_asks_for_a_login_and_a_channel_leads_to_it(operator, client):
    assert client.get("/console/guide/").status_code == 302

    channel = ChannelFactory()
    page = operator.get(f"/console/channels_wechat/channel/{channel.pk}/change/")
    assert 'href="/console/guide/"' in page.content.decode()
