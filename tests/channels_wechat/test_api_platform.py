"""The third-party platform over the resource API."""

import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from channels_wechat import links, platforms
from channels_wechat.models import Platform, PlatformLink
from tests.factories import ChannelFactory
from tests.wechat.scripted import http

pytestmark = pytest.mark.django_db
PLATFORM, LINKS = "/api/platform/", "/api/platform/links/"


@pytest.fixture
def platform(platform_set_up):
    """A platform with a ticket and a component token."""
    now = timezone.now()
    row = platforms.current()
    row.ticket, row.ticket_received_at = "ticket@@@1", now - timedelta(minutes=3)
    row.value, row.credentials = "C1", platforms.credentials()
    row.obtained_at, row.expires_at = now, now + timedelta(hours=2)
    row.token_ok_at = now
    row.save()
    return row


@pytest.fixture
def codes(scripted):
    """WeChat gives pre-auth codes."""
    answer = {"pre_auth_code": "preauthcode@@@1", "expires_in": 1800}
    scripted.otherwise = http(json.dumps(answer))
    return scripted


class TestPlatform:
    def test_it_says_how_old_the_ticket_is(self, api, platform):
        answer = api.get(PLATFORM).json()

        assert answer["component_appid"] == platform.component_appid
        assert 180 <= answer["ticket_age_s"] < 190
        assert {f["check"]: f["level"] for f in answer["findings"]} == {
            "settings": "ok",
            "ticket": "ok",
            "token": "ok",
            "address": "ok",
        }
        assert "ticket@@@1" not in str(answer)

    @pytest.mark.parametrize(
        ("age", "level"),
        [(timedelta(minutes=40), "warn"), (timedelta(hours=13), "bad")],
    )
    def test_a_late_ticket_is_a_finding(self, api, platform, age, level):
        Platform.objects.update(ticket_received_at=timezone.now() - age)

        findings = api.get(PLATFORM).json()["findings"]

        assert {f["check"]: f["level"] for f in findings}["ticket"] == level

    def test_without_a_platform_a_finding_says_so(self, api):
        answer = api.get(PLATFORM).json()

        assert answer["component_appid"] == ""
        assert answer["ticket_received_at"] is None
        assert [f["level"] for f in answer["findings"]] == ["bad"]

    def test_a_setting_that_is_missing_is_named(self, api, platform_set_up):
        platform_set_up.WECHATTPP_ENCODING_TOKEN = ""

        (finding,) = api.get(PLATFORM).json()["findings"]

        assert "WECHATTPP_ENCODING_TOKEN" in finding["detail"]

    def test_a_person_needs_the_permission(self, person):
        assert person().get(PLATFORM).status_code == 403
        allowed = person("channels_wechat.view_platform")
        assert allowed.get(PLATFORM).status_code == 200


class TestLinks:
    def test_a_link_leads_to_wechats_pages_and_to_ours(self, api, platform, codes):
        answer = api.post(LINKS, {"code": "hr", "name": "HR service"})

        body = answer.json()
        assert answer.status_code == 201
        asked = parse_qs(urlsplit(body["pc_url"]).query)
        assert asked["pre_auth_code"] == ["preauthcode@@@1"]
        (back,) = asked["redirect_uri"]
        assert back == f"https://jums.example.com/wechattpp/authorized/{body['state']}"
        assert body["mobile_url"].endswith("#wechat_redirect")
        assert body["page_url"].endswith(f"/wechattpp/link/{body['state']}")
        assert links.find(body["state"]) == PlatformLink.objects.get()

    def test_the_page_opens_without_a_login(self, api, platform, codes, client):
        link = api.post(LINKS, {"code": "hr", "name": "HR service"}).json()

        page = client.get(urlsplit(link["page_url"]).path)

        text = page.content.decode()
        assert page.status_code == 200
        assert page["Referrer-Policy"] == "origin"
        assert "noreferrer" not in text
        assert 'id="authorise-pc"' in text
        assert "componentloginpage" in text
        assert "<svg" in text

    def test_a_forged_state_opens_nothing(self, api, platform, codes, client):
        state = api.post(LINKS, {"code": "hr", "name": "HR"}).json()["state"]

        forged = state[:-1] + ("A" if state[-1] != "A" else "B")

        for path in ("link/{}", "link/{}/live", "authorized/{}?auth_code=x"):
            address = f"/wechattpp/{path}"
            assert client.get(address.format(forged)).status_code == 404
        assert client.get(f"/wechattpp/link/{state}").status_code == 200

    def test_a_used_name_is_refused(self, api, platform, codes):
        ChannelFactory(name="HR service")

        answer = api.post(LINKS, {"code": "hr", "name": "HR service"})

        assert (answer.status_code, list(answer.json()["fields"])) == (400, ["name"])

    def test_the_code_of_a_channel_authorises_it_again(self, api, platform, codes):
        channel = ChannelFactory(code="hr")

        body = api.post(LINKS, {"code": "hr", "name": channel.name}).json()

        assert PlatformLink.objects.get().channel == channel
        assert parse_qs(urlsplit(body["pc_url"]).query)["biz_appid"] == [channel.appid]

    def test_without_a_platform_there_is_no_link(self, api):
        answer = api.post(LINKS, {"code": "hr", "name": "HR"})

        assert (answer.status_code, answer.json()["code"]) == (409, "no_platform")

    def test_wechats_refusal_is_told_with_the_address_it_saw(
        self, api, platform, scripted
    ):
        words = "access clientip is not registered requestIP: 14.145.194.154 rid: 658"
        scripted.otherwise = http(json.dumps({"errcode": 61004, "errmsg": words}))

        answer = api.post(LINKS, {"code": "hr", "name": "HR"})

        assert (answer.status_code, answer.json()["errcode"]) == (502, 61004)
        assert "14.145.194.154" in answer.json()["errmsg"]
        (event,) = platform.platformevent_set.all()
        assert (event.kind, event.errcode, event.ip) == (
            "error",
            61004,
            "14.145.194.154",
        )

    def test_a_code_near_its_end_is_replaced_at_the_next_visit(
        self, platform, codes, client
    ):
        link = links.make_link("hr", "HR")
        codes.script.extend(
            http(json.dumps({"pre_auth_code": f"p{n}", "expires_in": life}))
            for n, life in ((1, 60), (2, 1800))
        )
        path = urlsplit(links.page_url(link)).path

        pages = [client.get(path).content.decode() for _ in range(3)]

        assert ["p1" in page for page in pages] == [True, False, False]
        assert ["=p2&" in page for page in pages] == [False, True, True]
        assert links.of_pre_auth_code("p1") == links.of_pre_auth_code("p2") == link
