"""The contract's table of the resource API, row by row, as it is printed there: the
same bodies, the same names in the answers. Other programs rely on them."""

import io
import re
from pathlib import Path

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from channels_wechat import business_channels
from channels_wechat.models import BusinessChannel, Channel
from sandbox.people import openid
from sends import preparing, receipts, sending
from sends.models import Delivery, InboundEvent, Send
from tests.factories import OpenIDFactory, SendFactory
from tests.jums_fixture import Caller, targets
from tests.sends.receiver import Receiver
from users import importing

pytestmark = pytest.mark.django_db
PAGE = {"next", "previous", "results"}
COUNTS = {
    "waiting",
    "sending",
    "accepted",
    "delivered",
    "undelivered",
    "refused",
    "unknown",
    "skipped",
    "canceled",
}


@pytest.fixture
def wechat(sandbox, settings):
    settings.WECHAT_API_BASE = sandbox.url
    return sandbox


@pytest.fixture
def channel(api, wechat):
    """The demo account, connected as the first row has it."""
    answer = api.post(
        "/api/channels/",
        {
            "code": "demo",
            "name": "Demo",
            "appid": wechat.appid,
            "app_secret": wechat.secret,
        },
    )
    assert answer.status_code == 201
    return answer.json()


@pytest.fixture
def template(api, channel):
    """One of its templates, refreshed as the third row has it."""
    assert api.post("/api/channels/demo/refresh-templates/").status_code == 200
    page = api.get("/api/templates/?channel=demo&kind=template").json()
    return next(one for one in page["results"] if one["title"] == "会议预约提醒")


@pytest.fixture
def business(api, channel):
    given = {"name": "Orders", "channels": ["demo"]}
    return api.post("/api/business-channels/", given).json()


def caller(business):
    return Caller(business["channel_key"], business["master_secret"])


@pytest.fixture
def message(template):
    data = {
        key: text.replace("{{name}}", "x") for key, text in values(template).items()
    }
    return {"template_id": template["template_id"], "data": data}


def refused(answer, status, code):
    """Every error has one shape."""
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert {"code", "detail", "fields"} <= set(body)
    assert body["detail"]
    return body


def listed(api, address):
    page = api.get(address).json()
    assert set(page) == PAGE
    return page["results"]


# -- channels and templates ------------------------------------------------------------
@pytest.mark.parametrize("mode", [None, "plain", "compatible", "safe"])
def test_a_channel_is_made_and_its_secret_never_shown(api, mode):
    given = {
        "code": "hr",
        "name": "HR",
        "appid": "wx5a0db0c5e7000009",
        "app_secret": "the-app-secret",
        **({"callback_mode": mode} if mode else {}),
    }
    if mode == "plain":
        given |= {
            "original_id": "gh_5a0db0c50009",
            "callback_token": "aTokenOfOurOwn",
            "encoding_aes_key": "a" * 43,
        }

    answer = api.post("/api/channels/", given)

    assert answer.status_code == 201
    made = answer.json()
    for name in ("callback_token", "encoding_aes_key", "callback_url"):
        assert made[name] == given.get(name, made[name]) != ""
    assert made["callback_mode"] == (mode or "safe")
    assert made["original_id"] == given.get("original_id", "")
    for shown in (answer, api.get("/api/channels/hr/"), api.get("/api/channels/")):
        assert "the-app-secret" not in shown.content.decode()


