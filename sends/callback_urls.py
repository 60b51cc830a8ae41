"""The URLs where a business channel hears of its sends: at most five, each verified.

A URL is verified by `GET url?echostr=<32 hex>` with the channel's own credentials; its
answer has to be exactly that text. The first URL becomes the default one, which cannot
be removed: another one has to become the default first.
"""

import secrets
from collections.abc import Collection
from typing import Final

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import BusinessChannel

from . import calling
from .status_models import CallbackURL

AT_MOST: Final = 5
TYPES: Final = {
    0: _("target valid"),
    1: _("target invalid"),
    2: _("submitted"),
    3: _("submission failed"),
    4: _("delivered"),
    5: _("delivery failed"),
    6: _("clicked"),
    7: _("retracted"),
    8: _("retraction failed"),
}


class Unverified(Exception):
    """The URL did not answer with the echostr. `.sentence` says what it did."""

    def __init__(self, sentence: str | Promise) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def __str__(self) -> str:
        return str(self.sentence)


class NotPossible(Exception):
    """`.code` is "too_many", "taken" or "is_default"; `.sentence` is for people."""

    def __init__(self, code: str, sentence: Promise) -> None:
        super().__init__(code, sentence)
        self.code, self.sentence = code, sentence

    def __str__(self) -> str:
        return str(self.sentence)


TAKEN: Final = _("This business channel has this URL already.")
FULL: Final = _("A business channel has at most five callback URLs.")


def find(business_channel: BusinessChannel, url: str) -> CallbackURL | None:
    """Return the channel's verified URL that is exactly `url`, or None."""
    return CallbackURL.objects.filter(
        business_channel=business_channel, url=url, verified_at__isnull=False
    ).first()


def verify(business_channel: BusinessChannel, url: str) -> None:
    """Ask `url` for the echo. Raises calling.URLRefused, Unverified."""
    calling.check_url(url)
    echostr = secrets.token_hex(16)
    joint = "&" if "?" in url else "?"
    try:
        answer = calling.call(
            f"{url}{joint}echostr={echostr}", business_channel, read_bytes=1024
        )
    except calling.CallFailed as failed:
        what, advice = calling.NO_ANSWER[failed.kind]
        raise Unverified(f"{what} {advice} ({failed.reason})") from None
    if answer.status != 200:
        raise Unverified(
            _("The URL answered HTTP %(status)d instead of 200.")
            % {"status": answer.status}
        )
    if answer.body != echostr.encode():
        raise Unverified(_("The URL did not answer with exactly the echostr."))


def add(
    business_channel: BusinessChannel,
    url: str,
    *,
    types: Collection[int] = tuple(TYPES),
    default: bool = False,
) -> CallbackURL:
    """Verify `url` and add it. Raises calling.URLRefused, Unverified, NotPossible."""
    verify_new(business_channel, url)
    return insert_verified(business_channel, url, types=types, default=default)


def verify_new(business_channel: BusinessChannel, url: str) -> None:
    """Verify a URL that there is room for. Raises as `add` does."""
    _check_room(business_channel, url)
    verify(business_channel, url)


def insert_verified(
    business_channel: BusinessChannel,
    url: str,
    *,
    types: Collection[int],
    default: bool,
) -> CallbackURL:
    """Add a URL that was verified a moment ago. Raises NotPossible."""
    with transaction.atomic():
        _lock(business_channel)
        _check_room(business_channel, url)  # again: the check took its time
        row = CallbackURL.objects.create(
            business_channel=business_channel,
            url=url,
            types=sorted(set(types)),
            verified_at=timezone.now(),
        )
        others = CallbackURL.objects.filter(business_channel=business_channel)
        if default or not others.filter(default=True).exists():
            _set_default(row)
    return row


def change(
    row: CallbackURL,
    *,
    url: str | None = None,
    types: Collection[int] | None = None,
    default: bool | None = None,
) -> None:
    """Change what is given; a new URL is verified first.

    Raises calling.URLRefused, Unverified, NotPossible.
    """
    if default is False and row.default:
        raise NotPossible(
            "is_default", _("Make another URL the default one instead of this.")
        )
    if url is not None and url != row.url:
        verify(row.business_channel, url)
        try:
            with transaction.atomic():
                row.url, row.verified_at = url, timezone.now()
                row.save(update_fields=["url", "verified_at"])
        except IntegrityError:
            raise NotPossible("taken", TAKEN) from None
    if types is not None:
        row.types = sorted(set(types))
        row.save(update_fields=["types"])
    if default:
        make_default(row)


def verify_again(row: CallbackURL) -> None:
    """Test a URL. Raises calling.URLRefused, Unverified; it then stays as it is."""
    verify(row.business_channel, row.url)
    row.verified_at = timezone.now()
    row.save(update_fields=["verified_at"])


def make_default(row: CallbackURL) -> None:
    """Let this URL hear of every send that names no other one."""
    with transaction.atomic():
        _lock(row.business_channel)
        _set_default(row)


def remove(row: CallbackURL) -> None:
    """Remove a URL, what it was to be told, and its log. Raises NotPossible."""
    with transaction.atomic():
        # Whoever writes items for it holds a share of this lock until the commit.
        found = CallbackURL.objects.select_for_update().filter(pk=row.pk).first()
        if found is None:
            return
        if found.default:
            raise NotPossible(
                "is_default",
                _("The default URL cannot be removed. Make another one the default."),
            )
        found.delete()


def _lock(business_channel: BusinessChannel) -> None:
    """Let nobody else add or change defaults of this channel until the commit."""
    BusinessChannel.objects.select_for_update(no_key=True).get(pk=business_channel.pk)


def _check_room(business_channel: BusinessChannel, url: str) -> None:
    urls = list(
        CallbackURL.objects.filter(business_channel=business_channel).values_list(
            "url", flat=True
        )
    )
    if url in urls:
        raise NotPossible("taken", TAKEN)
    if len(urls) >= AT_MOST:
        raise NotPossible("too_many", FULL)


def _set_default(row: CallbackURL) -> None:
    urls = CallbackURL.objects.filter(business_channel=row.business_channel)
    urls.exclude(pk=row.pk).filter(default=True).update(default=False)
    row.default = True
    row.save(update_fields=["default"])
