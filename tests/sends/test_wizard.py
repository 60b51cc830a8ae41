"""A send made in steps, as an operator's browser does it."""

import io
from datetime import timedelta

import openpyxl
import pytest
import responses
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from sends import audience, preflight, preparing
from sends.models import AudienceRow, Delivery, Send
from tests.factories import (
    ChannelFactory,
    OpenIDFactory,
    RecipientFactory,
    SendFactory,
    TagFactory,
    TemplateFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db(transaction=True)
MAY = ["view_send", "add_send", "delete_send", "submit_send", "control_send"]


@pytest.fixture(autouse=True)
def storage(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    cache.clear()


@pytest.fixture
def operator(client):
    user = UserFactory()
    user.user_permissions.set(Permission.objects.filter(codename__in=MAY))
    client.force_login(user)
    return user


@pytest.fixture
def template():
    return TemplateFactory()


@pytest.fixture
def zhang(template):
    return OpenIDFactory(channel=template.channel, recipient__userid="zhangsan")


@pytest.fixture
def draft(template, zhang):
    return SendFactory(template=template, title="Weekly")


def to(send, step="change", *more):
    return reverse(f"admin:sends_send_{step}", args=[send.pk, *more])


def post(client, send, step, **answers):
    return client.post(to(send, step), answers)


def accepted_check(client, draft):
    """Look at the check, as the page asks for, and go on from it."""
    client.get(to(draft, "check"))
    return post(client, draft, "check", accept="on")


# -- 1 template ------------------------------------------------------------------------


def test_a_draft_begins_with_a_channel_and_a_template(client, operator, template):
    answer = client.post(
        reverse("admin:sends_send_add"),
        {"channel": template.channel.pk, "template": template.pk, "title": ""},
    )

    draft = Send.objects.get()
    assert answer.url == to(draft, "audience")
    assert (draft.status, draft.title) == ("draft", template.title)
    assert draft.created_by == operator


def test_looking_at_the_first_step_makes_no_draft(client, operator, template):
    page = client.get(reverse("admin:sends_send_add"), {"template": template.pk})

    assert page.status_code == 200
    assert "Weekly" in page.text  # the example, on the phone
    assert not Send.objects.exists()


def test_a_removed_template_is_refused(client, operator):
    gone = TemplateFactory(removed_at=timezone.now())

    answer = client.post(
        reverse("admin:sends_send_add"),
        {"channel": gone.channel.pk, "template": gone.pk},
    )

    assert "was removed at WeChat" in answer.text
    assert not Send.objects.exists()


def test_a_template_of_another_channel_is_refused(client, operator, template):
    answer = client.post(
        reverse("admin:sends_send_add"),
        {"channel": ChannelFactory().pk, "template": template.pk},
    )

    assert "belongs to another channel" in answer.text


def test_a_disabled_channel_is_not_offered(client, operator, template):
    template.channel.enabled = False
    template.channel.save()

    page = client.get(reverse("admin:sends_send_add"))

    assert "There is no channel that could send" in page.text


# -- 2 audience ------------------------------------------------------------------------


def test_everyone_is_one_click(client, operator, draft):
    answer = post(client, draft, "audience", kind="all")

    assert answer.url == to(draft, "values")


def test_tags_are_offered_with_how_many_have_them(client, operator, draft, zhang):
    TagFactory(recipient=zhang.recipient, name="vip-gold")

    page = client.get(to(draft, "audience"))
    answer = post(client, draft, "audience", kind="tags", tags=["vip-gold"])

    assert "vip-gold <small" in page.text
    assert answer.url == to(draft, "values")
    draft.refresh_from_db()
    assert (draft.audience, draft.tags) == ("tags", ["vip-gold"])


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("tags", "Choose at least one tag."),
        ("paste", "Paste at least one userid or openID."),
        ("file", "Choose a file."),
        ("", "Say who shall get the message."),
    ],
)
def test_an_empty_choice_gets_its_sentence(client, operator, draft, kind, sentence):
    answer = post(client, draft, "audience", kind=kind)

    assert sentence in answer.text


