"""Sends, deliveries and events over the resource API."""

from urllib.parse import quote

import pytest
from django.utils import timezone

from sends.models import Delivery, InboundEvent, Send
from tests.factories import ChannelFactory, SendFactory

pytestmark = pytest.mark.django_db
LIST = "/api/sends/"
STATUSES = [
    "waiting",
    "sending",
    "accepted",
    "delivered",
    "undelivered",
    "refused",
    "unknown",
    "skipped",
    "canceled",
]


@pytest.fixture
def send():
    """A finished send with one delivery of each status."""
    send = SendFactory(
        title="Meeting", status="finished", **{f"n_{name}": 1 for name in STATUSES}
    )
    for status, name in enumerate(STATUSES):
        Delivery.objects.create(
            send=send,
            channel=send.channel,
            userid=name,
            openid=f"o-{name}",
            status=status,
            wechat_msgid=2**63 - 1 if name == "delivered" else None,
            reason="no_openid" if name == "skipped" else "",
            error="user block" if name == "undelivered" else "",
        )
    return send


def of(send, verb=""):
    return f"{LIST}{send.msgid}/{verb}"


class TestSends:
    def test_one_send(self, api, send):
        body = api.get(of(send)).json()

        assert body["counts"] == dict.fromkeys(STATUSES, 1)
        assert list(body["counts"]) == STATUSES
        assert (body["total"], body["status"]) == (9, "finished")
        assert body["channel"] == send.channel.code
        assert body["template"] == send.template.template_id
        assert body["pause"] is None

    def test_the_colons_of_a_msgid_may_be_escaped(self, api, send):
        assert ":" in send.msgid
        escaped = f"{LIST}{quote(send.msgid, safe='')}/"
        assert api.get(escaped).json()["msgid"] == send.msgid

    def test_the_list_costs_two_queries(self, api, django_assert_num_queries):
        made = [SendFactory().msgid for _ in range(3)]
        with django_assert_num_queries(2):
            rows = api.get(LIST).json()["results"]
        assert [row["msgid"] for row in rows] == made[::-1]

    def test_filters(self, api, send):
        SendFactory()
        for query in ({"channel": send.channel.code}, {"status": "finished"}):
            rows = api.get(LIST, query).json()["results"]
            assert [row["msgid"] for row in rows] == [send.msgid]

    @pytest.mark.parametrize(
        ("path", "name", "value"),
        [
            (LIST, "channel", "nobody"),
            (LIST, "status", "asleep"),
            ("/api/events/", "channel", "\0"),
            ("/api/events/", "status", "0"),
        ],
    )
    def test_a_filter_that_makes_no_sense_is_named(self, api, path, name, value):
        answer = api.get(path, {name: value})
        assert answer.status_code == 400
        assert list(answer.json()["fields"]) == [name]

    @pytest.mark.parametrize(
        "msgid", ["nothing", "%00", "x" * 65, "%ED%A0%80", "a%2Fb", "é"]
    )
    def test_no_such_send(self, api, msgid):
        for verb in ("", "deliveries/"):
            answer = api.get(f"{LIST}{msgid}/{verb}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert api.post(f"{LIST}{msgid}/pause/").status_code == 404

    def test_nothing_is_sent_from_here(self, api):
        assert api.post(LIST, {}).status_code == 405


class TestControl:
    def test_pause_resume_cancel(self, api):
        send = SendFactory(status="running", prepared_at=timezone.now(), n_waiting=1)

        paused = api.post(of(send, "pause/")).json()
        resumed = api.post(of(send, "resume/")).json()
        canceled = api.post(of(send, "cancel/"))

        assert paused["status"] == "paused"
        assert paused["pause"]["code"] == "operator"
        assert paused["pause"]["by"] == "a business system"
        assert paused["pause"]["paused_at"]
        assert (resumed["status"], resumed["pause"]) == ("running", None)
        assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")

    @pytest.mark.parametrize(
        ("status", "verbs"),
        [
            ("draft", ["pause", "resume", "cancel"]),
            ("running", ["resume"]),
            ("paused", ["pause"]),
            ("finished", ["pause", "resume", "cancel"]),
            ("canceled", ["pause", "resume", "cancel"]),
        ],
    )
    def test_a_wrong_state_is_a_conflict(self, api, status, verbs):
        send = SendFactory(status=status)
        for verb in verbs:
            answer = api.post(of(send, f"{verb}/"))
            assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
        send.refresh_from_db()
        assert send.status == status

    def test_it_needs_its_own_permission(self, person):
        send = SendFactory(status="running")
        for permissions, expected in [
            (["sends.add_send", "sends.change_send"], 403),
            (["sends.control_send"], 200),
        ]:
            someone = person(*permissions)
            someone.handler.enforce_csrf_checks = False
            assert someone.post(of(send, "pause/")).status_code == expected
        assert Send.objects.get().paused_by == someone.user.username


class TestDeliveries:
    def test_the_list_costs_three_queries(self, api, send, django_assert_num_queries):
        with django_assert_num_queries(3):  # the key, the send, the page
            rows = api.get(of(send, "deliveries/")).json()["results"]

        assert [row["status"] for row in rows] == STATUSES
        by_status = {row["status"]: row for row in rows}
        assert by_status["delivered"] == {
            "userid": "delivered",
            "openid": "o-delivered",
            "status": "delivered",
            "wechat_msgid": "9223372036854775807",
            "errcode": None,
            "error": "",
            "reason": "",
            "sent_at": None,
            "receipt_at": None,
        }
        assert by_status["undelivered"]["error"] == "user block"
        assert by_status["skipped"]["reason"] == "no_openid"
        assert "openID" in by_status["skipped"]["error"]

    @pytest.mark.parametrize("status", STATUSES)
    def test_by_status(self, api, send, status):
        rows = api.get(of(send, "deliveries/"), {"status": status}).json()["results"]
        assert [row["status"] for row in rows] == [status]

    def test_a_status_that_does_not_exist_is_named(self, api, send):
        answer = api.get(of(send, "deliveries/"), {"status": "read"})
        assert answer.status_code == 400
        assert list(answer.json()["fields"]) == ["status"]

    def test_of_no_other_send(self, api, send):
        other = SendFactory(template=send.template)
        assert api.get(of(other, "deliveries/")).json()["results"] == []


class TestEvents:
    @pytest.fixture
    def events(self):
        channel, now = ChannelFactory(), timezone.now()
        for status in InboundEvent.Status:
            InboundEvent.objects.create(
                channel=channel,
                key=str(status),
                event="templatesendjobfinish",
                openid="o-1",
                msgid=2**62,
                outcome="success",
                payload="<xml>",
                created_at=now,
                received_at=now,
                try_at=now,
                status=status,
                applied_at=now if status == InboundEvent.Status.APPLIED else None,
            )
        return channel

    def test_the_list_costs_two_queries(self, api, events, django_assert_num_queries):
        with django_assert_num_queries(2):
            rows = api.get("/api/events/").json()["results"]

        assert [(row["status"], row["matched"]) for row in rows] == [
            ("ignored", False),
            ("unmatched", False),
            ("applied", True),
            ("waiting", False),
        ]
        assert {
            "type": "templatesendjobfinish",
            "msgid": str(2**62),
            "channel": events.code,
        }.items() <= rows[0].items()
        assert rows[2]["applied_at"]
        assert rows[2]["received_at"]

    def test_filters(self, api, events):
        other = ChannelFactory()

        def count(**query):
            return len(api.get("/api/events/", query).json()["results"])

        assert count(status="unmatched") == 1
        assert count(channel=events.code) == 4
        assert count(channel=other.code) == 0
        assert count(channel=events.code, status="applied") == 1
