"""Strategies over the resource API."""

import pytest

from channels_wechat.business_channels import create_business_channel
from sends.models import Strategy
from tests.factories import ChannelFactory, SendFactory

pytestmark = pytest.mark.django_db
LIST = "/api/strategies/"
STEPS = [
    {"channel": "hr", "wait_s": 0, "trigger": "refused"},
    {"channel": "shop", "wait_s": 600, "trigger": "not_delivered"},
]


@pytest.fixture
def given():
    channels = [ChannelFactory(code=code) for code in ("hr", "shop")]
    ChannelFactory(code="foreign")
    row, _secret = create_business_channel("Orders", channels)
    return {"name": "Both", "business_channel": row.key, "steps": STEPS}


def test_made_read_changed_removed(api, given):
    answer = api.post(LIST, given)

    assert answer.status_code == 201
    made = answer.json()
    assert isinstance(made["id"], int)
    assert {name: made[name] for name in given} == given
    assert made["enabled"] is True
    assert Strategy.objects.get().steps == STEPS
    one = f"{LIST}{made['id']}/"
    assert api.get(one).json() == made
    assert api.get(LIST).json()["results"] == [made]

    changed = api.patch(one, {"steps": [{"channel": "shop"}], "enabled": False}).json()
    assert changed["steps"] == [{"channel": "shop", "wait_s": 0, "trigger": "refused"}]
    assert changed["enabled"] is False
    refused = api.patch(one, {"steps": [{"wait_s": 5}]})
    assert list(refused.json()["fields"]) == ["steps.0.channel"]
    assert api.delete(one).status_code == 204
    assert not Strategy.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"business_channel": "0" * 24}, "business_channel"),
        ({"business_channel": None}, "business_channel"),
        ({"steps": []}, "steps"),
        ({"steps": {}}, "steps"),
        ({"steps": ["hr"]}, "steps.0"),
        ({"steps": [{"channel": "foreign"}]}, "steps.0.channel"),
        ({"steps": [STEPS[0], STEPS[0]]}, "steps.1.channel"),
        ({"steps": [{**STEPS[0], "wait_s": -1}]}, "steps.0.wait_s"),
        ({"steps": [{**STEPS[0], "wait_s": 8 * 86400}]}, "steps.0.wait_s"),
        ({"steps": [STEPS[0], {**STEPS[1], "trigger": "x"}]}, "steps.1.trigger"),
        ({"steps": STEPS * 6}, "steps"),
    ],
)
def test_what_is_wrong_is_named(api, given, wrong, field):
    answer = api.post(LIST, {**given, **wrong})

    assert answer.status_code == 400
    assert list(answer.json()["fields"])[0].startswith(field)
    assert not Strategy.objects.exists()


def test_a_name_is_taken_once_a_business_channel(api, given):
    assert api.post(LIST, given).status_code == 201
    assert api.post(LIST, given).status_code == 400
    assert Strategy.objects.count() == 1


def test_one_that_sends_name_stays(api, given):
    made = api.post(LIST, given).json()
    SendFactory(strategy_id=made["id"])

    answer = api.delete(f"{LIST}{made['id']}/")

    assert answer.status_code == 409
    assert answer.json()["code"] == "in_use"
    assert Strategy.objects.exists()


def test_people_of_the_console_need_the_permission(api, person, given):
    one = f"{LIST}{api.post(LIST, given).json()['id']}/"
    viewer = person("sends.view_strategy")
    viewer.handler.enforce_csrf_checks = False

    assert viewer.get(one).status_code == 200
    assert viewer.post(LIST, {**given, "name": "T"}).status_code == 403
    assert viewer.patch(one, {"name": "T"}).status_code == 403
    assert viewer.delete(one).status_code == 403
    assert person().get(LIST).status_code == 403
