from datetime import UTC, datetime, timedelta

import pytest
import responses
from django.conf import settings as django_settings
from django.utils import timezone
from responses import matchers

from tests.factories import ChannelFactory, OpenIDFactory
from users import binding, followers
from users.models import Follower, FollowerSync, OpenID

pytestmark = pytest.mark.django_db

LIST = f"{django_settings.WECHAT_API_BASE}/cgi-bin/user/get"
TOKEN = f"{django_settings.WECHAT_API_BASE}/cgi-bin/stable_token"
QUOTA = f"{django_settings.WECHAT_API_BASE}/cgi-bin/openapi/quota/get"


def openid(number):
    return f"o{number:027d}"


@pytest.fixture
def channel():
    return ChannelFactory(code="shop")


@pytest.fixture
def wechat():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as calls:
        calls.post(TOKEN, json={"access_token": "t", "expires_in": 7200})
        quota = {"daily_limit": 500, "used": 3, "remain": 497}
        calls.post(QUOTA, json={"errcode": 0, "errmsg": "ok", "quota": quota})
        yield calls


def page(wechat, after, numbers, total, next_openid=None, **body):
    """WeChat's page after an openid; without `data` when there are none, as it does."""
    openids = [openid(number) for number in numbers]
    if openids:
        body["data"] = {"openid": openids}
        next_openid = next_openid or openids[-1]
    answer = {"total": total, "count": len(openids), **body}
    answer["next_openid"] = next_openid or ""
    asked = {"access_token": "t", **({"next_openid": after} if after else {})}
    return wechat.get(LIST, json=answer, match=[matchers.query_param_matcher(asked)])


def run(channel):
    followers.begin(channel)
    followers.synchronise(channel.pk)
    return FollowerSync.objects.get(channel=channel)


def known(channel):
    found = Follower.objects.following(channel.pk)
    return sorted(found.values_list("openid", flat=True))


def test_a_list_of_one_page_is_read_in_one_call(channel, wechat):
    call = page(wechat, "", [1, 2, 3], 3)

    sync = run(channel)

    assert known(channel) == [openid(1), openid(2), openid(3)]
    assert (sync.status, sync.read, sync.total) == ("finished", 3, 3)
    assert sync.calls_left == 497
    assert call.call_count == 1  # a next_openid came, though nothing follows


def test_pages_follow_one_another_to_the_end_without_data(channel, wechat):
    page(wechat, "", [1, 2], 0)
    page(wechat, openid(2), [3], 0)
    page(wechat, openid(3), [], 0, next_openid=openid(3))

    sync = run(channel)

    assert known(channel) == [openid(1), openid(2), openid(3)]
    assert (sync.status, sync.read) == ("finished", 3)


def test_an_account_without_followers_is_read_too(channel, wechat):
    page(wechat, "", [], 0)

    assert (run(channel).status, known(channel)) == ("finished", [])


def test_our_peoples_openids_are_marked(channel, wechat):
    stays = OpenIDFactory(channel=channel, openid=openid(1))
    left = OpenIDFactory(channel=channel, openid=openid(8), followed=True)
    elsewhere = OpenIDFactory(openid=openid(8), followed=True)
    page(wechat, "", [1], 1)

    run(channel)

    for row in (stays, left, elsewhere):
        row.refresh_from_db()
    assert (stays.followed, left.followed, elsewhere.followed) == (True, False, True)


def test_who_is_no_longer_listed_is_forgotten(channel, wechat):
    long_ago = timezone.now() - timedelta(days=1)
    Follower.objects.heard(channel.pk, [(openid(9), True, long_ago)])
    Follower.objects.heard(ChannelFactory().pk, [(openid(9), True, long_ago)])
    page(wechat, "", [1], 1)

    run(channel)

    assert known(channel) == [openid(1)]
    assert Follower.objects.count() == 2


