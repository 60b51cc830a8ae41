"""What all calls of /v1 share: keys, envelope, codes, limits."""

import base64
import json
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.utils import timezone

from channels_wechat import access_keys, business_channels, protection, tasks
from channels_wechat.models import AccessToken, BusinessChannel, Material
from tests.factories import ChannelFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def channel():
    return ChannelFactory()


@pytest.fixture
def sender(channel):
    row, secret = business_channels.create_business_channel("shop", [channel])
    row.secret = secret
    return row


@pytest.fixture
def call(client):
    def get(path, key="", secret="", **headers):
        pair = base64.b64encode(f"{key}:{secret}".encode()).decode()
        return client.get(path, headers={"authorization": f"Basic {pair}", **headers})

    return get


@pytest.fixture
def token(channel):
    now = timezone.now()
    AccessToken.objects.create(
        channel=channel,
        value="the-token",
        credentials=channel.credentials,
        generation=1,
        obtained_at=now,
        expires_at=now + timedelta(seconds=7000),
    )


TOKEN = "/v1/token?type=wechatoa"


def test_the_token_is_shared_with_its_true_remainder_as_text(call, sender, token):
    answer = call(TOKEN, sender.key, sender.secret)

    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json; charset=utf-8"
    body = answer.json()
    assert (body["code"], body["message"], body["token"]) == (0, "success", "the-token")
    assert isinstance(body["expires_in"], str)
    assert 6990 <= int(body["expires_in"]) <= 7000


@pytest.mark.parametrize(
    "header", [{}, {"authorization": "Basic !"}, {"authorization": "Bearer x"}]
)
def test_no_pair_is_4005_and_401(client, db, header):
    answer = client.get(TOKEN, headers=header)

    assert (answer.status_code, answer.json()["code"]) == (401, 4005)
    assert answer["WWW-Authenticate"].startswith("Basic")


def test_a_wrong_secret_is_4005_and_401(call, sender):
    answer = call(TOKEN, sender.key, "wrong")

    assert (answer.status_code, answer.json()["code"]) == (401, 4005)


def test_an_access_key_is_out_of_scope_here(call, db):
    row, secret = access_keys.create_access_key("crm")

    answer = call(TOKEN, row.key, secret)

    assert (answer.status_code, answer.json()["code"]) == (403, 4005)


def test_a_switched_off_sender_is_1015005(call, sender):
    BusinessChannel.objects.update(enabled=False)

    answer = call(TOKEN, sender.key, sender.secret)

    assert (answer.status_code, answer.json()["code"]) == (400, 1015005)


def test_no_enabled_channel_is_1015008(call, sender, channel):
    channel.enabled = False
    channel.save()

    answer = call(TOKEN, sender.key, sender.secret)

    assert (answer.status_code, answer.json()["code"]) == (400, 1015008)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/token?type=wechatmp", 4004),
        ("/v1/token", 4004),
        (TOKEN + "&code=nope", 1015008),
    ],
)
def test_a_token_of_nothing_says_why(call, sender, path, code):
    answer = call(path, sender.key, sender.secret)

    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_wechats_refusal_is_5000_with_its_own_words(call, sender, settings):
    answer = call(TOKEN, sender.key, sender.secret)  # nobody listens at the test's base

    assert (answer.status_code, answer.json()["code"]) == (500, 5000)


def test_unknown_paths_and_methods_are_4004(client, call, sender):
    unknown = call("/v1/nothing", sender.key, sender.secret)
    wrong = client.put(
        TOKEN,
        headers={
            "authorization": "Basic "
            + base64.b64encode(f"{sender.key}:{sender.secret}".encode()).decode()
        },
    )

    assert (unknown.status_code, unknown.json()["code"]) == (404, 4004)
    assert (wrong.status_code, wrong.json()["code"]) == (405, 4004)


def test_answers_are_json_whatever_is_asked_for(call, sender, token):
    answer = call(TOKEN + "&format=xml", sender.key, sender.secret, accept="text/csv")

    assert (answer.status_code, answer.json()["code"]) == (200, 0)


