"""What one business channel's key cannot see or touch: every call of /v1 and /api.

The calls come from the URLconf. A new one fails here until somebody has said what a
stranger gets from it.
"""

import json
from datetime import timedelta

import pytest
from django.apps import apps
from django.core import serializers
from django.test import Client
from django.urls import URLResolver, get_resolver, resolve
from django.utils import timezone

from channels_wechat.models import AccessToken, Usage
from sends import preparing
from sends.api.callbacks import callback
from sends.models import CallbackURL, Delivery, Send, Strategy
from tests.api_fixture import basic
from tests.factories import TagFactory
from tests.jums_fixture import Shop, sent, targets
from users.models import RecipientContact

from .test_v1_calls import CALLS

pytestmark = pytest.mark.django_db

METHODS = ("get", "post", "put", "patch", "delete")
# Open to all, like the source; and WeChat's own door, which asks for a signature.
OPEN = {"/api/schema/", "/api/docs/", "/v1/wechatoa/callback"}
API = [
    "/api/acceptances/",
    "/api/bindings/exchange/",
    "/api/bindings/links/",
    "/api/business-channels/",
    "/api/business-channels/{key}/",
    "/api/business-channels/{key}/rotate-secret/",
    "/api/callback-urls/",
    "/api/callback-urls/{url}/",
    "/api/channels/",
    "/api/channels/{code}/",
    "/api/channels/{code}/check/",
    "/api/channels/{code}/quota/",
    "/api/channels/{code}/refresh-templates/",
    "/api/events/",
    "/api/general-templates/",
    "/api/general-templates/{general}/",
    "/api/lists/",
    "/api/lists/1/",
    "/api/platform/",
    "/api/platform/links/",
    "/api/public-templates/categories/",
    "/api/public-templates/keywords/",
    "/api/public-templates/titles/",
    "/api/recipients/",
    "/api/recipients/{userid}/",
    "/api/recipients/{userid}/timeline/",
    "/api/segments/",
    "/api/segments/1/",
    "/api/sends/",
    "/api/sends/{msgid}/",
    "/api/sends/{msgid}/cancel/",
    "/api/sends/{msgid}/deliveries/",
    "/api/sends/{msgid}/pause/",
    "/api/sends/{msgid}/resume/",
    "/api/strategies/",
    "/api/strategies/{strategy}/",
    "/api/templates/",
    "/api/templates/{code}/{template}/",
    "/api/uploads/",
    "/api/uploads/1/",
    "/api/uploads/1/errors.xlsx",
    "/api/uploads/1/errors/",
]


class Rival(Shop):
    """Another business channel, with one of everything that a stranger could name."""

    def __init__(self) -> None:
        super().__init__("rival")
        step = {"channel": "rival", "wait_s": 0, "trigger": "refused"}
        self.strategy = Strategy.objects.create(
            name="s", business_channel=self.row, steps=[step]
        )
        self.url = CallbackURL.objects.create(
            business_channel=self.row,
            url="https://rival.example.com/",
            verified_at=timezone.now(),
        )
        person = self.person.recipient
        TagFactory(recipient=person, name="secret", bind=self.row.key)
        RecipientContact.objects.create(
            recipient=person, bind=self.row.key, phone="13900139000"
        )
        self.token = AccessToken.objects.create(
            channel=self.channel,
            value="rivals-access-token",
            credentials=self.channel.credentials,
            obtained_at=timezone.now(),
            expires_at=timezone.now() + timedelta(hours=2),
        )
        self.message_sent = sent(self.post("sent", self.body()))

    @property
    def secrets(self) -> list[str]:
        """What must be in no answer to a stranger."""
        return [
            self.pair[1],
            self.token.value,
            self.person.openid,
            self.channel.app_secret,
            self.url.url,
            "13900139000",
        ]

    def fill(self, address: str) -> str:
        return address.format(
            key=self.row.key,
            url=self.url.pk,
            code=self.channel.code,
            general=self.general.pk,
            userid=self.userid,
            msgid=self.message_sent.msgid,
            strategy=self.strategy.pk,
            template=self.template.template_id,
        )


@pytest.fixture
def rival(db):
    return Rival()


