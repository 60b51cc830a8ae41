"""/v1/template/sent and /v1/template/broadcast: chapter 5.3 of the JUMS API."""

import pytest

from sends.models import Send
from templates_mgmt.models import GeneralTemplate
from tests.jums_fixture import refusal, sent, targets

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("true_counters")]

both_paths = pytest.mark.parametrize("path", ["template/sent", "template/broadcast"])


@pytest.fixture
def general(shop):
    """Change the shop's general template."""

    def change(**fields):
        GeneralTemplate.objects.filter(pk=shop.general.pk).update(**fields)

    return change


@both_paths
def test_it_is_filled_and_sent(shop, path):
    answer = shop.post(path, shop.general_body(option={"sendno": "7"}))

    assert set(answer.json()) == {"code", "message", "msgid", "sendno"}
    assert targets(answer) == {shop.userid: ""}
    send = sent(answer)
    assert send.template == shop.template
    assert send.data == {"thing1": "周会", "time2": "10:00"}
    assert send.broadcast is (path == "template/broadcast")


def test_variables_stand_in_values_link_and_page(shop, general):
    general(
        url="https://example.com/{{id}}?q={{ topic }}",
        miniprogram_appid="wx5a0db0c5e7000001",
        miniprogram_path="index?id={{id}}",
    )
    para = {"topic": "a", "id": 7, "surplus": "not asked for"}

    send = sent(shop.post("template/sent", shop.general_body(template_para=para)))

    assert send.data["thing1"] == "a"
    assert send.url == "https://example.com/7?q=a"
    assert (send.miniprogram_appid, send.miniprogram_path) == (
        "wx5a0db0c5e7000001",
        "index?id=7",
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [("周会", "周会"), (7, "7"), (1.5, "1.5"), (True, "true"), ("{{x}}", None)],
    ids=str,
)
def test_values_become_texts(shop, value, text):
    body = shop.general_body(template_para={"topic": value})

    answer = shop.post("template/sent", body)

    if text is None:  # a placeholder of nothing, once filled in
        assert refusal(answer) == (400, 4004)
    else:
        assert sent(answer).data["thing1"] == text


@pytest.mark.parametrize("para", [None, "", {}, "absent"], ids=str)
def test_without_variables_no_parameters_are_needed(shop, general, para):
    general(data={"thing1": "Weekly", "time2": "10:00"})
    body = shop.general_body(template_para=para)
    if para == "absent":
        del body["template_para"]

    assert shop.post("template/sent", body).json()["code"] == 0


def test_the_number_may_be_a_text_and_app_para_is_for_others(shop):
    body = shop.general_body(
        template_id=str(shop.general.pk), app_para={"platform": "all"}, msg_app=None
    )

    assert shop.post("template/sent", body).json()["code"] == 0


def test_the_seen_clients_email_request_names_its_channel(shop):
    body = {
        "aud_email": [{"instance": "email", "data": ["a@example.com"]}],
        "template_id": shop.general.pk,
        "template_para": {"topic": "…"},
    }

    assert refusal(shop.post("template/sent", body)) == (400, 1015010)


@both_paths
@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"template_id": 999}, 1015031, ""),
        ({"template_id": 0}, 1015031, ""),
        ({"template_id": None}, 4004, "template_id: "),
        ({"template_id": ""}, 4004, "template_id: "),
        ({"template_id": "x"}, 4004, "template_id: "),
        ({"template_id": 1.5}, 4004, "template_id: "),
        ({"template_id": [1]}, 4004, "template_id: "),
        ({"template_id": 2**70}, 4004, "template_id: "),
        ({"template_para": {}}, 4004, "template_para.topic: "),
        ({"template_para": None}, 4004, "template_para.topic: "),
        ({"template_para": {"other": "x"}}, 4004, "template_para.topic: "),
        ({"template_para": []}, 4004, "template_para: "),
        ({"template_para": "x"}, 4004, "template_para: "),
        ({"template_para": {"topic": ["x"]}}, 4004, "template_para.topic: "),
        ({"template_para": {"topic": "a\0b"}}, 4004, "template_para.topic: "),
        ({"template_para": {"topic": None}}, 4004, "template_id.data: "),
        ({"template_para": {"topic": "x" * 21}}, 4004, "template_id.data: "),
        ({"msg_wechatoa": []}, 1015094, "msg_wechatoa: "),
        ({"msg_wechatoa": [{"type": 0}]}, 1015094, "msg_wechatoa: "),
        ({"msg_app": {}}, 1015094, "msg_app: "),
        ({"msg_fax": 1}, 1015094, "msg_fax: "),
        ({"rule_id": 9}, 1015026, "rule_id: "),
        ({"option": {"black_id": 9}}, 1015046, "option.black_id: "),
        ({"callback": {"url": "https://no.example.com/"}}, 4004, "callback.url: "),
    ],
    ids=str,
)
def test_what_is_wrong_has_its_code(shop, path, changes, code, named):
    answer = shop.post(path, shop.general_body(**changes))

    assert refusal(answer) == (400, code)
    assert answer.json()["message"].startswith(named)
    assert not Send.objects.exists()


@both_paths
def test_one_for_the_console_only_is_1015032(shop, general, path):
    general(general=False)

    assert refusal(shop.post(path, shop.general_body())) == (400, 1015032)


@both_paths
def test_one_of_a_channel_that_is_not_authorised_is_1015008(shop, rival, path):
    body = shop.general_body(template_id=rival.general.pk)

    assert refusal(shop.post(path, body)) == (400, 1015008)


@both_paths
def test_one_whose_template_is_gone_at_wechat_is_4004(shop, path):
    shop.template.removed_at = shop.channel.templates_refreshed_at
    shop.template.save()

    assert refusal(shop.post(path, shop.general_body())) == (400, 4004)


@pytest.mark.parametrize("userids", [None, [], "x"], ids=str)
def test_an_audience_is_needed_but_for_broadcasts(shop, userids):
    body = shop.general_body(aud_userid=userids)

    assert refusal(shop.post("template/sent", body)) == (400, 4004)
    assert shop.post("template/broadcast", body).json()["code"] == 0
