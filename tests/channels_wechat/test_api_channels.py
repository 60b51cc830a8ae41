"""Channels over the resource API."""

import json

import pytest
from django.utils import timezone

from channels_wechat.models import AccessToken, Channel
from channels_wechat.wechat.crypto import MessageCrypt
from tests.factories import ChannelFactory, OpenIDFactory, SendFactory

pytestmark = pytest.mark.django_db
LIST = "/api/channels/"
GIVEN = {
    "code": "hr",
    "name": "HR service",
    "appid": "wx5a0db0c5e7000001",
    "app_secret": "5a0db0c5e70000015a0db0c5e7000001",
}
SHOWN = {
    "code",
    "name",
    "appid",
    "original_id",
    "callback_mode",
    "callback_url",
    "enabled",
    "authorization",
    "status",
    "callback_verified_at",
    "last_push_at",
    "templates_refreshed_at",
}


class TestCreate:
    def test_token_and_key_are_made_up_and_answered_this_once(self, api):
        answer = api.post(LIST, GIVEN)

        assert answer.status_code == 201
        made = answer.json()
        assert set(made) == SHOWN | {"callback_token", "encoding_aes_key"}
        assert made["callback_url"] == (
            "https://jums.example.com/v1/wechatoa/callback/hr"
        )
        assert made["callback_mode"] == "safe"
        assert made["status"] == "unverified"
        assert made["authorization"] == "secret"
        MessageCrypt(made["callback_token"], made["encoding_aes_key"], made["appid"])
        channel = Channel.objects.get()
        assert channel.callback_token == made["callback_token"]
        assert channel.app_secret == GIVEN["app_secret"]

        later = api.get(f"{LIST}hr/").json()
        assert set(later) == SHOWN
        for secret in (channel.callback_token, channel.encoding_aes_key, "app_secret"):
            assert secret not in str(later)

    def test_given_ones_are_kept(self, api):
        given = {
            **GIVEN,
            "original_id": "gh_5a0db0c50001",
            "callback_mode": "plain",
            "callback_token": "atoken",
            "encoding_aes_key": "a" * 43,
        }
        made = api.post(LIST, given).json()

        assert {k: made[k] for k in given if k != "app_secret"} == {
            k: v for k, v in given.items() if k != "app_secret"
        }

    def test_who_made_it_is_known_of_people(self, person):
        someone = person("channels_wechat.add_channel")
        someone.handler.enforce_csrf_checks = False

        assert someone.post(LIST, GIVEN).status_code == 201
        assert Channel.objects.get().created_by == someone.user

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("code", ""),
            ("code", "has space"),
            ("code", "a-b"),
            ("code", "x" * 33),
            ("code", None),
            ("code", ["hr"]),
            ("code", True),
            ("name", ""),
            ("name", "   "),
            ("name", "x" * 31),
            ("name", "nul\0"),
            ("name", "\ud800"),
            ("callback_mode", "\ud800"),
            ("callback_mode", "\0"),
            ("name", {}),
            ("appid", "wx1"),
            ("appid", "gh_5a0db0c5e7000001"),
            ("appid", 5),
            ("app_secret", ""),
            ("app_secret", "two words"),
            ("app_secret", "密" * 32),
            ("app_secret", "x" * 129),
            ("original_id", "x" * 33),
            ("original_id", "a\0"),
            ("callback_mode", "none"),
            ("callback_mode", []),
            ("callback_token", "ab"),
            ("callback_token", "x" * 33),
            ("callback_token", "sign!"),
            ("encoding_aes_key", "a" * 42),
            ("encoding_aes_key", "+" * 43),
        ],
    )
    def test_a_bad_value_is_named(self, api, field, value):
        body = json.dumps({**GIVEN, field: value})
        answer = api.generic("POST", LIST, body, content_type="application/json")

        assert answer.status_code == 400
        assert answer.json()["code"] == "invalid"
        assert list(answer.json()["fields"]) == [field]
        assert answer.json()["fields"][field][0]
        assert not Channel.objects.exists()

    def test_a_missing_value_is_named(self, api):
        assert set(api.post(LIST, {}).json()["fields"]) == set(GIVEN)

    @pytest.mark.parametrize("field", ["code", "name", "appid"])
    def test_what_another_channel_has(self, api, field):
        ChannelFactory(**{field: GIVEN[field]})

        answer = api.post(LIST, GIVEN)

        assert answer.status_code == 400
        assert list(answer.json()["fields"]) == [field]