def test_calls_a_minute_are_told_and_kept_to(call, sender, token):
    BusinessChannel.objects.update(calls_per_minute=2)

    answers = [call(TOKEN, sender.key, sender.secret) for _ in range(3)]

    assert [answer.json()["code"] for answer in answers] == [0, 0, 1015030]
    assert [answer["X-Rate-Limit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[0]["X-Rate-Limit-Limit"] == "2"
    assert int(answers[2]["X-Rate-Limit-Reset"]) <= 60
    assert answers[2].status_code == 400


def test_calls_come_back_evenly(sender):
    sender.calls_per_minute = 6
    now = timezone.now()
    for _ in range(6):
        assert protection.count_call(sender, now).allowed
    assert not protection.count_call(sender, now + timedelta(seconds=9)).allowed
    assert protection.count_call(sender, now + timedelta(seconds=11)).allowed


def test_the_old_secret_works_as_long_as_it_was_said(call, sender, token):
    business_channels.rotate_secret(sender, timedelta(hours=1))
    assert call(TOKEN, sender.key, sender.secret).json()["code"] == 0
    assert call(TOKEN, sender.key, sender.master_secret).json()["code"] == 0

    BusinessChannel.objects.update(previous_valid_until=timezone.now())
    assert call(TOKEN, sender.key, sender.secret).status_code == 401


def test_quiet_hours_may_go_over_midnight(sender):
    sender.quiet_hours = "22:00-08:00"
    at = timezone.now().astimezone(protection.CHINA)

    assert protection.is_quiet(sender, at.replace(hour=23, minute=0))
    assert protection.is_quiet(sender, at.replace(hour=7, minute=59))
    assert not protection.is_quiet(sender, at.replace(hour=8, minute=0))
    assert not protection.is_quiet(sender, at.replace(hour=21, minute=59))


def test_broadcasts_are_counted_by_chinas_day(sender):
    sender.broadcasts_per_day = 1
    at = timezone.now()

    assert protection.count_broadcast(sender, at)
    assert not protection.count_broadcast(sender, at)
    assert protection.count_broadcast(sender, at + timedelta(days=1))


def test_the_command_prints_the_pair(channel):
    out = StringIO()

    call_command(
        "create_business_channel", "shop", "--channel", channel.code, stdout=out
    )

    pair = json.loads(out.getvalue())
    row = business_channels.holder(pair["channel_key"], pair["master_secret"])
    assert list(row.channels.all()) == [channel]


# -- material --------------------------------------------------------------------------
@pytest.fixture
def upload(client, sender):
    pair = base64.b64encode(f"{sender.key}:{sender.secret}".encode()).decode()

    def post(**fields):
        headers = {"authorization": f"Basic {pair}"}
        return client.post("/v1/material", fields, headers=headers)

    return post


def test_material_is_kept_until_it_expires(upload):
    file = SimpleUploadedFile("a.pdf", b"content")

    answer = upload(type="attachment", file=file, time_to_live="2")

    assert answer.json()["code"] == 0
    material = Material.objects.get()
    assert answer.json()["url"].endswith(material.token)
    stored = material.file.path
    assert material.expires_at < timezone.now() + timedelta(hours=2, minutes=1)
    tasks.tidy()
    assert Material.objects.exists()
    Material.objects.update(expires_at=timezone.now())
    tasks.tidy()
    assert not Material.objects.exists()
    assert not Path(stored).exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "image", "file": True},
        {"type": "attachment"},
        {"type": "attachment", "file": True, "time_to_live": "169"},
        {"type": "attachment", "file": True, "time_to_live": "x"},
    ],
)
def test_material_that_cannot_be_kept_is_4004(upload, fields):
    if fields.get("file"):
        fields = fields | {"file": SimpleUploadedFile("a.pdf", b"content")}

    answer = upload(**fields)

    assert (answer.status_code, answer.json()["code"]) == (400, 4004)
    assert not Material.objects.exists()
