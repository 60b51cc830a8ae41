"""Test accounts (测试号): how to tell one, and what it cannot do.

WeChat does not say what kind an account is. Its quotas do: a test account may read its
list of followers 100 times a day, every other one at least 500 times.

Source: developers.weixin.qq.com/doc/offiaccount/Message_Management/API_Call_Limits.html
and the page of test accounts (read 2026-11).
"""

from collections.abc import Iterator
from typing import Final

from django.utils.translation import gettext, gettext_noop

from .findings import Found, Sentence
from .models import Channel
from .wechat.errors import WeChatError

LIST_PATH: Final = "/cgi-bin/user/get"
TEST_LIMIT: Final = 100

_IS_TEST = gettext_noop("By its quotas this is a test account (测试号).")
_CANNOT: Final = (
    gettext_noop(
        "At most 100 followers, and only they can open pages that ask WeChat."
    ),
    gettext_noop("No subscribe-notifications and no template library."),
    gettext_noop("Pushes in plain text only: choose the callback mode plain."),
    gettext_noop(
        "Quotas of about a tenth; values of templates are not checked as strictly."
    ),
    gettext_noop("It cannot be authorised to a third-party platform."),
)


def is_test_limit(daily_limit: int | None) -> bool:
    """Whether so many calls of the follower list a day are a test account's."""
    return daily_limit is not None and 0 < daily_limit <= TEST_LIMIT


def cannot() -> list[str]:
    """Return what a test account cannot do, in the language that is active now."""
    return [gettext(sentence) for sentence in _CANNOT]


def finding(channel: Channel) -> Iterator[Found]:
    """Yield what to know about a test account, nothing about another one."""
    try:
        quota = channel.client().quota(LIST_PATH)
    except WeChatError:
        return  # other findings tell what is wrong
    if is_test_limit(quota.daily_limit):
        fix = [Sentence(sentence) for sentence in _CANNOT]
        yield Found("account", "warn", [Sentence(_IS_TEST)], fix)


def was_found(channel: Channel) -> bool:
    """Whether the channel's last check found a test account."""
    return any(found[0] == "account" for found in channel.findings)