class TestRead:
    def test_the_list_costs_two_queries(self, api, django_assert_num_queries):
        for _ in range(3):
            ChannelFactory()
        with django_assert_num_queries(2):
            rows = api.get(LIST).json()["results"]
        assert len(rows) == 3
        assert set(rows[0]) == SHOWN

    @pytest.mark.parametrize(
        ("state", "status"),
        [
            ({}, "unverified"),
            ({"token_ok_at": timezone.now()}, "ready"),
            ({"refused_at": timezone.now()}, "unauthorized"),
            ({"enabled": False}, "disabled"),
        ],
    )
    def test_the_status(self, api, state, status):
        channel = ChannelFactory(**state)
        assert api.get(f"{LIST}{channel.code}/").json()["status"] == status


class TestChange:
    def test_only_what_is_given_changes(self, api):
        channel = ChannelFactory(code="hr")
        before = Channel.objects.values().get()

        answer = api.patch(f"{LIST}hr/", {"name": "New", "enabled": False})

        assert answer.status_code == 200
        assert (answer.json()["name"], answer.json()["status"]) == ("New", "disabled")
        after = Channel.objects.values().get()
        assert {k for k in after if after[k] != before[k]} == {"name", "enabled"}
        assert channel.app_secret not in answer.content.decode()

    def test_a_new_key_keeps_the_old_one(self, api):
        old = ChannelFactory(code="hr").encoding_aes_key

        answer = api.patch(f"{LIST}hr/", {"encoding_aes_key": "b" * 43})

        assert "encoding_aes_key" not in answer.json()
        assert Channel.objects.get().aes_keys == ["b" * 43, old]

    def test_a_new_secret_makes_the_old_token_void(self, api):
        channel = ChannelFactory(code="hr", refused_at=timezone.now())
        AccessToken.objects.create(channel=channel, value="old")

        answer = api.patch(f"{LIST}hr/", {"app_secret": "0" * 32})

        assert answer.json()["status"] == "unverified"
        assert not AccessToken.objects.exists()

    @pytest.mark.parametrize(
        "change", [{"code": "other"}, {"appid": "wx0000000000000009"}]
    )
    def test_code_and_appid_are_fixed_once_used(self, api, change):
        channel = ChannelFactory(code="hr")
        assert api.patch(f"{LIST}hr/", change).status_code == 200
        Channel.objects.update(code="hr", appid=channel.appid)

        OpenIDFactory(channel=channel)
        answer = api.patch(f"{LIST}hr/", change)

        assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
        assert Channel.objects.get().code == "hr"
        same = {name: getattr(channel, name) for name in change}
        assert api.patch(f"{LIST}hr/", same).status_code == 200

    def test_a_bad_value_is_named(self, api):
        ChannelFactory(code="hr")
        answer = api.patch(f"{LIST}hr/", {"enabled": "perhaps"})
        assert list(answer.json()["fields"]) == ["enabled"]

    def test_machines_fields_are_not_taken(self, api):
        ChannelFactory(code="hr")
        api.patch(f"{LIST}hr/", {"templates_refreshed_at": "2026-01-01T00:00:00Z"})
        assert Channel.objects.get().templates_refreshed_at is None


class TestDelete:
    def test_an_unused_one_goes(self, api):
        AccessToken.objects.create(channel=ChannelFactory(code="hr"))

        assert api.delete(f"{LIST}hr/").status_code == 204
        assert api.get(f"{LIST}hr/").status_code == 404

    @pytest.mark.parametrize("use", ["people", "sends"])
    def test_a_used_one_stays(self, api, use):
        channel = ChannelFactory(code="hr")
        if use == "people":
            OpenIDFactory(channel=channel)
        else:
            SendFactory(template__channel=channel)

        answer = api.delete(f"{LIST}hr/")

        assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
        assert "Disable it" in answer.json()["detail"]
        assert Channel.objects.exists()
