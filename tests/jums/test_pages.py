"""Every page of the console opens, with nothing left untranslated."""

import re
from html.parser import HTMLParser

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.utils import timezone

from channels_wechat.access_keys import create_access_key
from channels_wechat.business_channels import create_business_channel
from channels_wechat.models import Channel
from jums.management.commands import messages
from sends.models import (
    CallbackRefusal,
    CallbackURL,
    Delivery,
    InboundEvent,
    StatusBatch,
    StatusCallback,
    Strategy,
)
from templates_mgmt.models import GeneralTemplate, SubscribePage
from tests.factories import (
    ChannelFactory,
    OpenIDFactory,
    RecipientFactory,
    SendFactory,
    TagFactory,
    TemplateFactory,
)
from users import followers
from users.models import (
    FollowerSync,
    LoginPage,
    Segment,
    SegmentUser,
    Upload,
    UploadError,
    UserList,
    UserListEntry,
)

pytestmark = pytest.mark.django_db

# Names and words that are the same in Chinese, and WeChat's own.
SAME = (
    "access token",
    "User Agent",
    "HTTP Accept",
    "HTTP Basic",
    "user block",
)
# The language's own name in the menu, and the names of a file's columns.
EXACTLY = {"English", "phone", "tag", "email"}
PHRASE = re.compile(r"[A-Za-z][A-Za-z'’]*(?:[ ,][ ]?[A-Za-z'’]{2,})+")
INLINE_SCRIPT = re.compile(
    r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>"
    r"|<[^>]*\son\w+\s*=\s*[\"']",
    re.I,
)
OTHER_HOST = re.compile(r"""(?:src|action)=["']((?:https?:)?//[^"']+)""")
ATTRIBUTES = ("title", "placeholder", "aria-label", "alt", "data-label", "data-confirm")


