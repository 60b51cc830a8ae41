"""The console's pages of general templates."""

import json

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sends.models import Send
from templates_mgmt.models import GeneralTemplate
from tests.factories import TemplateFactory

pytestmark = pytest.mark.django_db
ADD = reverse("admin:templates_mgmt_generaltemplate_add")
FORM = {
    "name": "Shipped",
    "general": "on",
    "value-thing1": "Order {{order}}",
    "value-time2": "{{at}}",
}


@pytest.fixture
def template():
    return TemplateFactory(title="Parcel")


def change_of(row):
    return reverse("admin:templates_mgmt_generaltemplate_change", args=[row.pk])


def test_a_template_is_chosen_first_then_filled(admin_client, template):
    assert "Parcel" in admin_client.get(ADD).text
    address = f"{ADD}?template={template.pk}"
    assert 'name="value-thing1"' in admin_client.get(address).text

    admin_client.post(address, FORM)

    row = GeneralTemplate.objects.get()
    assert row.template == template
    assert row.data == {"thing1": "Order {{order}}", "time2": "{{at}}"}
    page = admin_client.get(change_of(row)).text
    assert 'value="Order {{order}}"' in page
    admin_client.post(change_of(row), {**FORM, "value-thing1": "Parcel"})
    row.refresh_from_db()
    assert row.data["thing1"] == "Parcel"
    everything = reverse("admin:templates_mgmt_generaltemplate_changelist")
    assert "Shipped" in admin_client.get(everything).text


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"value-thing1": ""}, "value-thing1"),
        ({"value-time2": "soon"}, "value-time2"),
        ({"name": ""}, "name"),
        ({"miniprogram_path": "pages/index"}, "miniprogram_appid"),
        ({"url": "shop.example.com"}, "url"),
    ],
)
def test_what_is_wrong_is_said(admin_client, template, wrong, field):
    answer = admin_client.post(f"{ADD}?template={template.pk}", {**FORM, **wrong})

    assert list(answer.context["adminform"].form.errors) == [field]
    assert not GeneralTemplate.objects.exists()


def test_a_subscribe_notification_has_a_page_in_the_place_of_a_link(admin_client):
    template = TemplateFactory(kind="subscribe")

    admin_client.post(
        f"{ADD}?template={template.pk}", {**FORM, "url": "pages/index?id={{order}}"}
    )

    assert GeneralTemplate.objects.get().url == "pages/index?id={{order}}"


def test_its_page_shows_the_card_and_the_call(admin_client, template):
    row = GeneralTemplate.objects.create(
        name="Shipped",
        template=template,
        data={"time2": "{{at}}", "thing1": "Order {{order}}"},
        miniprogram_path="order/{{id}}",
    )

    page = admin_client.get(change_of(row))

    call = json.loads(page.context["call"])
    assert call["template_id"] == row.pk
    assert list(call["template_para"]) == ["order", "at", "id"]
    assert "wx-card" in page.text
    assert "/v1/template/sent" in page.text
    row.general = False
    row.save()
    assert "1015032" in admin_client.get(change_of(row)).text


def test_a_send_of_the_console_begins_with_its_texts(admin_client, template):
    row = GeneralTemplate.objects.create(
        name="Shipped",
        template=template,
        data={"thing1": "{{order}}"},
        url="https://a/",
    )
    address = admin_client.get(change_of(row)).context["send_url"]

    admin_client.post(
        address, {"channel": template.channel_id, "template": template.pk, "title": ""}
    )
    other = TemplateFactory(channel=template.channel)
    admin_client.post(
        address, {"channel": other.channel_id, "template": other.pk, "title": ""}
    )

    sends = Send.objects.order_by("pk").values_list("template", "data", "url")
    assert list(sends) == [
        (template.pk, {"thing1": "{{order}}"}, "https://a/"),
        (other.pk, {}, ""),
    ]


def test_the_list_costs_the_same_for_one_and_for_many(
    admin_client, template, django_assert_num_queries
):
    address = reverse("admin:templates_mgmt_generaltemplate_changelist")
    GeneralTemplate.objects.create(name="0", template=template, data={"thing1": "a"})
    with CaptureQueriesContext(connection) as one:
        admin_client.get(address)
    for number in range(1, 9):
        GeneralTemplate.objects.create(name=str(number), template=template, data={})

    with django_assert_num_queries(len(one)):
        admin_client.get(address)


def test_an_unknown_template_is_404(admin_client):
    assert admin_client.get(f"{ADD}?template=99").status_code == 404


def test_who_may_look_may_not_change(person, template):
    row = GeneralTemplate.objects.create(
        name="Shipped", template=template, data={"thing1": "{{order}}"}
    )
    viewer = Client()
    viewer.force_login(person("templates_mgmt.view_generaltemplate").user)

    assert "thing1: {{order}}" in viewer.get(change_of(row)).text
    assert viewer.post(change_of(row), FORM).status_code == 403
    assert viewer.get(ADD).status_code == 403
