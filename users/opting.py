"""`/v1/user/opt`: what a business system says of users, checked and applied in order.

Everything is checked before anything is written, so one bad item spoils no other. The
good ones are applied in memory to what the database holds of their users, and the
difference is written in a few statements: a thousand items cost as many as one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from channels_wechat.models import BusinessChannel, Channel

from . import rows
from .models import OpenID, Recipient, RecipientContact, RecipientTag

ALL: Final = "all"
TAGS_AT_MOST: Final = 100
ILLEGAL, OUT_OF_SCOPE = "4004", "4005"
# Attributes of channels that this system does not have.
ELSEWHERE: Final = {
    "app",
    "wechatmp",
    "alipaylife",
    "dingtalkcc",
    "wechatwk",
    "wechatwk_linkedcorp",
}
ATTRIBUTES: Final = {"tag", "phone", "email", "wechatoa"}
OPERATIONS: Final = ("del", "set", "add")


class Failure(NamedTuple):
    """An item that was refused; `errcode` is a text, as clients expect."""

    userid: str
    errcode: str
    errmsg: str


class Outcome(NamedTuple):
    success: list[str]
    fail: list[Failure]


class ItemRefused(Exception):
    """One item cannot be done."""

    def __init__(self, errcode: str, errmsg: str) -> None:
        super().__init__(errcode, errmsg)
        self.errcode, self.errmsg = errcode, errmsg


@dataclass
class User:
    """What is known of one user: per bind id, and openids per channel's pk."""

    tags: dict[str, dict[str, None]] = field(default_factory=dict)
    phone: dict[str, str] = field(default_factory=dict)
    email: dict[str, str] = field(default_factory=dict)
    openids: dict[int, str] = field(default_factory=dict)


Change = Callable[[User], None]


@dataclass(frozen=True)
class Scope:
    """What the caller may write: a business channel its own, an access key anything."""

    channels: dict[str, Channel]
    usable: set[str]
    keys: set[str]
    own_key: str = ""

    @classmethod
    def of(cls, sender: BusinessChannel | None) -> "Scope":
        channels = {channel.code: channel for channel in Channel.objects.all()}
        keys = set(BusinessChannel.objects.values_list("key", flat=True))
        if sender is None:
            return cls(channels, set(channels), keys)
        usable = set(sender.channels.values_list("code", flat=True))
        return cls(channels, usable, keys, sender.key)

    def check_bind(self, bind: str, name: str) -> None:
        if bind == ALL:
            return
        if bind not in self.keys:
            if bind in self.channels:
                raise _illegal(name, _("takes `all` or a ChannelKey, not a channel."))
            raise _illegal(name, _("no such bind_id."))
        if self.own_key and bind != self.own_key:
            raise ItemRefused(
                OUT_OF_SCOPE, f"{name}: " + _("belongs to another business channel.")
            )

    def channel(self, code: str, name: str) -> Channel:
        if code not in self.channels:
            raise _illegal(name, _("no such channel code."))
        if code not in self.usable:
            raise ItemRefused(
                OUT_OF_SCOPE,
                f"{name}: " + _("is not authorised for this business channel."),
            )
        return self.channels[code]


def opt(items: Sequence[Any], sender: BusinessChannel | None) -> Outcome:
    """Apply the items in order; return which userids worked and what failed why.

    `sender` is the business channel that calls, None for an access key.
    """
    scope = Scope.of(sender)
    outcome = Outcome([], [])
    work: list[tuple[str, list[Change]]] = []
    for item in items:
        userid = ""
        try:
            userid = _userid(item)
            work.append((userid, list(_changes(item, scope))))
        except ItemRefused as refused:
            outcome.fail.append(Failure(userid, refused.errcode, refused.errmsg))
    with transaction.atomic():
        _apply(work, outcome)
    return outcome


def delete(userids: Sequence[Any]) -> Outcome:
    """Delete users with everything bound to them. Unknown ones count as deleted."""
    outcome = Outcome([], [])
    for item in userids:
        try:
            outcome.success.append(_userid({"userid": item}))
        except ItemRefused as refused:
            shown = item if isinstance(item, str) else ""
            outcome.fail.append(Failure(shown[:64], refused.errcode, refused.errmsg))
    Recipient.objects.filter(userid__in=outcome.success).delete()
    return outcome


# -- reading an item -------------------------------------------------------------------
def _illegal(name: str, sentence: str) -> ItemRefused:
    return ItemRefused(ILLEGAL, f"{name}: {sentence}")


