"""Every value of every person, before anything is sent."""

import pytest

from sends import audience, control, preflight
from sends.models import Send
from tests.factories import OpenIDFactory, SendFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def draft():
    return SendFactory(data={"thing1": "{{topic}}", "time2": "10:00"})


def bind(draft, **topics: str) -> None:
    """Put people with a topic each into the audience, all bound to the channel."""
    for userid in topics:
        OpenIDFactory(channel=draft.channel, recipient__userid=userid)
    rows = [(userid, "", topic) for userid, topic in topics.items()]
    audience.stage(draft, ["topic"], rows)


def told(report) -> list[tuple]:
    return [(g.key, g.code, g.limit, g.lines, g.blocks) for g in report.groups]


def test_problems_are_counted_by_field_and_kind(draft):
    bind(draft, zhang="Weekly", li="x" * 21, wang="", zhao="y" * 30)

    report = preflight.start(draft)

    assert (report.state, report.total, report.bad) == ("done", 4, 3)
    assert told(report) == [
        ("thing1", "too_long", 20, 2, True),
        ("thing1", "empty", 0, 1, True),
    ]
    assert [example[1] for example in report.examples] == ["li", "wang", "zhao"]
    assert not report.blocks


def test_people_who_are_skipped_anyway_are_not_checked(draft):
    bind(draft, zhang="Weekly")
    audience.stage(draft, ["topic"], [("zhang", "", "Weekly"), ("nobody", "", "")])

    report = preflight.start(draft)

    assert (report.checked, report.bad) == (1, 0)


def test_a_person_on_several_lines_gets_the_first_that_fits(draft):
    bind(draft, zhang="Weekly", li="x" * 21)
    audience.stage(
        draft,
        ["topic"],
        [
            ("zhang", "", "x" * 21),
            ("zhang", "", "Weekly"),
            ("li", "", "x" * 21),
            ("li", "", "y" * 21),
        ],
    )

    report = preflight.start(draft)

    assert (report.checked, report.people, report.bad) == (4, 2, 1)


def test_a_constant_that_nobody_would_get_blocks(draft):
    draft.data = {"thing1": "{{topic}}", "time2": "tomorrow"}
    draft.save()
    bind(draft, zhang="Weekly")

    report = preflight.start(draft)

    assert report.blocks
    assert report.constants == [["time2", "not_a_time", 0, 0]]


def test_a_placeholder_that_nothing_fills_blocks(draft):
    draft.data["thing1"] = "{{subject}}"
    draft.save()
    bind(draft, zhang="Weekly")

    report = preflight.start(draft)

    assert report.unknown_names == ["subject"]
    assert report.blocks


def test_a_shortened_value_of_a_historical_template_only_warns(draft):
    draft.template.fields = [{"key": "keyword1", "label": "Topic", "type": ""}]
    draft.template.save()
    draft.data = {"keyword1": "{{topic}}"}
    draft.save()
    bind(draft, zhang="x" * 25)

    report = preflight.start(draft)

    assert (report.bad, report.warned, report.blocks) == (0, 1, False)


@pytest.mark.parametrize(
    ("link", "code"),
    [
        ("{{topic}}", "bad_link"),
        ("https://example.com/{{topic}}", None),
        ("javascript:alert(1)", "bad_link"),
    ],
)
def test_a_link_is_checked_too(draft, link, code):
    draft.url = link
    draft.save()
    bind(draft, zhang="Weekly")

    report = preflight.start(draft)

    codes = {g.code for g in report.groups} | {c[1] for c in report.constants}
    assert codes == ({code} if code else set())


def test_the_check_is_kept_until_something_changes(draft):
    bind(draft, zhang="Weekly")
    first = preflight.start(draft)

    assert preflight.start(draft).id == first.id
    draft.data["thing1"] = "All: {{topic}}"
    draft.save()
    assert preflight.report_of(draft) is None
    assert preflight.start(draft).id != first.id


def test_a_large_audience_is_left_to_a_worker(draft, monkeypatch):
    monkeypatch.setattr(preflight, "SMALL", 1)
    bind(draft, zhang="Weekly", li="x" * 21)

    waiting = preflight.start(draft)
    preflight.check(draft.pk)
    draft.refresh_from_db()
    done = preflight.report_of(draft)

    assert (waiting.state, waiting.total) == ("waiting", 2)
    assert (done.state, done.checked, done.bad) == ("done", 2, 1)


def test_a_submitted_send_is_not_checked_again(draft):
    bind(draft, zhang="Weekly")
    Send.objects.filter(pk=draft.pk).update(status=Send.Status.RUNNING)

    with pytest.raises(control.WrongState):
        preflight.start(draft)


def test_what_the_check_counts_as_bad_is_what_preparing_skips(draft):
    from sends import preparing

    bind(draft, zhang="Weekly", li="x" * 21)
    report = preflight.start(draft)

    Send.objects.filter(pk=draft.pk).update(status=Send.Status.PREPARING)
    preparing.prepare(draft.pk)

    skipped = draft.deliveries.filter(reason="bad_value")
    assert [d.userid for d in skipped] == ["li"]
    assert report.bad == 1
