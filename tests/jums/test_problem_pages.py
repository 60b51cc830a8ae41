"""Pages that say what went wrong with an address."""

import pytest
from django.core.exceptions import SuspiciousOperation
from django.test import Client
from django.urls import path
from django.views.defaults import server_error

from jums import urls

pytestmark = pytest.mark.django_db


def suspicious(request):
    raise SuspiciousOperation


def broken(request):
    return server_error(request)


urlpatterns = [
    *urls.urlpatterns,
    path("suspicious", suspicious),
    path("broken", broken),
]


@pytest.mark.parametrize(
    ("language", "said"), [("en", "There is nothing here"), ("zh-hans", "这里没有内容")]
)
def test_a_wrong_address_says_so_in_the_readers_language(admin_client, language, said):
    admin_client.cookies["django_language"] = language

    answer = admin_client.get("/console/no/such/page/")

    assert answer.status_code == 404
    assert said in answer.text
    assert 'href="/console/"' in answer.text


def test_whoever_is_not_in_the_console_gets_no_way_into_it(client):
    answer = client.get("/no/such/page")

    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
    assert "/console/" not in answer.text


def test_a_missing_permission_and_an_old_form_are_told_apart(person, admin_user):
    lacking = person("sends.view_send").get("/console/users/recipient/")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    old = strict.post("/console/users/userlist/add/", {"name": "x"})

    assert lacking.status_code == old.status_code == 403
    assert "You may not do this" in lacking.text
    assert "This form is too old" in old.text


@pytest.mark.urls("tests.jums.test_problem_pages")
def test_strange_requests_and_our_own_faults_have_a_page(client):
    strange, ours = client.get("/suspicious"), client.get("/broken")

    assert (strange.status_code, ours.status_code) == (400, 500)
    assert "This request cannot be read" in strange.text
    assert "Something went wrong here" in ours.text


@pytest.mark.parametrize("address", ["/api/nothing/", "/v1/nothing"])
def test_programs_get_json_all_the_same(client, address):
    assert client.get(address)["Content-Type"].startswith("application/json")