def test_an_event_during_the_reading_counts_more_than_the_list(channel, wechat):
    row = OpenIDFactory(channel=channel, openid=openid(1), followed=True)
    soon = timezone.now() + timedelta(seconds=30)
    followers.heard(channel.pk, [(openid(1), False, soon), (openid(2), True, soon)])
    OpenID.objects.filter(pk=row.pk).update(followed=False, followed_at=soon)
    page(wechat, "", [1, 3], 2)

    run(channel)

    row.refresh_from_db()
    assert row.followed is False
    assert known(channel) == [openid(2), openid(3)]


def test_a_list_that_ends_too_early_marks_nobody_as_having_left(channel, wechat):
    row = OpenIDFactory(channel=channel, openid=openid(8), followed=True)
    page(wechat, "", [1, 2], 30_000)
    page(wechat, openid(2), [], 30_000)

    sync = run(channel)

    row.refresh_from_db()
    assert (sync.status, row.followed) == ("waiting", True)
    assert (sync.read, sync.next_openid) == (2, openid(2))


def test_a_page_costs_as_many_queries_as_the_next(
    channel, wechat, django_assert_max_num_queries
):
    numbers = range(10_000)
    page(wechat, "", numbers, 10_000)
    channel.client().quota("x")
    followers.begin(channel)

    with django_assert_max_num_queries(40):
        followers.synchronise(channel.pk)

    assert Follower.objects.count() == 10_000


# -- stops, and going on ---------------------------------------------------------------


def test_a_used_up_quota_waits_for_chinas_midnight_and_goes_on(channel, wechat):
    page(wechat, "", [1, 2], 3)
    used_up = wechat.get(
        LIST,
        json={"errcode": 45009, "errmsg": "reach max api daily quota limit"},
        match=[
            matchers.query_param_matcher(
                {"access_token": "t", "next_openid": openid(2)}
            )
        ],
    )
    sync = run(channel)
    assert (sync.status, sync.errcode, sync.read) == ("waiting", 45009, 2)
    assert sync.try_at == followers.next_midnight()
    assert followers.due() == []

    wechat.remove(used_up)
    last = page(wechat, openid(2), [3], 3)
    FollowerSync.objects.update(try_at=timezone.now())
    assert followers.due() == [channel.pk]
    followers.synchronise(channel.pk)

    sync.refresh_from_db()
    assert (sync.status, sync.read, sync.errcode) == ("finished", 3, None)
    assert known(channel) == [openid(1), openid(2), openid(3)]
    assert last.call_count == 1


def test_midnight_is_chinas():
    evening = datetime(2026, 11, 22, 15, 59, tzinfo=UTC)

    assert followers.next_midnight(evening) == datetime(2026, 11, 22, 16, 1, tzinfo=UTC)
    later = datetime(2026, 11, 22, 16, 30, tzinfo=UTC)
    assert followers.next_midnight(later) == datetime(2026, 11, 23, 16, 1, tzinfo=UTC)


def test_passing_faults_are_tried_again_then_given_up(channel, wechat):
    wechat.get(LIST, json={"errcode": -1, "errmsg": "system error"})
    sync = run(channel)
    waits = []
    while sync.status == "waiting":
        waits.append(round((sync.try_at - timezone.now()).total_seconds()))
        FollowerSync.objects.update(try_at=timezone.now())
        followers.synchronise(channel.pk)
        sync.refresh_from_db()

    assert waits == [10, 20, 40, 80, 160]
    assert (sync.status, sync.errcode) == ("failed", -1)


def test_a_refusal_ends_it_until_an_operator_goes_on(channel, wechat):
    page(wechat, "", [1], 2)
    refusal = wechat.get(
        LIST,
        json={"errcode": 48001, "errmsg": "api unauthorized"},
        match=[
            matchers.query_param_matcher(
                {"access_token": "t", "next_openid": openid(1)}
            )
        ],
    )
    sync = run(channel)
    assert (sync.status, sync.errcode) == ("failed", 48001)

    wechat.remove(refusal)
    page(wechat, openid(1), [2], 2)
    assert followers.go_on(channel)
    followers.synchronise(channel.pk)

    sync.refresh_from_db()
    assert (sync.status, sync.read) == ("finished", 2)