def test_a_pasted_list_shows_what_it_was_taken_for_and_what_becomes_of_it(
    client, operator, draft
):
    RecipientFactory(userid="lisi")

    answer = post(
        client, draft, "audience", kind="paste", pasted="zhangsan\nzhangsan\nlisi\nno"
    )
    page = client.get(answer.url)

    assert "taken as userids" in page.text
    counts = page.context["counts"]
    assert (counts.to_send, counts.no_openid, counts.no_recipient) == (1, 1, 1)
    assert counts.duplicate == 1


def test_a_bad_file_gets_its_sentence(client, operator, draft):
    file = SimpleUploadedFile("people.xlsx", b"no workbook at all")

    answer = post(client, draft, "audience", kind="file", file=file)

    assert answer.status_code == 200
    assert "the content is no Excel workbook" in answer.text


def test_a_large_list_shows_how_far_it_is(client, operator, draft):
    ids = "\n".join(f"user-{n:07d}" for n in range(30_000))

    answer = post(client, draft, "audience", kind="paste", pasted=ids)
    page = client.get(answer.url)
    state = client.get(to(draft, "reading"))

    assert "Reading the list" in page.text
    assert "Waiting for a worker" in state.text
    assert "X-Live" not in state


# -- 3 values --------------------------------------------------------------------------


def test_columns_named_like_fields_are_put_in_at_once(client, operator, draft):
    Send.objects.filter(pk=draft.pk).update(data={})
    file = SimpleUploadedFile("p.csv", b"userid,Topic,amount\nzhangsan,Weekly,7\n")
    post(client, draft, "audience", kind="file", file=file)

    page = client.get(to(draft, "values"))

    assert 'value="{{Topic}}"' in page.text
    assert 'data-chip="amount"' in page.text
    assert 'data-chip="openid"' in page.text


def test_values_are_kept_and_lead_to_the_check(client, operator, draft):
    answers = {"value-thing1": "Hi {{userid}}", "value-time2": "10:00"}

    answer = post(client, draft, "values", **answers, url="https://example.com")

    draft.refresh_from_db()
    assert answer.url == to(draft, "check")
    assert draft.data == {"thing1": "Hi {{userid}}", "time2": "10:00"}
    assert draft.url == "https://example.com"


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"value-thing1": ""}, "Fill this in."),
        ({"value-thing1": "{{nothing}}"}, "No column is called nothing."),
        ({"miniprogram_appid": "1"}, "wx followed by 16"),
        ({"miniprogram_path": "pages/a"}, "needs the mini-program&#x27;s AppID"),
    ],
)
def test_wrong_values_are_told_and_not_lost(client, operator, draft, answers, sentence):
    given = {"value-thing1": "Typed", "value-time2": "10:01", **answers}

    answer = post(client, draft, "values", **given)

    draft.refresh_from_db()
    assert sentence in answer.text
    assert 'value="10:01"' in answer.text
    assert draft.data["time2"] == "10:00"


def test_the_phone_shows_what_is_typed_without_keeping_it(client, operator, draft):
    answer = post(
        client, draft, "preview", typed="1", **{"value-thing1": "For {{userid}}"}
    )

    draft.refresh_from_db()
    assert "For zhangsan" in answer.text
    assert draft.data["thing1"] == "Weekly"


def test_the_phone_turns_to_others_and_finds_one(client, operator, draft):
    OpenIDFactory(channel=draft.channel, recipient__userid="lisi")

    first = post(client, draft, "preview")
    seen = first.context["person"].id
    then = post(client, draft, "preview", turn="next", seen=seen)
    end = post(client, draft, "preview", turn="next", seen=then.context["person"].id)
    back = post(client, draft, "preview", turn="previous", seen=seen + 1)
    found = post(client, draft, "preview", q="lisi")
    missed = post(client, draft, "preview", q="nobody", seen=seen)

    assert first.context["person"].userid == "zhangsan"
    assert then.context["person"].userid == "lisi"
    assert "end of the list" in end.text
    assert back.context["person"].userid == "zhangsan"
    assert found.context["person"].userid == "lisi"
    assert "Nobody in the audience" in missed.text


# -- 4 check ---------------------------------------------------------------------------


@pytest.fixture
def bad_value(client, operator, draft):
    """Two people, one of them with a value that is too long."""
    OpenIDFactory(channel=draft.channel, recipient__userid="lisi")
    file = SimpleUploadedFile(
        "p.csv", b"userid,topic\nzhangsan,Weekly\nlisi," + b"x" * 21 + b"\n"
    )
    post(client, draft, "audience", kind="file", file=file)
    Send.objects.filter(pk=draft.pk).update(
        data={"thing1": "{{topic}}", "time2": "10:00"}
    )
    return draft