def _userid(item: Any) -> str:
    if not isinstance(item, dict):
        raise ItemRefused(ILLEGAL, _("Each item must be an object."))
    userid = _text(item.get("userid"), "userid")
    if not rows.is_userid(userid):
        raise _illegal(
            "userid", _("At most 64 letters, digits and _ - @ ! # $ & * + = . |")
        )
    return userid


def _changes(item: Mapping[str, Any], scope: Scope) -> Iterable[Change]:
    """Yield what the item does, del before set before add. Raises ItemRefused."""
    said: dict[str, list[tuple[str, Any]]] = {name: [] for name in OPERATIONS}
    for key, value in item.items():
        if key == "userid" or value in (None, ""):
            continue
        if key in OPERATIONS:
            if not isinstance(value, dict):
                raise _illegal(key, _("must be an object."))
            said[key] += value.items()
        elif key in ATTRIBUTES or key in ELSEWHERE:
            # The JSMS guide writes attributes without `set`.
            said["set"].append((key, value))
        else:
            raise _illegal(key, _("no such attribute."))
    for operation in OPERATIONS:
        for attribute, value in said[operation]:
            name = f"{operation}.{attribute}"
            if attribute in ELSEWHERE:
                if not value:
                    continue  # some clients name everything they know
                raise _illegal(name, _("this system has no such channel."))
            if attribute not in ATTRIBUTES:
                # The Official Account guide writes the channel code directly.
                if attribute not in scope.channels:
                    raise _illegal(name, _("no such attribute or channel code."))
                attribute, value = "wechatoa", {attribute: value}
            if value in (None, ""):
                continue
            if not isinstance(value, dict):
                raise _illegal(name, _("must be an object by bind_id."))
            if operation == "add" and attribute != "tag":
                raise _illegal(name, _("only tags can be added; use set."))
            for bind, given in value.items():
                yield _change(operation, attribute, bind, given, scope)


def _change(
    operation: str, attribute: str, bind: str, given: Any, scope: Scope
) -> Change:
    name = f"{operation}.{attribute}.{bind}"
    if attribute == "tag":
        scope.check_bind(bind, name)
        tags = _tags(given, name)
        return lambda user: _change_tags(user, operation, bind, tags)
    if isinstance(given, list) and len(given) <= 1:
        given = given[0] if given else ""
    text = _text(given, name)
    if attribute == "wechatoa":
        channel = scope.channel(bind, name)
        if text and operation == "set" and not rows.is_openid(text):
            raise _illegal(name, _("is no openID."))
        return lambda user: _change_one(user.openids, operation, channel.pk, text)
    scope.check_bind(bind, name)
    if attribute == "phone":
        phone = rows.plain_phone(text) if text else ""
        if phone is None:
            raise _illegal(name, _("is no phone number."))
        return lambda user: _change_one(user.phone, operation, bind, phone)
    if text and operation == "set" and not rows.is_email(text):
        raise _illegal(name, _("is no email address."))
    return lambda user: _change_one(user.email, operation, bind, text)


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise _illegal(name, _("must be a text."))
    return value.strip()


def _tags(given: Any, name: str) -> list[str]:
    if given in (None, ""):
        return []
    if not isinstance(given, list):
        given = [given]
    if len(given) > TAGS_AT_MOST:
        raise _illegal(name, _("%(limit)d at most.") % {"limit": TAGS_AT_MOST})
    tags = [_text(tag, name) for tag in given]
    for tag in tags:
        if not rows.is_tag(tag):
            raise _illegal(
                name,
                _("At most 40 bytes of letters, digits and _ - @ ! # $ & * + = . |"),
            )
    return list(dict.fromkeys(tags))


class _TooManyTags(Exception):
    pass


def _change_tags(user: User, operation: str, bind: str, tags: list[str]) -> None:
    mine = dict(user.tags.get(bind, {}))
    if operation == "set":
        mine = dict.fromkeys(tags)
    elif operation == "add":
        mine |= dict.fromkeys(tags)
    elif tags:
        mine = {tag: None for tag in mine if tag not in tags}
    else:
        mine = {}
    if len(mine) > TAGS_AT_MOST:
        raise _TooManyTags
    user.tags[bind] = mine


def _change_one(of: dict[Any, str], operation: str, bind: Any, text: str) -> None:
    if operation == "set":
        of[bind] = text
    elif not text or of.get(bind) == text:
        of[bind] = ""