def test_a_dead_workers_list_is_read_on_from_its_last_page(channel, wechat):
    first = page(wechat, "", [1], 2)
    page(wechat, openid(1), [2], 2)
    followers.begin(channel)
    FollowerSync.objects.update(
        status="running",
        attempt=1,
        started_at=timezone.now(),
        read=1,
        total=2,
        next_openid=openid(1),
        heartbeat_at=timezone.now() - timedelta(minutes=5),
    )
    Follower.objects.listed(channel.pk, [openid(1)], timezone.now())

    assert followers.due() == [channel.pk]
    followers.synchronise(channel.pk)

    assert FollowerSync.objects.get().status == "finished"
    assert known(channel) == [openid(1), openid(2)]
    assert first.call_count == 0


def test_while_one_worker_reads_another_leaves_it_alone(channel, wechat):
    followers.begin(channel)
    FollowerSync.objects.update(status="running", heartbeat_at=timezone.now())

    followers.synchronise(channel.pk)

    assert not followers.begin(channel)
    assert len(wechat.calls) == 0


# -- events ----------------------------------------------------------------------------


def test_the_newer_word_counts_in_any_order(channel):
    now = timezone.now()
    followers.heard(channel.pk, [(openid(1), False, now)])
    followers.heard(channel.pk, [(openid(1), True, now - timedelta(minutes=1))])

    assert known(channel) == []


def test_an_openid_bound_later_follows_as_we_have_heard(channel):
    now = timezone.now()
    followers.heard(channel.pk, [(openid(1), True, now), (openid(2), False, now)])

    for number, userid in enumerate(("stays", "left", "unknown"), 1):
        binding.bind(channel, userid, openid(number))

    rows = OpenID.objects.values_list("recipient__userid", "followed")
    assert dict(rows) == {"stays": True, "left": False, "unknown": None}


def test_who_is_bound_to_nobody_is_named(channel):
    now = timezone.now()
    followers.heard(channel.pk, [(openid(n), True, now) for n in (1, 2)])
    OpenIDFactory(channel=channel, openid=openid(1))
    OpenIDFactory(openid=openid(2))  # of another channel

    unbound = Follower.objects.following(channel.pk).unbound()

    assert [row.openid for row in unbound] == [openid(2)]


# -- watching --------------------------------------------------------------------------


def test_a_new_follower_arrives_by_an_event(channel):
    hour = timedelta(hours=1)
    followers.heard(channel.pk, [(openid(1), True, timezone.now() - hour)])
    sync = followers.watch(channel)

    followers.heard(channel.pk, [(openid(2), True, timezone.now())])

    assert [row.openid for row in followers.arrivals(sync, 10)] == [openid(2)]


def test_who_leaves_and_follows_again_arrives_too(channel):
    hour = timedelta(hours=1)
    followers.heard(channel.pk, [(openid(1), True, timezone.now() - hour)])
    sync = followers.watch(channel)

    now = timezone.now()
    followers.heard(channel.pk, [(openid(1), False, now)])
    assert followers.arrivals(sync, 10) == []
    followers.heard(channel.pk, [(openid(1), True, now + timedelta(seconds=1))])

    assert [row.openid for row in followers.arrivals(sync, 10)] == [openid(1)]


def test_a_first_list_makes_nobody_new_but_a_second_one_does(channel, wechat):
    sync = followers.watch(channel)
    first = page(wechat, "", [1, 2], 2)
    run(channel)
    assert followers.arrivals(sync, 10) == []

    sync = followers.watch(channel)
    wechat.remove(first)
    page(wechat, "", [1, 2, 3], 3)
    run(channel)

    assert [row.openid for row in followers.arrivals(sync, 10)] == [openid(3)]