def test_a_bad_value_must_be_agreed_to(client, bad_value):
    page = client.get(to(bad_value, "check"))
    without = post(client, bad_value, "check")
    early = client.get(to(bad_value, "confirm"))
    agreed = post(client, bad_value, "check", accept="on")
    confirm = client.get(to(bad_value, "confirm"))

    assert "1 person has a value that WeChat would refuse" in page.text
    assert "Topic has 21 characters; WeChat takes 20." in page.text
    assert without.url == early.url == to(bad_value, "check")
    assert agreed.url == to(bad_value, "confirm")
    assert confirm.context["receiving"] == 1


def test_the_problems_come_as_a_workbook(client, bad_value):
    answer = client.get(to(bad_value, "problems", "xlsx"))

    book = openpyxl.load_workbook(io.BytesIO(answer.getvalue()))
    rows = list(book.active.values)
    assert rows[0][:4] == ("row", "userid", "openid", "field")
    assert rows[1][:2] == (3, "lisi")
    assert rows[1][3:5] == ("Topic", "x" * 21)


def test_a_test_send_goes_to_one_phone_ahead_of_all(client, operator, draft, zhang):
    person = client.get(to(draft, "check")).context["person"]
    answers = {"person": person.id, "token": "once", "to": ""}

    answer = post(client, draft, "test", **answers)
    again = post(client, draft, "test", **answers)
    page = client.get(answer.url)

    test = Send.objects.get(source=Send.Source.TEST)
    assert (test.priority, test.status) == (1, "preparing")
    assert [r.openid for r in test.rows.all()] == [zhang.openid]
    assert again.url == to(draft, "check")  # a double click sends one
    assert page.context["test"]["send"] == test


def test_a_test_may_go_to_somebody_else_with_these_values(client, operator, draft):
    Send.objects.filter(pk=draft.pk).update(
        data={"thing1": "Hi {{phone}}", "time2": "10:00"}
    )
    draft.refresh_from_db()
    person = client.get(to(draft, "check")).context["person"]
    mine = "oME" + "0" * 25

    post(client, draft, "test", person=person.id, token="t", to=mine)

    test = Send.objects.get(source=Send.Source.TEST)
    assert [(r.userid, r.openid) for r in test.rows.all()] == [("", mine)]


# -- 5 confirm -------------------------------------------------------------------------


def test_confirming_twice_submits_once(client, operator, draft):
    accepted_check(client, draft)

    first = post(client, draft, "confirm", when="now")
    submitted = Send.objects.get(pk=draft.pk).submitted_at
    second = post(client, draft, "confirm", when="now")
    reloaded = client.get(to(draft, "confirm"))

    assert first.url == second.url == reloaded.url == to(draft)
    draft.refresh_from_db()
    assert (draft.status, draft.submitted_at) == ("preparing", submitted)


def test_a_few_may_go_first(client, operator, draft):
    audience.stage(draft, [], [("", f"o{n:027}") for n in range(60)])
    preflight.check(draft.pk)
    accepted_check(client, draft)
    offered = client.get(to(draft, "confirm")).text

    post(client, draft, "confirm", when="now", canary="on")
    preparing.prepare(draft.pk)

    assert "To 50 people first" in offered
    draft.refresh_from_db()
    assert (draft.status, draft.canary) == ("running", "waiting")
    assert "50 people go first" in client.get(to(draft)).text


def test_a_time_is_taken_in_the_operators_zone(client, operator, draft):
    accepted_check(client, draft)
    client.cookies["jums_tz"] = "America/New_York"
    at = timezone.now() + timedelta(days=2)

    post(client, draft, "confirm", when="later", at=f"{at:%Y-%m-%d}T09:30")

    draft.refresh_from_db()
    assert draft.status == Send.Status.SCHEDULED
    assert f"{draft.scheduled_for:%H:%M}" in {"13:30", "14:30"}


def test_a_time_in_the_past_is_refused(client, operator, draft):
    accepted_check(client, draft)

    answer = post(client, draft, "confirm", when="later", at="2020-01-01T09:30")

    assert "This time has passed already." in answer.text
    assert Send.objects.get(pk=draft.pk).status == Send.Status.DRAFT


