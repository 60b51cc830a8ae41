"""Who a send goes to. Runs on SQLite and on PostgreSQL: the SQL is ours."""

import pytest

from sends import audience
from sends.models import Send
from tests.factories import (
    ChannelFactory,
    OpenIDFactory,
    RecipientFactory,
    SendFactory,
    TagFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def send():
    return SendFactory()


@pytest.fixture
def zhang(send):
    bound = OpenIDFactory(channel=send.channel, recipient__userid="zhangsan")
    TagFactory(recipient=bound.recipient, name="vip")
    TagFactory(recipient=bound.recipient, name="shanghai")
    return bound


def test_everyone_is_everyone_bound_to_this_channel(send, zhang):
    OpenIDFactory(recipient=zhang.recipient)  # on another channel
    RecipientFactory(userid="unbound")

    people = list(audience.people(send))

    assert [(p.userid, p.openid) for p in people] == [("zhangsan", zhang.openid)]


def test_two_matching_tags_make_one_line(send, zhang):
    TagFactory(recipient__userid="lisi", name="vip")
    send.audience, send.tags = Send.Audience.TAGS, ["vip", "shanghai"]

    people = {p.userid: p.reason for p in audience.people(send)}

    assert people == {"zhangsan": "", "lisi": "no_openid"}


def test_a_list_may_mix_userids_and_openids(send, zhang):
    foreign = OpenIDFactory(channel=ChannelFactory())
    RecipientFactory(userid="lisi")
    lines = [
        ("zhangsan", ""),
        ("", zhang.openid),
        ("", "oStranger0000000000000000000"),
        ("", foreign.openid),
        ("lisi", ""),
        ("nobody", ""),
    ]

    audience.stage(send, [], lines)

    assert [(p.userid, p.openid, p.reason) for p in audience.people(send)] == [
        ("zhangsan", zhang.openid, ""),
        ("zhangsan", zhang.openid, ""),
        ("", "oStranger0000000000000000000", ""),
        ("", foreign.openid, "foreign_openid"),
        ("lisi", "", "no_openid"),
        ("nobody", "", "no_recipient"),
    ]
    assert audience.counts(send) == audience.AudienceCounts(
        to_send=2,
        no_openid=1,
        no_recipient=1,
        foreign_openid=1,
        duplicate=1,
        unfollowed=0,
    )


def test_an_openid_shared_by_two_people_is_one_line(send, zhang):
    OpenIDFactory(channel=send.channel, recipient__userid="alias", openid=zhang.openid)

    audience.stage(send, [], [("", zhang.openid)])

    assert [p.userid for p in audience.people(send)] == ["alias"]


def test_columns_become_variables_and_contact_fields_are_there_when_used(send, zhang):
    zhang.recipient.phone = "13800138000"
    zhang.recipient.save()
    send.data = {"thing1": "{{order}} {{phone}}", "time2": "10:00"}
    audience.stage(send, ["order"], [("zhangsan", "", 'A "1" 你')])

    (person,) = audience.people(send)

    assert person.variables == {
        "userid": "zhangsan",
        "openid": zhang.openid,
        "order": 'A "1" 你',
        "phone": "13800138000",
    }
    assert audience.unknown_names(send) == set()


def test_a_column_of_the_file_wins_over_the_contact_field(send, zhang):
    send.data = {"thing1": "{{phone}}", "time2": "10:00"}
    audience.stage(send, ["phone"], [("zhangsan", "", "from the file")])

    (person,) = audience.people(send)

    assert person.variables["phone"] == "from the file"


def test_an_unknown_placeholder_is_named(send):
    send.data = {"thing1": "{{order}}", "time2": "{{userid}}"}

    assert audience.unknown_names(send) == {"order"}


def test_people_are_read_in_pages(send):
    audience.stage(send, [], [(f"u{n}", "") for n in range(4500)])

    first = list(audience.people(send, limit=3))
    rest = list(audience.people(send, after=first[-1].id))

    assert [p.userid for p in first] == ["u0", "u1", "u2"]
    assert len(rest) == 4497
    assert rest[0].userid == "u3"


def test_someone_who_unfollowed_is_counted_not_hidden(send, zhang):
    zhang.followed = False
    zhang.save()

    counts = audience.counts(send)

    assert (counts.to_send, counts.unfollowed) == (1, 1)
