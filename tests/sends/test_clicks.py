"""Links of business channels that track clicks."""

import json

import pytest
from django.utils import timezone

from channels_wechat import business_channels
from channels_wechat.wechat.limits import parse_fields
from sandbox import people
from sends import audience, clicks, preparing, sending
from sends.models import CallbackURL, Click, Delivery, Send, StatusCallback
from tests.factories import ChannelFactory, SendFactory, TemplateFactory

pytestmark = pytest.mark.django_db

VALUES = {"thing": "周会", "time": "2026年5月8日 10:00", "character_string": "A1"}


@pytest.fixture
def send(sandbox, settings):
    settings.WECHAT_API_BASE = sandbox.url
    channel = ChannelFactory(appid=sandbox.appid, app_secret=sandbox.secret)
    known = sandbox.templates()["会议预约提醒"]
    template = TemplateFactory(
        channel=channel,
        template_id=known["template_id"],
        fields=[field._asdict() for field in parse_fields(known["content"])],
    )
    sender, _secret = business_channels.create_business_channel("shop", [channel])
    sender.track_clicks = True
    sender.save()
    CallbackURL.objects.create(
        business_channel=sender,
        url="https://a.example/",
        default=True,
        types=list(range(9)),
        verified_at=timezone.now(),
    )
    send = SendFactory(
        template=template,
        status=Send.Status.PREPARING,
        business_channel=sender,
        data={f["key"]: VALUES[f["type"]] for f in template.fields},
        url="https://example.com/{{userid}}?a=1",
    )
    audience.stage(send, [], [("zhangsan", people.openid(sandbox.appid, 1))])
    preparing.prepare(send.pk)
    sending.drain(channel.pk)
    return send


def test_the_link_leads_through_us_once_noted(send, sandbox, client):
    delivery = Delivery.objects.get(send=send)
    (shown,) = sandbox.messages(delivery.openid)
    address = f"https://jums.example.com/r/{clicks.token(delivery.pk)}"
    assert address in json.dumps(shown)

    answers = [client.get(f"/r/{clicks.token(delivery.pk)}") for _ in range(2)]

    assert {answer.status_code for answer in answers} == {302}
    assert answers[0]["Location"] == "https://example.com/zhangsan?a=1"
    assert Click.objects.get().delivery_id == delivery.pk
    assert StatusCallback.objects.filter(type=6).count() == 1


@pytest.mark.parametrize(
    "change", [lambda t: t[:-2] + "AA", lambda t: "x", lambda t: ""]
)
def test_made_up_tokens_lead_nowhere(send, client, change):
    token = change(clicks.token(Delivery.objects.get(send=send).pk))

    assert client.get(f"/r/{token}").status_code == 404
    assert not Click.objects.exists()


def test_without_tracking_the_link_is_the_senders_own(send, sandbox):
    send.business_channel.track_clicks = False

    assert not clicks.is_tracked(send)
    send.business_channel = None
    assert not clicks.is_tracked(send)