def test_a_channel_is_listed_read_changed_and_removed(api, channel):
    one = api.get("/api/channels/demo/").json()

    assert {
        "code",
        "name",
        "appid",
        "original_id",
        "enabled",
        "authorization",
        "status",
        "templates_refreshed_at",
    } <= set(one)
    assert (one["authorization"], one["status"]) == ("secret", "unverified")
    assert listed(api, "/api/channels/") == [one]
    changed = api.patch("/api/channels/demo/", {"enabled": False})
    assert (changed.status_code, changed.json()["status"]) == (200, "disabled")
    assert api.delete("/api/channels/demo/").status_code == 204
    refused(api.get("/api/channels/demo/"), 404, "not_found")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "unverified"),
        ({"token_ok_at": True}, "ready"),
        ({"token_ok_at": True, "refused_at": True}, "unauthorized"),
        ({"token_ok_at": True, "enabled": False}, "disabled"),
    ],
    ids=["unverified", "ready", "unauthorized", "disabled"],
)
def test_a_channel_has_one_of_four_statuses(api, channel, fields, status):
    now = timezone.now()
    Channel.objects.update(
        **{name: now if value is True else value for name, value in fields.items()}
    )

    assert api.get("/api/channels/demo/").json()["status"] == status


def test_refreshing_counts_what_changed(api, channel):
    answer = api.post("/api/channels/demo/refresh-templates/")

    assert answer.status_code == 200
    for kind in ("template", "subscribe"):
        counts = answer.json()[kind]
        assert set(counts) == {"added", "changed", "removed", "unchanged"}
    assert answer.json()["template"]["added"] > 0


def test_wechats_refusal_of_a_refresh_is_502(api, channel):
    Channel.objects.update(app_secret="wrong")

    body = refused(
        api.post("/api/channels/demo/refresh-templates/"), 502, "wechat_refused"
    )

    assert (body["errcode"], bool(body["errmsg"])) == (40125, True)


def test_a_check_has_findings_with_a_level_and_a_fix(api, channel):
    answer = api.post("/api/channels/demo/check/")

    assert answer.status_code == 200
    assert set(answer.json()) == {"findings"}
    for finding in answer.json()["findings"]:
        assert set(finding) == {"check", "level", "detail", "fix"}
        assert finding["level"] in {"ok", "warn", "bad"}


def test_templates_are_listed_by_channel_and_kind(api, template):
    assert {"template_id", "kind", "title", "content", "example", "fields"} <= set(
        template
    )
    assert template["kind"] == "template"
    for field in template["fields"]:
        assert set(field) == {"key", "label", "type"}
    for template in listed(api, "/api/templates/?channel=demo&kind=subscribe"):
        assert template["kind"] == "subscribe"


# -- users -----------------------------------------------------------------------------
def upload(api, content, name="people.csv", **fields):
    file = SimpleUploadedFile(name, content)
    return api.post("/api/uploads/", {"file": file, **fields}, format="multipart")


def imported(api, text, **fields):
    answer = upload(api, text.encode(), **fields)
    assert answer.status_code == 202
    assert {"id", "status"} <= set(answer.json())
    importing.import_upload(answer.json()["id"])
    return f"/api/uploads/{answer.json()['id']}/"


def test_an_upload_goes_through_its_stages_and_reports(api, channel):
    address = imported(
        api,
        "userid,bind_id,tag,phone,email,wechatoa_openid\n"
        f"zhangsan,,vip;new,13800138000,z@example.com,{'o' + 'a' * 27}\n"
        f"zhangsan,,vip;new,13800138000,z@example.com,{'o' + 'a' * 27}\n"
        f"lisi,demo,,,,{'o' + 'b' * 27}\n"
        f"lisi,demo,,,,{'o' + 'c' * 27}\n"
        "bad user,,,,,\n",
        channel="demo",
        mode="set",
    )

    shown = api.get(address).json()
    assert {
        "id",
        "status",
        "detail",
        "rows_total",
        "rows_ok",
        "rows_failed",
    } <= set(shown)
    assert (shown["status"], shown["detail"]) == ("finished", "")
    assert (shown["rows_total"], shown["rows_ok"], shown["rows_failed"]) == (5, 4, 1)
    errors = listed(api, f"{address}errors/")
    assert all({"row", "userid", "reason"} <= set(error) for error in errors)
    # The fourth person's second openID is a warning, the sixth line an error.
    assert [(error["row"], error["userid"]) for error in errors] == [
        (5, "lisi"),
        (6, "bad user"),
    ]
    book = b"".join(api.get(f"{address}errors.xlsx").streaming_content)
    assert openpyxl.load_workbook(io.BytesIO(book)).active.max_row == 3
    assert api.get("/api/recipients/zhangsan/").json() == {
        "userid": "zhangsan",
        "openids": {"demo": "o" + "a" * 27},
        "tags": ["new", "vip"],
        "phone": "13800138000",
        "email": "z@example.com",
    }
    assert api.get("/api/recipients/lisi/").json()["openids"] == {
        "demo": "o" + "c" * 27
    }