class Texts(HTMLParser):
    """Collects what a person can read: text, and the attributes that are shown."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found = []
        self.silent = 0

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        # Icons are words of a font; code is nobody's language.
        quiet = "material-symbols-outlined" in (values.get("class") or "")
        if self.silent or tag in {"script", "style", "code", "pre"} or quiet:
            if tag not in {"input", "img", "br", "hr", "link", "meta"}:
                self.silent += 1
            return
        self.found += [values[name] or "" for name in ATTRIBUTES if name in values]

    def handle_endtag(self, tag):
        if self.silent and tag not in {"input", "img", "br", "hr", "link", "meta"}:
            self.silent -= 1

    def handle_data(self, data):
        if not self.silent:
            self.found.append(data)


def texts_of(page):
    reader = Texts()
    reader.feed(page)
    return [" ".join(text.split()) for text in reader.found if text.strip()]


@pytest.fixture
def cast(admin_user):
    """One of everything, with Chinese names: whatever is English then is ours."""
    now = timezone.now()
    admin_user.username, admin_user.email = "管理员", ""
    admin_user.save()
    Group.objects.create(name="操作员")
    channel = ChannelFactory(
        name="会员服务",
        token_ok_at=now,
        last_push_at=now,
        templates_refreshed_at=now,
        checked_at=now,
        refused_at=now,
        refused_errcode=40164,
        refused_errmsg="40164",
    )
    template = TemplateFactory(
        channel=channel,
        title="会议提醒",
        content="主题:{{thing1.DATA}}\n时间:{{time2.DATA}}",
        example="主题:周会\n时间:10:00",
        fields=[
            {"key": "thing1", "label": "主题", "type": "thing"},
            {"key": "time2", "label": "时间", "type": "time"},
        ],
    )
    TemplateFactory(channel=channel, title="旧模板", removed_at=now, fields=[])
    subscribe_page = SubscribePage.objects.create(
        channel=channel, name="orders", title="订单提醒"
    )
    subscribe_page.templates.set(
        [
            TemplateFactory(
                channel=channel, title=title, kind="subscribe", fields=[], **removed
            )
            for title, removed in (("发货", {}), ("退款", {"removed_at": now}))
        ]
    )
    LoginPage.objects.create(channel=channel, url="https://1.2.3.4/", below=True)
    followers.watch(channel)
    followers.heard(channel.pk, [("o" + "2" * 27, True, now)])
    FollowerSync.objects.update(
        status="waiting",
        errcode=45009,
        errmsg="45009",
        try_at=now,
        daily_limit=100,
        calls_left=0,
    )
    person = RecipientFactory(userid="u1")
    OpenIDFactory(channel=channel, recipient=person, openid="o" + "1" * 27)
    TagFactory(recipient=person, name="会员")
    data = {"thing1": "周会", "time2": "10:00"}
    common = {"template": template, "channel": channel, "data": data, "title": "通知"}
    finished = SendFactory(
        status="finished",
        n_delivered=1,
        n_refused=1,
        n_undelivered=1,
        n_unknown=1,
        n_skipped=1,
        submitted_at=now,
        started_at=now,
        finished_at=now,
        **common,
    )
    status = Delivery.Status
    for fields in (
        {"status": status.DELIVERED, "sent_at": now, "receipt_at": now},
        {"status": status.REFUSED, "errcode": 43004, "error": "43004"},
        {"status": status.UNDELIVERED, "error": "failed:user block"},
        {"status": status.UNKNOWN},
        {"status": status.SKIPPED, "reason": "no_openid"},
    ):
        Delivery.objects.create(
            send=finished, channel=channel, userid="u1", openid="o" + "1" * 27, **fields
        )
    sends = [finished]
    for state, fields in (
        ("draft", {}),
        ("running", {"n_waiting": 5, "started_at": now}),
        ("paused", {"pause_code": "quota", "pause_errcode": 45009, "n_waiting": 5}),
        ("paused", {"pause_code": "operator", "paused_by": "管理员", "n_waiting": 5}),
        ("scheduled", {"scheduled_for": now}),
        ("canceled", {"n_canceled": 1}),
        ("in_review", {"source": "api", "owner": "系统"}),
        ("rejected", {"reviewed_by": "管理员", "reviewed_at": now}),
    ):
        sends.append(SendFactory(status=state, **fields, **common))
    InboundEvent.objects.create(
        channel=channel,
        key="1",
        event="templatesendjobfinish",
        created_at=now,
        received_at=now,
        try_at=now,
    )
    for reason in ("bad_signature", "stale", "not_decrypted"):
        CallbackRefusal.objects.create(
            channel=channel, reason=reason, first_at=now, last_at=now
        )
    upload = Upload.objects.create(
        name="名单.xlsx", channel=channel, status="finished", rows_total=2, rows_ok=1
    )
    UploadError.objects.create(
        upload=upload, row=2, userid="u 2", code="bad_userid", params={"value": "u 2"}
    )
    return {
        "channels_wechat/channel": [channel.pk],
        "sends/send": [s.pk for s in sends],
        **business(channel, template, finished),
    }


def business(channel, template, send):
    """What developers and operators keep for sends of business systems."""
    now = timezone.now()
    system, _secret = create_business_channel(
        name="订单系统",
        channels=[channel],
        review=True,
        calls_per_minute=60,
        quiet_hours="22:00-08:00",
        sensitive_words=["返利"],
    )
    create_access_key("数据平台")
    UserListEntry.objects.create(
        list=UserList.objects.create(name="退订", kind="black"), userid="u1"
    )
    by_tags = Segment.objects.create(name="会员", any_tags=["会员"])
    fixed = Segment.objects.create(name="名单")
    SegmentUser.objects.create(segment=fixed, userid="u1")
    GeneralTemplate.objects.create(
        name="会议", template=template, data={"thing1": "{{topic}}", "time2": "10:00"}
    )
    Strategy.objects.create(
        name="先后",
        business_channel=system,
        steps=[{"channel": channel.code, "wait_s": 60, "trigger": "refused"}],
    )
    url = CallbackURL.objects.create(
        business_channel=system, url="https://1.2.3.4/", default=True, verified_at=now
    )
    failed = {
        "at": now.isoformat(),
        "status": None,
        "kind": "timeout",
        "error": "",
        "took_ms": 9,
    }
    batches = [
        StatusBatch.objects.create(
            url=url, state=state, size=1, try_at=now, attempts=[failed], ended_at=now
        )
        for state in StatusBatch.State.values
    ]
    delivery = send.deliveries.first()
    for batch in batches:
        StatusCallback.objects.create(
            url=url, send=send, delivery_id=delivery.pk, type=3, at=now, batch=batch
        )
    return {
        "users/segment": [by_tags.pk, fixed.pk],
        "sends/statusbatch": [batch.pk for batch in batches],
    }


def addresses(patterns, before=""):
    for pattern in patterns:
        here = before + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from addresses(pattern.url_patterns, here)
        else:
            yield here


def pages(cast):
    """Every address of the console that takes at most the key of a row."""
    for route in addresses(admin.site.get_urls()):
        if route.startswith(("^", "(", "r/", "logout", "jsi18n", "autocomplete")):
            continue
        holes = re.findall(r"<[^>]+>", route)
        if not holes:
            yield f"/console/{route}"
        elif holes == ["<slug:code>"]:
            for code in Channel.objects.values_list("code", flat=True):
                yield "/console/" + route.replace(holes[0], code)
        elif len(holes) == 1 and re.search(r"(id|pk)>", holes[0]):
            app, model, *_rest = route.split("/")
            keys = cast.get(f"{app}/{model}")
            if keys is None:
                row = apps.get_model(app, model)._default_manager.order_by("pk").first()
                keys = [row.pk] if row else []
            if "channel_pk" in holes[0]:
                keys = cast["channels_wechat/channel"]
            for key in keys:
                yield "/console/" + route.replace(holes[0], str(key))


def opened(client, cast):
    """(address, answer) of every page that shows something to a GET."""
    live = ["/console/dashboard/live/", "/console/dashboard/failures/"]
    for address in [*pages(cast), *live]:
        response = client.get(address)
        assert response.status_code in {200, 302, 400, 403, 404, 405, 409}, address
        kind = response.headers.get("Content-Type", "")
        if response.status_code == 200 and kind.startswith("text/html"):
            yield address, response
        if response.streaming:
            for _piece in response.streaming_content:
                pass  # read to its end, the file closes itself


def test_pages_open_in_chinese_with_nothing_left_in_english(admin_client, cast):
    admin_client.cookies["django_language"] = "zh-hans"
    english = {
        message.id
        for message in messages.updated()
        if isinstance(message.id, str)
        and message.id.isascii()
        and message.id != message.string
    }
    count = 0
    left = []

    for address, response in opened(admin_client, cast):
        count += 1
        page = response.content.decode()
        assert not INLINE_SCRIPT.search(page), address
        assert OTHER_HOST.findall(page) == [], address
        for text in texts_of(page):
            plain = text
            for word in SAME:
                plain = plain.replace(word, "")
            if PHRASE.search(plain) or text in english - EXACTLY:
                left.append(f"{address}: {text}")

    assert count > 60
    assert left == [], "\n".join(left)


def test_what_a_stranger_gets_is_the_login(client, cast, admin_user):
    client.logout()

    for address in pages(cast):
        if address == "/console/login/":
            continue
        response = client.get(address)
        assert response.status_code in {302, 405}, address
        if response.status_code == 302:
            assert response.url.startswith("/console/login/"), address