def test_what_changed_after_the_check_must_be_checked_again(client, operator, draft):
    accepted_check(client, draft)
    draft.refresh_from_db()
    draft.data["thing1"] = "Something else"
    draft.save()

    answer = post(client, draft, "confirm", when="now")

    assert answer.url == to(draft, "check")
    assert Send.objects.get(pk=draft.pk).status == Send.Status.DRAFT


def test_a_template_removed_meanwhile_stops_the_send(client, operator, draft):
    accepted_check(client, draft)
    draft.template.removed_at = timezone.now()
    draft.template.save()

    answer = post(client, draft, "confirm", when="now")

    assert answer.url == to(draft, "template")


@responses.activate
def test_the_confirmation_asks_what_wechat_takes_today(client, operator, draft):
    base = "http://127.0.0.1:9/cgi-bin"
    responses.post(
        f"{base}/stable_token", json={"access_token": "T", "expires_in": 7200}
    )
    quota = {"daily_limit": 100000, "used": 98800, "remain": 1200}
    responses.post(
        f"{base}/openapi/quota/get",
        json={"errcode": 0, "errmsg": "ok", "quota": quota},
    )

    enough = client.get(to(draft, "quota"), {"people": 1200})
    short = client.get(to(draft, "quota"), {"people": 1201})

    assert "WeChat takes 1,200 more messages" in enough.text
    assert "1,200 of 100,000 messages are left today." in short.text
    assert enough["X-Live"] == short["X-Live"] == "stop"
    assert sum("quota" in call.request.url for call in responses.calls) == 1


def test_a_wechat_that_does_not_answer_is_no_obstacle(client, operator, draft):
    answer = client.get(to(draft, "quota"), {"people": 7})

    assert answer.status_code == 200
    assert "WeChat did not tell" in answer.text


def test_how_late_and_how_urgent_can_be_chosen(client, operator, draft):
    accepted_check(client, draft)
    at = (timezone.localtime() + timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M")

    post(client, draft, "confirm", when="later", at=at, late="4", priority="1")

    draft.refresh_from_db()
    assert (draft.status, draft.late_within_h, draft.priority) == ("scheduled", 4, 1)


# -- around it -------------------------------------------------------------------------


def test_a_draft_opens_at_the_step_where_work_goes_on(client, operator, draft):
    Send.objects.filter(pk=draft.pk).update(data={})

    assert client.get(to(draft)).url == to(draft, "audience")


def test_only_drafts_can_be_deleted(client, operator, draft):
    post(client, draft, "audience", kind="paste", pasted="zhangsan")
    post(client, draft, "delete")

    assert not Send.objects.exists()
    assert not AudienceRow.objects.exists()

    running = SendFactory(status=Send.Status.RUNNING)
    post(client, running, "delete")
    assert Send.objects.filter(pk=running.pk).exists()


def test_nothing_of_a_submitted_send_can_be_edited(client, operator, draft):
    Send.objects.filter(pk=draft.pk).update(status=Send.Status.RUNNING)

    for step in ("template", "audience", "values", "check", "confirm"):
        assert post(client, draft, step, kind="all").url == to(draft)


@pytest.mark.parametrize("missing", MAY)
def test_each_permission_is_needed(client, operator, draft, missing):
    operator.user_permissions.remove(Permission.objects.get(codename=missing))
    running = SendFactory(status=Send.Status.RUNNING)
    calls = {
        "view_send": lambda: client.get(to(running)),
        "add_send": lambda: client.get(to(draft, "values")),
        "delete_send": lambda: post(client, draft, "delete"),
        "submit_send": lambda: post(client, draft, "confirm", when="now"),
        "control_send": lambda: client.post(to(running, "act", "pause")),
    }

    assert calls[missing]().status_code == 403


def test_a_link_cannot_pause_or_delete(client, operator, draft):
    assert client.get(to(draft, "act", "pause")).status_code == 405
    assert client.get(to(draft, "delete")).status_code == 405


def test_strangers_are_sent_to_the_login(client, draft):
    answer = client.get(to(draft))

    assert answer.status_code == 302
    assert "/login/" in answer.url
    assert not Delivery.objects.exists()