@pytest.mark.parametrize(
    ("mode", "tags"), [("set", ["b"]), ("add", ["a", "b"]), ("del", ["a"])]
)
def test_an_upload_sets_adds_or_removes(api, channel, mode, tags):
    before = "a" if mode != "del" else "a;b"
    imported(api, f"userid,tag\nzhangsan,{before}\n", channel="demo", mode="set")

    imported(api, "userid,tag\nzhangsan,b\n", channel="demo", mode=mode)

    assert api.get("/api/recipients/zhangsan/").json()["tags"] == tags


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("people.xlsx", b"no workbook"),
        ("people.csv", b""),
        ("people.txt", b"\x00\x01\x02"),
        ("people.csv", b"name,phone\nx,1\n"),
    ],
)
def test_what_is_no_workbook_or_csv_is_422_bad_file(api, channel, name, content):
    refused(upload(api, content, name, channel="demo"), 422, "bad_file")


def test_recipients_are_listed_by_tag_and_channel(api, channel):
    imported(
        api,
        f"userid,tag,openid\na,vip,{'o' + 'a' * 27}\nb,,{'o' + 'b' * 27}\nc,vip,\n",
        channel="demo",
    )

    def userids(query):
        found = listed(api, f"/api/recipients/?{query}")
        assert all(
            set(one) == {"userid", "openids", "tags", "phone", "email"} for one in found
        )
        return [one["userid"] for one in found]

    assert userids("") == ["a", "b", "c"]
    assert userids("tag=vip") == ["a", "c"]
    assert userids("channel=demo") == ["a", "b"]
    assert userids("tag=vip&channel=demo") == ["a"]


# -- sends -----------------------------------------------------------------------------
@pytest.fixture
def send(db):
    send = SendFactory(status=Send.Status.RUNNING, prepared_at=timezone.now())
    for number, status in enumerate(Delivery.Status):
        Delivery.objects.create(
            send=send,
            channel=send.channel,
            userid=f"u{number}",
            openid=f"o{number:027}",
            status=status,
            wechat_msgid=2**62 + number,
        )
    Send.objects.update(**{f"n_{name}": 1 for name in COUNTS})
    return send


def test_a_send_is_listed_and_read_with_nine_counts(api, send):
    one = api.get(f"/api/sends/{send.msgid}/").json()

    assert listed(api, "/api/sends/") == [one]
    assert one["status"] == "running"
    assert one["counts"] == dict.fromkeys(COUNTS, 1)
    assert one["total"] == 9
    assert {name for name in one if name.endswith("_at")} >= {
        "created_at",
        "submitted_at",
        "prepared_at",
        "started_at",
        "finished_at",
    }
    encoded = send.msgid.replace(":", "%3A")
    assert api.get(f"/api/sends/{encoded}/").json() == one


def test_a_send_is_paused_resumed_and_canceled_or_409(api, send):
    address = f"/api/sends/{send.msgid}"

    def do(verb):
        answer = api.post(f"{address}/{verb}/")
        if answer.status_code == 409:
            return refused(answer, 409, "wrong_state")["code"]
        assert (answer.status_code, answer.json()["msgid"]) == (200, send.msgid)
        return answer.json()["status"]

    verbs = ["pause", "pause", "resume", "resume", "cancel", "cancel", "pause"]
    assert [do(verb) for verb in verbs] == [
        "paused",
        "wrong_state",
        "running",
        "wrong_state",
        "canceled",
        "wrong_state",
        "wrong_state",
    ]