# -- the calls -------------------------------------------------------------------------
def walk(resolver, before=""):
    for pattern in resolver.url_patterns:
        route = str(pattern.pattern)
        route = before + (route.removeprefix("^") if before else route)
        if isinstance(pattern, URLResolver):
            yield from walk(pattern, route)
        else:
            yield route, pattern.callback


def methods_of(view):
    cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
    return {
        m.upper() for m in METHODS if m in cls.http_method_names and hasattr(cls, m)
    }


def routes():
    """{route: methods} of everything below /v1/ and /api/."""
    return {
        route: methods_of(view) if view is not callback else {"GET", "POST"}
        for route, view in walk(get_resolver())
        if route.removeprefix("^").startswith(("v1/", "api/"))
        # Whatever is below and nothing of the above.
        and route not in {"^v1/", "^api/"}
    }


def test_every_call_is_in_the_matrix(rival):
    listed = {resolve(rival.fill(address)).route for address in [*API, *OPEN]}
    listed |= {
        resolve(f"/v1/{path.partition('?')[0]}").route
        for _method, path, _takes in CALLS.values()
    }

    assert listed == set(routes())
    assert {route_of(name): {CALLS[name][0]} for name in CALLS} == {
        route: methods for route, methods in routes().items() if route.startswith("v1/")
    }
    assert set(V1) == set(CALLS)


def route_of(name):
    return resolve(f"/v1/{CALLS[name][1].partition('?')[0]}").route


# -- the resource API: a ChannelKey opens nothing --------------------------------------
@pytest.mark.parametrize("address", API)
def test_a_channel_key_opens_nothing_of_the_resource_api(shop, rival, address):
    address = rival.fill(address)
    before = everything()

    for method in sorted(routes()[resolve(address).route]):
        for pair in (shop.pair, rival.pair):
            answer = Client().generic(
                method, address, headers={"authorization": basic(*pair)}
            )
            assert answer.status_code == 401, (method, address)
            assert answer.json()["code"] == "authentication_failed"
    assert everything() == before


@pytest.mark.parametrize("address", API)
def test_neither_nobody_nor_a_person_without_a_role_gets_in(person, rival, address):
    address = rival.fill(address)
    visitor = person()
    visitor.handler.enforce_csrf_checks = False
    before = everything()

    for method in sorted(routes()[resolve(address).route]):
        assert Client().generic(method, address).status_code == 401, (method, address)
        assert visitor.generic(method, address).status_code == 403, (method, address)
    assert everything() == before


# -- /v1: nothing of another's can be named --------------------------------------------
def user(item):
    def attempt(shop, rival):
        answer = shop.post("user/opt", [{"userid": rival.userid, **item(rival)}])
        (fail,) = answer.json()["data"]["fail"]
        return answer, int(fail["errcode"])

    return attempt


def call(path, body):
    def attempt(shop, rival):
        answer = shop.post(path, body(shop, rival))
        return answer, answer.json()["code"]

    return attempt


def get(path):
    def attempt(shop, rival):
        answer = shop.get(path)
        return answer, answer.json()["code"]

    return attempt


def retract(shop, rival):
    answer = shop.post(f"retract/{rival.message_sent.msgid}", "null")
    return answer, answer.json()["code"]


def ordinary(path):
    """What an ordinary request may name."""
    return {
        "template": (
            call(path, lambda shop, rival: shop.body(msg_wechatoa=[rival.message()])),
            4004,
        ),
        "template beside a right one": (
            call(
                path,
                lambda shop, rival: shop.body(
                    msg_wechatoa=[shop.message(), rival.message()]
                ),
            ),
            4004,
        ),
        **options(path, lambda shop: shop.body()),
    }


def general(path):
    """What a request with a general template may name."""
    return {
        "template": (
            call(
                path,
                lambda shop, rival: shop.general_body(template_id=rival.general.pk),
            ),
            1015008,
        ),
        **options(path, lambda shop: shop.general_body()),
    }


def options(path, body):
    return {
        "strategy": (
            call(path, lambda s, rival: body(s) | {"rule_id": rival.strategy.pk}),
            1015026,
        ),
        "callback URL": (
            call(path, lambda s, rival: body(s) | {"callback": {"url": rival.url.url}}),
            4004,
        ),
    }


