"""Subscribe-notifications over /v1: type 1 of chapter 5.2 of the JUMS API."""

import pytest

from sends import preparing
from templates_mgmt.models import GeneralTemplate
from tests.factories import TemplateFactory
from tests.jums_fixture import sent

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]

PROGRAM = {"appid": "wx5a0db0c5e7000001", "pagepath": "index?foo=bar"}


@pytest.fixture
def notice(shop):
    """A message of a subscribe-notification template of the shop's channel."""
    template = TemplateFactory(channel=shop.channel, kind="subscribe")
    shop.notice = template
    message = {
        "type": 1,
        "template_id": template.template_id,
        "page": "https://example.com/order?id=1",
        "miniprogram": PROGRAM,
        "data": shop.data,
    }
    return lambda **changes: shop.body(msg_wechatoa=[{**message, **changes}])


@pytest.mark.parametrize("type_", [1, "1"])
def test_type_1_is_a_subscribe_notification_with_a_page(shop, notice, type_):
    send = sent(shop.post("sent", notice(type=type_)))

    assert send.template == shop.notice
    assert send.url == "https://example.com/order?id=1"
    assert send.miniprogram_appid == PROGRAM["appid"]
    assert send.skip_unreachable is True


def test_people_without_an_acceptance_are_skipped_unless_they_are_tried(shop, notice):
    skipping = sent(shop.post("sent", notice()))
    tried = {**notice(), "option": {"skip_unreachable": False}}
    trying = sent(shop.post("sent", tried))

    for send in (skipping, trying):
        preparing.prepare(send.pk)
    assert skipping.deliveries.get().reason == "no_acceptance"
    assert trying.deliveries.get().reason == ""


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"type": 0}, "type"),
        ({"type": True}, "type"),
        ({"page": "pages/index"}, "page"),
        ({"data": {"thing1": "x" * 21, "time2": "10:00"}}, "data"),
    ],
)
def test_what_cannot_work_is_4004_and_named(shop, notice, changes, named):
    answer = shop.post("sent", notice(**changes))

    assert answer.json()["code"] == 4004
    assert answer.json()["message"].startswith(f"msg_wechatoa[0].{named}: ")


def test_type_1_does_not_fit_a_template_message(shop):
    body = shop.body(msg_wechatoa=[shop.message(type=1)])

    answer = shop.post("sent", body)

    assert answer.json()["message"].startswith("msg_wechatoa[0].type: ")


def test_a_general_template_may_fill_one(shop, notice):
    notice()
    general = GeneralTemplate.objects.create(
        name="Notice",
        template=shop.notice,
        data={"thing1": "{{what}}", "time2": "10:00"},
        url="https://example.com/{{what}}",
    )

    send = sent(
        shop.post(
            "template/sent",
            {
                "aud_userid": [shop.userid],
                "template_id": general.pk,
                "template_para": {"what": "tea"},
            },
        )
    )

    assert (send.template, send.url) == (shop.notice, "https://example.com/tea")