# -- writing ---------------------------------------------------------------------------
def _apply(work: Sequence[tuple[str, list[Change]]], outcome: Outcome) -> None:
    userids = sorted({userid for userid, _changes in work})
    known = _lock(userids)
    before = _load(known)
    after = {userid: _copy(user) for userid, user in before.items()}
    for userid, changes in work:
        trial = _copy(after[userid])
        try:
            for change in changes:
                change(trial)
        except _TooManyTags:
            sentence = _("more than %(limit)d tags.") % {"limit": TAGS_AT_MOST}
            outcome.fail.append(Failure(userid, ILLEGAL, f"tag: {sentence}"))
            continue
        after[userid] = trial
        outcome.success.append(userid)
    for userid in userids:
        after[userid].phone.setdefault(ALL, "")
        after[userid].email.setdefault(ALL, "")
    _write(known, before, after)


def _lock(userids: Sequence[str]) -> dict[str, Recipient]:
    Recipient.objects.bulk_create(
        [Recipient(userid=userid) for userid in userids], ignore_conflicts=True
    )
    found = Recipient.objects.select_for_update().filter(userid__in=userids)
    return {recipient.userid: recipient for recipient in found.order_by("pk")}


def _load(known: Mapping[str, Recipient]) -> dict[str, User]:
    users = {userid: User() for userid in known}
    names = {recipient.pk: userid for userid, recipient in known.items()}
    for userid, recipient in known.items():
        users[userid].phone[ALL] = recipient.phone
        users[userid].email[ALL] = recipient.email
    for pk, bind, tag in RecipientTag.objects.filter(recipient__in=names).values_list(
        "recipient", "bind", "name"
    ):
        users[names[pk]].tags.setdefault(bind, {})[tag] = None
    for pk, bind, phone, email in RecipientContact.objects.filter(
        recipient__in=names
    ).values_list("recipient", "bind", "phone", "email"):
        users[names[pk]].phone[bind] = phone
        users[names[pk]].email[bind] = email
    for pk, channel, openid in OpenID.objects.filter(recipient__in=names).values_list(
        "recipient", "channel", "openid"
    ):
        users[names[pk]].openids[channel] = openid
    return users


def _copy(user: User) -> User:
    return User(
        {bind: dict(tags) for bind, tags in user.tags.items()},
        dict(user.phone),
        dict(user.email),
        dict(user.openids),
    )


def _write(
    known: Mapping[str, Recipient],
    before: Mapping[str, User],
    after: Mapping[str, User],
) -> None:
    now = timezone.now()
    people, new_tags, contacts, openids = [], [], [], []
    for userid, recipient in known.items():
        old, new = before[userid], after[userid]
        if (old.phone[ALL], old.email[ALL]) != (new.phone[ALL], new.email[ALL]):
            recipient.phone, recipient.email = new.phone[ALL], new.email[ALL]
            recipient.updated_at = now
            people.append(recipient)
        for bind, tags in new.tags.items():
            held = old.tags.get(bind, {})
            new_tags += [
                RecipientTag(recipient=recipient, bind=bind, name=tag)
                for tag in tags
                if tag not in held
            ]
            if gone := [tag for tag in held if tag not in tags]:
                RecipientTag.objects.filter(
                    recipient=recipient, bind=bind, name__in=gone
                ).delete()
        for bind in sorted((new.phone.keys() | new.email.keys()) - {ALL}):
            phone, email = new.phone.get(bind, ""), new.email.get(bind, "")
            if (phone, email) != (old.phone.get(bind, ""), old.email.get(bind, "")):
                contacts.append(
                    RecipientContact(
                        recipient=recipient, bind=bind, phone=phone, email=email
                    )
                )
        for channel, openid in new.openids.items():
            if openid == old.openids.get(channel, ""):
                continue
            if openid:
                openids.append(
                    OpenID(
                        recipient=recipient,
                        channel_id=channel,
                        openid=openid,
                        updated_at=now,
                    )
                )
            else:
                OpenID.objects.filter(recipient=recipient, channel=channel).delete()
    Recipient.objects.bulk_update(people, ["phone", "email", "updated_at"])
    RecipientTag.objects.bulk_create(new_tags, ignore_conflicts=True)
    RecipientContact.objects.bulk_create(
        contacts,
        update_conflicts=True,
        unique_fields=["recipient", "bind"],
        update_fields=["phone", "email"],
    )
    Channel.objects.keep({openid.channel_id for openid in openids})
    OpenID.objects.bulk_create(
        openids,
        update_conflicts=True,
        unique_fields=["channel", "recipient"],
        update_fields=["openid", "followed", "followed_at", "updated_at"],
    )
