"""What WeChat takes today, as operators and business systems are told."""

from datetime import timedelta

import pytest
import responses
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from channels_wechat import quotas
from channels_wechat.models import Channel, QuotaReading
from sends.models import Drain, Send
from tests.factories import ChannelFactory, SendFactory, TemplateFactory

pytestmark = pytest.mark.django_db
BASE = "http://127.0.0.1:9/cgi-bin"
TODAY = quotas.china_day()
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def wechat():
    """WeChat says that 99,917 of 100,000 are left."""
    cache.clear()
    quota = {"daily_limit": 100_000, "used": 83, "remain": 99_917}
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.post(
            f"{BASE}/stable_token", json={"access_token": "T", "expires_in": 7200}
        )
        mock.post(f"{BASE}/openapi/quota/get", json={"errcode": 0, "quota": quota})
        yield mock


def reading(remain, limit=100_000):
    return QuotaReading(daily_limit=limit, used=limit - remain, remain=remain)


@pytest.mark.parametrize(
    ("messages", "remain", "reserve", "ahead", "days", "beyond"),
    [
        (99_917, 99_917, 0, 0, [99_917], 0),
        (250_000, 99_917, 0, 0, [99_917, 100_000, 50_083], 0),
        (250_000, 0, 0, 0, [0, 100_000, 100_000, 50_000], 0),
        (100_000, 60_000, 10_000, 0, [50_000, 50_000], 0),
        (100_000, 60_000, 0, 90_000, [0, 70_000, 30_000], 0),
        (5, 100_000, 100_000, 0, [], 5),
    ],
)
def test_a_send_is_spread_over_days(messages, remain, reserve, ahead, days, beyond):
    plan = quotas.plan(messages, reading(remain), reserve, ahead)

    wanted = [(TODAY + n * DAY, count) for n, count in enumerate(days) if count]
    assert plan.days == wanted
    assert plan.beyond == beyond
    assert plan.takes_days is (days != [messages])


def test_what_wechat_said_yesterday_is_no_news():
    channel = ChannelFactory()
    kept = quotas.read(channel, "template")
    assert quotas.known(channel, "template") == kept

    QuotaReading.objects.update(read_at=timezone.now() - timedelta(days=1))

    assert quotas.known(channel, "template") is None


def test_the_confirmation_says_how_many_days_it_takes(admin_client):
    draft = SendFactory()
    Channel.objects.update(api_reserve=917)
    other = SendFactory(template__channel=draft.channel, status="running")
    Send.objects.filter(pk=other.pk).update(n_waiting=9000)
    address = reverse("admin:sends_send_quota", args=[draft.pk])

    text = admin_client.get(address, {"people": 200_000}).text

    assert "99,917 of 100,000 messages are left today." in text
    assert "917 of them are kept for API messages" in text
    assert "9,000 messages of other sends" in text
    assert "90,000 today" in text
    assert f"99,083 on {TODAY + DAY:%B} {(TODAY + DAY).day}" in text
    assert f"10,917 on {TODAY + 2 * DAY:%B} {(TODAY + 2 * DAY).day}" in text
    assert "goes on by itself after midnight, China time" in text


def test_a_send_that_rests_for_the_reserve_says_until_when(admin_client):
    send = SendFactory(
        status="paused",
        pause_code="reserve",
        resume_at=quotas.next_midnight(),
        n_waiting=150_000,
    )
    quotas.read(send.channel, "template")
    quotas.used_up(send.channel, "template")

    text = admin_client.get(reverse("admin:sends_send_change", args=[send.pk])).text

    assert "is kept for API messages" in text
    assert "It goes on by itself at" in text
    assert "keep less for API messages" in text
    assert "It takes until" in text
    assert "100,000 on" in text


def test_a_missed_time_says_what_to_do(admin_client):
    send = SendFactory(
        status="paused",
        pause_code="missed",
        scheduled_for=timezone.now() - timedelta(hours=9),
    )

    text = admin_client.get(reverse("admin:sends_send_change", args=[send.pk])).text

    assert "JUMS was not running" in text
    assert "Press Resume to send it now, or cancel it." in text


def test_a_channels_page_shows_its_pace_and_its_quota_live(admin_client, wechat):
    channel = ChannelFactory(rate_per_s=100, connections=50, api_reserve=500)
    later = timezone.now() + timedelta(hours=1)  # so that it does not grow
    Drain.objects.create(channel=channel, pace=0.5, paced_at=later, pace_reason="busy")
    TemplateFactory(channel=channel, kind="subscribe")
    SendFactory(template__channel=channel, status="running", title="Weekly")
    page = reverse("admin:channels_wechat_channel_change", args=[channel.pk])
    live = reverse("admin:sends_send_channel", args=[channel.pk])

    assert live in admin_client.get(page).text
    text = admin_client.get(live).text
    admin_client.get(live)

    assert "Weekly" in text
    assert "25 of 50" in text
    assert "50 of 100" in text
    assert text.count("99,917 of 100,000 left today") == 2
    assert "500 a day" in text
    asked = [call for call in wechat.calls if "quota" in call.request.url]
    assert len(asked) == 2  # once per kind, however often the page looks


def test_a_refusal_to_tell_is_shown_and_not_asked_for_again(admin_client, wechat):
    channel = ChannelFactory()
    wechat.replace(
        responses.POST,
        f"{BASE}/openapi/quota/get",
        json={"errcode": 76022, "errmsg": "could not use this cgi_path"},
    )
    live = reverse("admin:sends_send_channel", args=[channel.pk])

    for _ in range(2):
        assert "could not use this cgi_path" in admin_client.get(live).text

    asked = [call for call in wechat.calls if "quota" in call.request.url]
    assert len(asked) == 1


class TestAPI:
    def test_a_business_system_learns_beforehand(self, api):
        channel = ChannelFactory(code="hr", api_reserve=7)

        body = api.get(
            "/api/channels/hr/quota/", {"kind": "template", "messages": 250_000}
        ).json()

        assert (body["daily_limit"], body["used"], body["remain"]) == (
            100_000,
            83,
            99_917,
        )
        assert (body["reserve"], body["ahead"]) == (channel.api_reserve, 0)
        assert body["plan"] == [
            {"day": str(TODAY), "messages": 99_917},
            {"day": str(TODAY + DAY), "messages": 100_000},
            {"day": str(TODAY + 2 * DAY), "messages": 50_083},
        ]

    def test_without_a_number_there_is_no_plan(self, api):
        ChannelFactory(code="hr")

        assert api.get("/api/channels/hr/quota/").json()["plan"] is None

    @pytest.mark.parametrize(
        ("query", "status"),
        [({"kind": "sms"}, 400), ({"messages": 0}, 400), ({"messages": "x"}, 400)],
    )
    def test_a_wrong_question(self, api, query, status):
        ChannelFactory(code="hr")

        assert api.get("/api/channels/hr/quota/", query).status_code == status

    def test_a_refusal_in_wechats_words(self, api, wechat):
        ChannelFactory(code="hr")
        wechat.replace(
            responses.POST,
            f"{BASE}/openapi/quota/get",
            json={"errcode": 48001, "errmsg": "api unauthorized"},
        )

        answer = api.get("/api/channels/hr/quota/")

        assert answer.status_code == 502
        assert answer.json()["errcode"] == 48001
