import pytest

from channels_wechat import checking, recognising
from tests.factories import ChannelFactory

pytestmark = pytest.mark.django_db


def checked(account):
    channel = ChannelFactory(appid=account["appid"], app_secret=account["secret"])
    return channel, {found.check: found for found in checking.check(channel)}


def test_a_test_account_is_recognised_with_what_it_cannot_do(at_sandbox):
    channel, found = checked(at_sandbox.add_account(kind="test"))

    assert "测试号" in found["account"].detail
    assert "100 followers" in found["account"].fix
    assert "subscribe-notifications" in found["account"].fix
    assert recognising.was_found(channel)


def test_a_service_account_is_none(at_sandbox):
    account = at_sandbox.account()

    channel, found = checked({"appid": at_sandbox.appid, **account})

    assert "account" not in found
    assert not recognising.was_found(channel)


@pytest.mark.parametrize(
    ("limit", "is_test"), [(None, False), (0, False), (100, True), (500, False)]
)
def test_the_quota_of_the_follower_list_tells(limit, is_test):
    assert recognising.is_test_limit(limit) == is_test
