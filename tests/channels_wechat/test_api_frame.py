"""What every call of the resource API shares: who may, how errors look, pages."""

import base64
import json
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework.test import APIClient

from channels_wechat.access_keys import create_access_key
from channels_wechat.models import AccessKey, Channel
from tests.api_fixture import basic
from tests.factories import ChannelFactory, UserFactory

pytestmark = pytest.mark.django_db
LIST = "/api/channels/"


def error(answer):
    body = answer.json()
    assert {"code", "detail", "fields"} <= set(body)
    assert body["detail"]
    return answer.status_code, body["code"]


class TestAccessKeys:
    def test_the_secret_is_nowhere_in_the_database(self):
        row, secret = create_access_key("erp", UserFactory())

        assert len(row.key) == 24
        assert secret not in str(AccessKey.objects.values().get())
        assert row.created_by

    def test_a_name_is_used_once(self):
        create_access_key("erp")
        with pytest.raises(ValidationError):
            create_access_key("erp")

    def test_the_right_pair_is_let_in(self, api):
        assert api.get(LIST).status_code == 200

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Basic",
            "Basic ",
            "Basic !!!",
            "Basic " + base64.b64encode(b"\xff:\xfe").decode(),
            "Basic " + base64.b64encode(b"no colon").decode(),
            basic("0" * 24, "secret"),
            basic("\0", "\0"),
            basic("é" * 24, "x"),
            "Bearer abc",
        ],
    )
    def test_anything_else_is_not(self, header):
        client = APIClient(headers={"Authorization": header} if header else {})
        answer = client.get(LIST)

        assert error(answer)[0] == 401
        assert answer["WWW-Authenticate"].startswith("Basic")

    def test_a_wrong_secret_or_a_disabled_key(self, api):
        right = api.access_key.key
        for header in (basic(right, "wrong"), basic(right, "")):
            answer = APIClient(headers={"Authorization": header}).get(LIST)
            assert error(answer) == (401, "authentication_failed")

        AccessKey.objects.update(enabled=False)
        assert api.get(LIST).status_code == 401

    def test_its_use_is_written_down_once_a_minute(
        self, api, django_assert_num_queries
    ):
        assert AccessKey.objects.get().last_used_at
        with django_assert_num_queries(2):  # the key, the channels
            api.get(LIST)

        AccessKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
        with django_assert_num_queries(3):
            api.get(LIST)
        assert timezone.now() - AccessKey.objects.get().last_used_at < timedelta(
            minutes=1
        )


class TestConsoleSessions:
    def test_a_role_may_what_its_permissions_say(self, person):
        reader = person("channels_wechat.view_channel")

        assert reader.get(LIST).status_code == 200
        assert error(person().get(LIST)) == (403, "permission_denied")

    def test_someone_outside_the_console_may_nothing(self, person):
        outsider = person("channels_wechat.view_channel", is_staff=False)

        assert outsider.get(LIST).status_code == 403

    def test_a_change_needs_the_csrf_token(self, person):
        writer = person("channels_wechat.delete_channel")
        channel = ChannelFactory()

        assert error(writer.delete(f"{LIST}{channel.code}/"))[0] == 403
        assert Channel.objects.exists()

        writer.cookies["csrftoken"] = "a" * 32
        answer = writer.delete(
            f"{LIST}{channel.code}/", headers={"X-CSRFToken": "a" * 32}
        )
        assert answer.status_code == 204


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "expected"),
        [
            ("GET", "/api/", (404, "not_found")),
            ("GET", "/api/nothing", (404, "not_found")),
            ("GET", "/api/channels", (404, "not_found")),
            ("POST", "/api/nothing/", (404, "not_found")),
            ("GET", "/api/channels/nobody/", (404, "not_found")),
            ("GET", "/api/channels/%00/", (404, "not_found")),
            ("GET", "/api/channels/%ED%A0%80/", (404, "not_found")),
            ("PUT", "/api/channels/", (405, "method_not_allowed")),
        ],
    )
    def test_one_shape(self, api, method, path, expected):
        assert error(api.generic(method, path)) == expected

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[" * 200_000,
            b'{"code": NaN}',
            b"\xff\xfe\xfa",
            b"1" * 5000,
            b'{"code": ' + b"9" * 5000 + b"}",
        ],
    )
    def test_what_is_no_json(self, api, body):
        answer = api.generic("POST", LIST, body, content_type="application/json")
        assert answer.status_code == 400
        assert error(answer)[1] in {"parse_error", "invalid"}

    def test_half_a_surrogate_pair_is_named_wherever_it_is(self, api):
        body = b'{"\\udc00": "\\udc00", "a": [{"b": "\\ud800"}], "c": "\\ud83d\\ude00"}'
        answer = api.generic("POST", LIST, body, content_type="application/json")

        assert error(answer) == (400, "invalid")
        assert set(answer.json()["fields"]) == {"a.0.b", "non_field_errors"}

    @pytest.mark.parametrize("body", ["null", "[]", "[1]", "1", '"text"', "true"])
    def test_json_that_is_no_object(self, api, body):
        answer = api.generic("POST", LIST, body, content_type="application/json")
        assert error(answer) == (400, "invalid")

    def test_another_type(self, api):
        answer = api.generic("POST", LIST, b"<a/>", content_type="text/xml")
        assert error(answer) == (415, "unsupported_media_type")

    def test_a_strange_charset_is_read_as_utf_8(self, api):
        answer = api.generic(
            "POST", LIST, b"{}", content_type="application/json; charset=rot13"
        )
        assert error(answer) == (400, "invalid")

    def test_more_than_we_read(self, api, settings):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
        body = json.dumps({"name": "x" * 1000})
        answer = api.generic("POST", LIST, body, content_type="application/json")
        assert error(answer) == (413, "too_large")

    def test_in_the_callers_language_with_the_same_code(self, api):
        answer = api.get("/api/channels/nobody/", headers={"Accept-Language": "en"})
        assert answer.json()["detail"] == "No such channel."


class TestPages:
    def test_cursor_to_the_end_and_back(self, api):
        made = [ChannelFactory().code for _ in range(5)]

        seen, url = [], f"{LIST}?page_size=2"
        while url:
            page = api.get(url).json()
            assert set(page) == {"next", "previous", "results"}
            seen += [row["code"] for row in page["results"]]
            url, back = page["next"], page["previous"]

        assert seen == made
        assert [row["code"] for row in api.get(back).json()["results"]] == made[2:4]

    @pytest.mark.parametrize("position", ["abc", "-1", "\0", "1" * 30, "1.5", "١"])
    def test_a_forged_cursor(self, api, position):
        cursor = quote(base64.b64encode(f"p={quote(position)}".encode()))
        assert error(api.get(f"{LIST}?cursor={cursor}")) == (400, "invalid")

    @pytest.mark.parametrize("size", ["0", "-1", "x", "999999999999", "\0"])
    def test_a_strange_page_size_is_ignored(self, api, size):
        assert api.get(LIST, {"page_size": size}).status_code == 200