OTHER_OPENID = "o" + "x" * 27
V1 = {
    "sent": ordinary("sent"),
    "broadcast": ordinary("broadcast"),
    "template/sent": general("template/sent"),
    "template/broadcast": general("template/broadcast"),
    "retract": {"message": (retract, 4004)},
    "user/opt": {
        "openID": (
            user(lambda rival: {"set": {"wechatoa": {"rival": OTHER_OPENID}}}),
            4005,
        ),
        "openID by code": (user(lambda rival: {"set": {"rival": OTHER_OPENID}}), 4005),
        "openID away": (user(lambda rival: {"del": {"wechatoa": {"rival": ""}}}), 4005),
        "tag": (user(lambda rival: {"set": {"tag": {rival.row.key: ["x"]}}}), 4005),
        "tags away": (user(lambda rival: {"del": {"tag": {rival.row.key: []}}}), 4005),
        "phone": (
            user(lambda rival: {"set": {"phone": {rival.row.key: "10086"}}}),
            4005,
        ),
        "email away": (
            user(lambda rival: {"del": {"email": {rival.row.key: ""}}}),
            4005,
        ),
    },
    "user/delete": {
        "user": (call("user/delete", lambda shop, rival: [rival.userid]), 4005)
    },
    "material": {
        # A file is all there is to give, and nothing can be named or asked for.
        "no file": (call("material", lambda *_: {}), 4004),
    },
    "token": {"token": (get("token?type=wechatoa&code=rival"), 1015008)},
}


@pytest.mark.parametrize(
    ("attempt", "code"),
    [
        pytest.param(*row, id=f"{name}: {what}")
        for name, rows in V1.items()
        for what, row in rows.items()
    ],
)
def test_what_is_anothers_cannot_be_named(shop, rival, attempt, code):
    before = everything()

    answer, answered = attempt(shop, rival)

    assert answered == code
    assert everything() == before
    for secret in rival.secrets:
        assert secret not in answer.content.decode()


# -- /v1: nor reached without naming it ------------------------------------------------
@pytest.mark.parametrize("path", ["broadcast", "template/broadcast"])
def test_everyone_means_everyone_of_ones_own(shop, rival, path):
    body = shop.body() if path == "broadcast" else shop.general_body()

    assert targets(shop.post(path, body)) == {shop.userid: ""}


def test_anothers_people_have_no_openid_here(shop, rival):
    assert targets(shop.post("sent", shop.body(aud_userid=[rival.userid]))) == {
        rival.userid: "no_openid"
    }


def test_anothers_private_tags_choose_nobody(shop, rival):
    both = shop.bind("both").recipient
    TagFactory(recipient=both, name="secret", bind=rival.row.key)
    body = shop.body(aud_userid=None, aud_tag=["secret"])

    assert targets(shop.post("sent", body)) == {}


def test_anothers_openid_is_not_sent_to(shop, rival):
    audience = [{"instance": "rival", "data": [rival.person.openid]}]
    body = {"aud_wechatoa": audience, "msg_wechatoa": [shop.message()]}

    send = sent(shop.post("sent", body))
    preparing.prepare(send.pk)

    assert send.channel == shop.channel
    (one,) = Delivery.objects.filter(send=send)
    assert one.reason == "foreign_openid"


def test_anothers_idempotency_key_answers_nothing_of_theirs(shop, rival):
    key = {"headers": {"idempotency-key": "k"}}
    theirs = rival.post("sent", rival.body(), **key).json()

    mine = shop.post("sent", shop.body(), **key).json()

    assert mine["msgid"] != theirs["msgid"]
    assert Send.objects.get(msgid=mine["msgid"]).business_channel == shop.row


def test_anothers_limits_are_not_used_up(shop, rival):
    for one in (shop, rival):
        one.set(calls_per_minute=2, broadcasts_per_day=1)
    for _ in range(3):
        shop.post("broadcast", shop.body())

    answer = rival.post("broadcast", rival.body())

    assert answer.json()["code"] == 0
    assert answer["X-Rate-Limit-Remaining"] == "1"


def everything():
    """Every row of the product, but for what says that somebody called."""
    rows = {}
    for name in ("channels_wechat", "users", "templates_mgmt", "sends"):
        for model in set(apps.get_app_config(name).get_models()) - {Usage}:
            for row in json.loads(serializers.serialize("json", model.objects.all())):
                row["fields"].pop("last_used_at", None)
                rows[row["model"], row["pk"]] = row["fields"]
    return rows