def test_deliveries_are_listed_by_status(api, send):
    address = f"/api/sends/{send.msgid}/deliveries/"

    assert {one["status"] for one in listed(api, address)} == COUNTS
    for status in COUNTS:
        (one,) = listed(api, f"{address}?status={status}")
        assert one["status"] == status
        assert {
            "userid",
            "openid",
            "status",
            "wechat_msgid",
            "errcode",
            "error",
            "sent_at",
            "receipt_at",
        } <= set(one)
        assert isinstance(one["wechat_msgid"], str)


def test_events_are_listed_by_channel_and_status(api, send):
    now = timezone.now()
    for number, status in enumerate(InboundEvent.Status):
        InboundEvent.objects.create(
            channel=send.channel,
            key=str(number),
            event="templatesendjobfinish",
            status=status,
            created_at=now,
            received_at=now,
            try_at=now,
        )

    for status in InboundEvent.Status:
        query = f"channel={send.channel.code}&status={status.name.lower()}"
        (one,) = listed(api, f"/api/events/?{query}")
        assert {"type", "received_at", "applied_at", "matched"} <= set(one)
        assert one["type"] == "templatesendjobfinish"
        assert one["matched"] is (status == InboundEvent.Status.APPLIED)


# -- business channels -----------------------------------------------------------------
WHOLE = {
    "name": "Orders",
    "channels": ["demo"],
    "enabled": True,
    "review": True,
    "calls_per_minute": 60,
    "broadcasts_per_day": 3,
    "per_person_per_day": 2,
    "quiet_hours": "22:00-08:00",
    "sensitive_words": ["免费"],
    "track_clicks": True,
}


@pytest.mark.parametrize(
    "given", [{"name": "Orders", "channels": ["demo"]}, WHOLE], ids=["least", "whole"]
)
def test_a_business_channel_is_made_and_its_secret_shown_once(api, channel, given):
    answer = api.post("/api/business-channels/", given)

    assert answer.status_code == 201
    made = answer.json()
    assert {name: made[name] for name in given} == given
    assert business_channels.holder(made["channel_key"], made["master_secret"])
    one = api.get(f"/api/business-channels/{made['channel_key']}/").json()
    assert one == {k: v for k, v in made.items() if k != "master_secret"} | {
        "last_used_at": one["last_used_at"]
    }
    assert listed(api, "/api/business-channels/") == [one]
    changed = api.patch(
        f"/api/business-channels/{made['channel_key']}/", {"enabled": False}
    )
    assert (changed.status_code, changed.json()["enabled"]) == (200, False)


def test_a_pair_made_by_either_way_calls_v1(business, channel):
    assert caller(business).post("user/opt", [{"userid": "a"}]).json()["code"] == 0


@pytest.mark.parametrize(
    ("body", "old_works"), [({}, 401), ({"keep_old_for_s": 60}, 200)]
)
def test_a_secret_is_rotated(api, business, body, old_works):
    key = business["channel_key"]

    answer = api.post(f"/api/business-channels/{key}/rotate-secret/", body)

    assert answer.status_code == 200
    made = answer.json()
    assert set(made) == {"channel_key", "master_secret", "old_valid_until"}
    assert Caller(key, made["master_secret"]).post("user/opt", []).status_code == 200
    assert caller(business).post("user/opt", []).status_code == old_works


@pytest.fixture
def receiver(settings):
    settings.STATUS_CALLBACK_ALLOW_PRIVATE = True
    running = Receiver()
    yield running
    running.close()


