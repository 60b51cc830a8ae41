"""General templates over the resource API."""

import pytest
from django.utils import timezone

from templates_mgmt.models import GeneralTemplate
from tests.factories import ChannelFactory, TemplateFactory

pytestmark = pytest.mark.django_db
LIST = "/api/general-templates/"
DATA = {"thing1": "Order {{order}}", "time2": "{{at}}"}


@pytest.fixture
def given():
    template = TemplateFactory(channel__code="hr")
    return {
        "name": "Shipped",
        "channel": "hr",
        "template_id": template.template_id,
        "data": DATA,
    }


def test_made_read_changed_removed(api, given):
    answer = api.post(LIST, {**given, "url": "https://shop.example/{{order}}"})

    assert answer.status_code == 201
    made = answer.json()
    assert isinstance(made["id"], int)
    assert {name: made[name] for name in given} == given
    assert made["variables"] == ["order", "at"]
    assert made["general"] is True
    assert made["miniprogram"] is None
    one = f"{LIST}{made['id']}/"
    assert api.get(one).json() == made
    assert api.get(LIST).json()["results"] == [made]

    program = {"appid": "wx5a0db0c5e7000001", "pagepath": "pages/{{order}}"}
    change = {"general": False, "miniprogram": program}
    changed = api.patch(one, change).json()
    assert {name: changed[name] for name in change} == change
    assert changed["data"] == DATA
    assert api.patch(one, {"miniprogram": None}).json()["miniprogram"] is None

    assert api.delete(one).status_code == 204
    assert not GeneralTemplate.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "taken"}, "name"),
        ({"channel": "nobody"}, "channel"),
        ({"channel": "other"}, "template_id"),
        ({"template_id": "gone"}, "template_id"),
        ({"template_id": "nothing"}, "template_id"),
        ({"data": {"thing1": "x"}}, "data.time2"),
        ({"data": {**DATA, "thing9": "x"}}, "data.thing9"),
        ({"data": {**DATA, "time2": "soon"}}, "data.time2"),
        ({"data": {**DATA, "thing1": "x" * 21}}, "data.thing1"),
        ({"data": {**DATA, "thing1": 5.5, "time2": []}}, "data.time2"),
        ({"data": "text"}, "data"),
        ({"url": "x" * 1001}, "url"),
        ({"miniprogram": {"appid": "shop"}}, "miniprogram.appid"),
        ({"miniprogram": "wx"}, "miniprogram"),
    ],
)
def test_what_is_wrong_is_named(api, given, wrong, field):
    ChannelFactory(code="other")
    gone = TemplateFactory(template_id="gone", removed_at=timezone.now())
    GeneralTemplate.objects.create(name="taken", template=gone, data={})

    answer = api.post(LIST, {**given, **wrong})

    assert answer.status_code == 400
    assert list(answer.json()["fields"])[0].startswith(field)
    assert GeneralTemplate.objects.count() == 1


def test_a_change_is_checked_against_the_new_template(api, given):
    one = f"{LIST}{api.post(LIST, given).json()['id']}/"
    other = TemplateFactory(
        channel__code="shop", fields=[{"key": "thing5", "label": "", "type": "thing"}]
    )
    change = {"channel": "shop", "template_id": other.template_id}

    assert "data.thing5" in api.patch(one, change).json()["fields"]
    changed = api.patch(one, {**change, "data": {"thing5": "{{order}}"}})

    assert changed.status_code == 200
    assert GeneralTemplate.objects.get().template == other


def test_people_of_the_console_need_the_permission(api, person, given):
    one = f"{LIST}{api.post(LIST, given).json()['id']}/"
    viewer = person("templates_mgmt.view_generaltemplate")
    viewer.handler.enforce_csrf_checks = False

    assert viewer.get(one).status_code == 200
    assert viewer.post(LIST, {**given, "name": "T"}).status_code == 403
    assert viewer.patch(one, {"name": "T"}).status_code == 403
    assert viewer.delete(one).status_code == 403
    assert person().get(LIST).status_code == 403
