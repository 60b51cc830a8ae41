"""Business channels over the resource API."""

from datetime import timedelta

import pytest
from auditlog.models import LogEntry
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from channels_wechat.business_channels import create_business_channel, holder
from channels_wechat.models import BusinessChannel
from tests.factories import ChannelFactory

pytestmark = pytest.mark.django_db
LIST = "/api/business-channels/"
SHOWN = {
    "channel_key",
    "name",
    "channels",
    "enabled",
    "review",
    "calls_per_minute",
    "broadcasts_per_day",
    "per_person_per_day",
    "quiet_hours",
    "sensitive_words",
    "callbacks_enabled",
    "sign_callbacks",
    "track_clicks",
    "created_at",
    "last_used_at",
}


def test_the_secret_is_answered_this_once_and_works(api):
    ChannelFactory(code="hr")

    answer = api.post(LIST, {"name": "Orders", "channels": ["hr"]}, format="json")

    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == SHOWN | {"master_secret"}
    row = holder(made["channel_key"], made["master_secret"])
    assert row == BusinessChannel.objects.get()
    assert [channel.code for channel in row.channels.all()] == ["hr"]
    later = api.get(f"{LIST}{row.key}/").json()
    assert set(later) == SHOWN
    assert api.get(LIST).json()["results"] == [later]


def test_every_protection_is_off_unless_given(api):
    made = api.post(LIST, {"name": "Orders", "channels": []}, format="json").json()

    assert made["enabled"] is True
    assert made["review"] is False
    for limit in ("calls_per_minute", "broadcasts_per_day", "per_person_per_day"):
        assert made[limit] is None
    assert made["quiet_hours"] == ""
    assert made["sensitive_words"] == []


def test_protections_are_taken_at_creation_and_changed(api):
    given = {
        "name": "Orders",
        "channels": [],
        "review": True,
        "calls_per_minute": 60,
        "broadcasts_per_day": 0,
        "per_person_per_day": 3,
        "quiet_hours": "22:00-08:00",
        "sensitive_words": ["免费", "免费", "prize"],
    }
    made = api.post(LIST, given, format="json").json()
    assert {name: made[name] for name in given} == {
        **given,
        "sensitive_words": ["免费", "prize"],
    }

    one = f"{LIST}{made['channel_key']}/"
    change = {"calls_per_minute": None, "quiet_hours": "", "enabled": False}
    answer = api.patch(one, change, format="json")

    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in change} == change
    assert answer.json()["per_person_per_day"] == 3


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"name": "taken"}, "name"),
        ({"channels": ["nobody"]}, "channels.0"),
        ({"channels": ["hr", "nobody"]}, "channels.1"),
        ({"channels": "hr"}, "channels"),
        ({"channels": [{}]}, "channels.0"),
        ({"calls_per_minute": 0}, "calls_per_minute"),
        ({"calls_per_minute": "many"}, "calls_per_minute"),
        ({"broadcasts_per_day": -1}, "broadcasts_per_day"),
        ({"per_person_per_day": 0}, "per_person_per_day"),
        ({"quiet_hours": "22-8"}, "quiet_hours"),
        ({"quiet_hours": "24:00-08:00"}, "quiet_hours"),
        ({"sensitive_words": "one"}, "sensitive_words"),
        ({"sensitive_words": ["ok", ""]}, "sensitive_words.1"),
        ({"sensitive_words": ["a\0b"]}, "sensitive_words.0"),
    ],
)
def test_what_is_wrong_is_named(api, wrong, field):
    ChannelFactory(code="hr")
    create_business_channel("taken")
    given = {"name": "Orders", "channels": ["hr"], **wrong}

    answer = api.post(LIST, given, format="json")

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"
    assert list(answer.json()["fields"]) == [field]
    assert BusinessChannel.objects.count() == 1


def test_rotation_keeps_the_old_secret_for_the_chosen_time(api):
    row, old = create_business_channel("Orders")

    answer = api.post(
        f"{LIST}{row.key}/rotate-secret/", {"keep_old_for_s": 3600}, format="json"
    )

    assert answer.status_code == 200
    assert set(answer.json()) == {"channel_key", "master_secret", "old_valid_until"}
    until = parse_datetime(answer.json()["old_valid_until"])
    assert abs(until - timezone.now() - timedelta(hours=1)) < timedelta(minutes=1)
    assert holder(row.key, answer.json()["master_secret"]) == row
    assert holder(row.key, old) == row
    BusinessChannel.objects.update(previous_valid_until=timezone.now())
    assert holder(row.key, old) is None


def test_rotation_ends_the_old_secret_at_once_unless_asked(api):
    row, old = create_business_channel("Orders")

    new = api.post(f"{LIST}{row.key}/rotate-secret/").json()["master_secret"]

    assert holder(row.key, old) is None
    assert holder(row.key, new) == row


@pytest.mark.parametrize("wrong", [-1, 31 * 86400, "long", None])
def test_a_wrong_time_rotates_nothing(api, wrong):
    row, old = create_business_channel("Orders")

    answer = api.post(
        f"{LIST}{row.key}/rotate-secret/", {"keep_old_for_s": wrong}, format="json"
    )

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["keep_old_for_s"]
    assert holder(row.key, old) == row


def test_an_unknown_key_is_404(api):
    for path in ("", "rotate-secret/"):
        call = api.post if path else api.get
        answer = call(f"{LIST}{'0' * 24}/{path}")
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"


def test_people_of_the_console_need_the_permission(person):
    row, _secret = create_business_channel("Orders")
    one = f"{LIST}{row.key}/"
    viewer = person("channels_wechat.view_businesschannel")

    assert viewer.get(LIST).status_code == 200
    assert viewer.get(one).status_code == 200
    stranger = person()
    assert stranger.get(LIST).status_code == 403
    for someone in (viewer, stranger):
        someone.handler.enforce_csrf_checks = False
        assert someone.post(LIST, {"name": "x", "channels": []}).status_code == 403
        assert someone.patch(one, {"enabled": False}).status_code == 403
        assert someone.post(f"{one}rotate-secret/").status_code == 403
    row.refresh_from_db()
    assert row.enabled
    assert BusinessChannel.objects.count() == 1


def test_the_audit_log_has_the_change_and_no_secret(api):
    row, old = create_business_channel("Orders")
    api.patch(f"{LIST}{row.key}/", {"calls_per_minute": 5}, format="json")
    new = api.post(f"{LIST}{row.key}/rotate-secret/").json()["master_secret"]

    entries = list(LogEntry.objects.get_for_object(row))
    changes = [entry.changes_dict for entry in entries]

    assert {"calls_per_minute": ["None", "5"]} in changes
    assert {"master_secret": ["••••••", "••••••"]} in changes
    assert old not in str(changes)
    assert new not in str(changes)