def test_a_callback_url_is_verified_at_once(api, business, receiver):
    given = {
        "business_channel": business["channel_key"],
        "url": f"{receiver.url}/a",
        "default": True,
        "types": [0, 1, 2, 3, 4, 5, 6, 7, 8],
    }

    answer = api.post("/api/callback-urls/", given)

    assert answer.status_code == 201
    assert {name: answer.json()[name] for name in given} == given
    assert len(receiver.gets) == 1
    receiver.echo = lambda echostr: (200, "something else")
    refused(
        api.post("/api/callback-urls/", given | {"url": f"{receiver.url}/b"}),
        422,
        "callback_unverified",
    )
    assert listed(api, "/api/callback-urls/") == [answer.json()]


def test_a_callback_url_is_changed_and_removed(api, business, receiver):
    first, second = (
        api.post(
            "/api/callback-urls/",
            {"business_channel": business["channel_key"], "url": f"{receiver.url}/{n}"},
        ).json()
        for n in "ab"
    )

    changed = api.patch(f"/api/callback-urls/{second['id']}/", {"types": [3, 5]})
    assert (changed.status_code, changed.json()["types"]) == (200, [3, 5])
    refused(api.delete(f"/api/callback-urls/{first['id']}/"), 409, "is_default")
    assert api.delete(f"/api/callback-urls/{second['id']}/").status_code == 204


# -- what requests name by a number ----------------------------------------------------
def crud(api, address, given, change):
    """Make, read, list, change and remove it, as printed; return what was made."""
    answer = api.post(address, given)
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert type(made["id"]) is int
    one = f"{address}{made['id']}/"
    assert api.get(one).status_code == 200
    assert [row["id"] for row in listed(api, address)] == [made["id"]]
    changed = api.patch(one, change)
    assert changed.status_code == 200
    assert {name: changed.json()[name] for name in change} == change
    return made, one


def gone(api, one):
    assert api.delete(one).status_code == 204
    refused(api.get(one), 404, "not_found")


def values(template):
    """A text that WeChat takes for each field of a template."""
    known = {"time": "2026年5月8日 10:00", "character_string": "A1"}
    return {
        field["key"]: known.get(field["type"], "{{name}}")
        for field in template["fields"]
    }


@pytest.mark.parametrize(
    ("is_general", "code"), [(None, 0), (True, 0), (False, 1015032)]
)
def test_a_general_template_is_used_by_its_number(
    api, template, business, is_general, code
):
    given = {
        "name": "Meeting",
        "channel": "demo",
        "template_id": template["template_id"],
        "url": "https://example.com/{{name}}",
        "miniprogram": {"appid": "wx5a0db0c5e7000001", "pagepath": "a?b={{name}}"},
        "data": values(template),
        **({} if is_general is None else {"general": is_general}),
    }

    made, one = crud(api, "/api/general-templates/", given, {"name": "Meeting 2"})

    assert {name: made[name] for name in given} == given
    assert made["general"] is (is_general is not False)
    body = {
        "aud_userid": ["zhangsan"],
        "template_id": made["id"],
        "template_para": {"name": "x"},
    }
    assert caller(business).post("template/sent", body).json()["code"] == code
    gone(api, one)


def test_the_page_of_a_general_template_is_the_link_of_a_subscribe_notification(
    api, template, business
):
    subscribe = listed(api, "/api/templates/?channel=demo&kind=subscribe")
    given = {
        "name": "Notice",
        "channel": "demo",
        "template_id": subscribe[0]["template_id"],
        "page": "https://example.com/{{name}}",
        "data": values(subscribe[0]),
    }

    answer = api.post("/api/general-templates/", given)

    assert answer.status_code == 201, answer.json()
    assert {name: answer.json()[name] for name in given} == given


def test_a_strategy_is_used_by_its_number(api, message, business):
    steps = [{"channel": "demo", "wait_s": 0, "trigger": "refused"}]
    given = {
        "name": "First",
        "business_channel": business["channel_key"],
        "steps": steps,
    }

    made, one = crud(
        api,
        "/api/strategies/",
        given,
        {"steps": [{"channel": "demo", "wait_s": 60, "trigger": "not_delivered"}]},
    )

    assert {name: made[name] for name in given} == given
    body = {"aud_userid": ["a"], "msg_wechatoa": [message], "rule_id": made["id"]}
    assert caller(business).post("sent", body).json()["code"] == 0
    refused(api.delete(one), 409, "in_use")


@pytest.mark.parametrize("kind", ["black", "white"])
def test_a_list_is_used_by_its_number(api, message, business, kind):
    given = {"kind": kind, "name": kind, "userids": ["a"]}
    for userid in "ab":
        OpenIDFactory(
            channel=Channel.objects.get(code="demo"), recipient__userid=userid
        )

    made, _one = crud(api, "/api/lists/", given, {"name": "renamed"})

    reached = targets(
        caller(business).post(
            "sent",
            {
                "aud_userid": ["a", "b"],
                "msg_wechatoa": [message],
                "option": {f"{kind}_id": made["id"]},
            },
        )
    )
    left_out = {userid for userid, reason in reached.items() if reason}
    assert left_out == ({"a"} if kind == "black" else {"b"})


@pytest.mark.parametrize(
    "given",
    [
        {"any_tags": ["vip", "new"]},
        {"all_tags": ["vip"], "none_tags": ["left"]},
        {"userids": ["a"]},
    ],
    ids=lambda given: ", ".join(given),
)
def test_a_segment_is_used_by_its_number(api, message, business, given):
    imported(
        api,
        f"userid,tag,openid\na,vip,{'o' + 'a' * 27}\nb,left,{'o' + 'b' * 27}\n",
        channel="demo",
    )

    made, one = crud(api, "/api/segments/", {"name": "S", **given}, {"name": "T"})

    assert made["size"] == 1
    body = {"aud_segment": [str(made["id"])], "msg_wechatoa": [message]}
    assert targets(caller(business).post("sent", body)) == {"a": ""}
    gone(api, one)


# -- as the guide has it ---------------------------------------------------------------
@pytest.mark.parametrize("guide", ["jums-api.md", "jums-api.zh-CN.md"])
def test_the_guides_first_message_works_as_it_is_printed(template, business, guide):
    printed = (Path(__file__).parents[2] / "docs" / guide).read_text()
    calls = re.findall(r"\$JUMS/v1/(\S+)[\s\\]+-d '([^']+)'", printed)

    answers = [caller(business).post(path, body) for path, body in calls]

    assert [path for path, _body in calls] == ["user/opt", "sent"]
    assert answers[0].json()["data"] == {"success": ["zhangsan"], "fail": []}
    assert targets(answers[1]) == {"zhangsan": ""}


# -- all of it, for one message --------------------------------------------------------
def test_a_message_of_a_business_system_is_seen_through_the_resource_api(
    api, message, business, wechat
):
    imported(
        api,
        f"userid,wechatoa_openid\nzhangsan,{openid(wechat.appid, 1)}\n",
        channel="demo",
        mode="set",
    )

    body = {"aud_userid": ["zhangsan"], "msg_wechatoa": [message]}
    msgid = caller(business).post("sent", body).json()["msgid"]
    preparing.prepare(Send.objects.get().pk)
    sending.drain(Channel.objects.get().pk)
    receipts.apply_waiting(Channel.objects.get().pk)

    send = api.get(f"/api/sends/{msgid}/").json()
    assert (send["source"], send["total"], send["counts"]["accepted"]) == ("api", 1, 1)
    (one,) = listed(api, f"/api/sends/{msgid}/deliveries/")
    assert (one["userid"], one["status"]) == ("zhangsan", "accepted")
    assert one["wechat_msgid"].isdecimal()
    assert BusinessChannel.objects.get().last_used_at
