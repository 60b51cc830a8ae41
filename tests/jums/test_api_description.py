"""The API's description and its page."""

import io
import re
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client

from .test_v1_calls import CALLS


def test_the_description_is_valid_without_a_warning():
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def test_it_is_json_unless_yaml_is_asked_for(client):
    answer = client.get("/api/schema/?lang=%00")

    assert answer["Content-Type"] == "application/json"
    described = answer.json()
    assert described["openapi"].startswith("3.")
    assert {"/api/channels/", "/api/sends/{msgid}/deliveries/"} <= set(
        described["paths"]
    )
    assert described["components"]["securitySchemes"]["accessKey"]["scheme"] == "basic"
    assert (
        client.get("/api/schema/", headers={"Accept": "application/yaml"})
        .content.decode()
        .startswith("openapi: 3")
    )


def resources():
    """Path -> calls of the resource API; the JUMS API has a shape of its own."""
    paths = Client().get("/api/schema/").json()["paths"]
    return {path: paths[path] for path in paths if path.startswith("/api/")}


def test_every_call_shows_its_errors_in_the_one_shape():
    for path, calls in resources().items():
        for verb, call in calls.items():
            assert {"401", "403"} <= set(call["responses"]), (verb, path)
            for status, answer in call["responses"].items():
                if status >= "400":
                    schema = answer["content"]["application/json"]["schema"]
                    assert "Error" in schema["$ref"], (verb, path, status)


KEYS = {"business": "channelKey", "access": "accessKey"}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_of_jums_shows_its_keys_an_example_and_its_refusals(name):
    method, path, takes = CALLS[name]
    path = f"/v1/{path.partition('?')[0]}".partition("/v:")[0]
    paths = Client().get("/api/schema/").json()["paths"]
    call = paths[path + "/{msgid}" * (name == "retract")][method.lower()]

    assert {key for one in call["security"] for key in one} == {
        KEYS[kind] for kind in takes
    }
    body = call.get("requestBody", {}).get("content", {}).get("application/json")
    assert body is None or body["examples"]
    for status, answer in call["responses"].items():
        (example,) = answer["content"]["application/json"]["examples"].values()
        assert (example["value"]["code"] == 0) is (status == "200")
        assert example["value"]["message"]


@pytest.mark.django_db
def test_the_page_has_no_script_of_its_own_and_loads_nothing_from_elsewhere(client):
    answer = client.get("/api/docs/")
    page = answer.content.decode()

    assert (
        "'unsafe-inline'"
        not in re.search(r"script-src [^;]*", answer["Content-Security-Policy"]).group()
    )
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 3
    assert all('src="/' in attributes and not body for attributes, body in scripts)
    assert "//" not in "".join(re.findall(r'(?:src|href)="([^"]*)"', page))
    assert '"validatorUrl": null' in client.get("/api/docs/?script").content.decode()


@pytest.mark.parametrize("guide", ["api.md", "api.zh-CN.md"])
def test_the_guide_says_what_to_do_about_every_error(guide):
    lines = (Path(__file__).parents[2] / "docs" / guide).read_text().splitlines()
    rows = [
        line.split("|")
        for line in lines
        if re.match(r"\| \d{3}.* \|.*\|.*\|.+\|", line)
    ]
    answers = [
        answer
        for calls in resources().values()
        for call in calls.values()
        for status, answer in call["responses"].items()
        if status >= "400"
    ]
    examples = [
        example["value"]["code"]
        for answer in answers
        for example in answer["content"]["application/json"]["examples"].values()
    ]

    assert {"invalid", "wrong_state", "wechat_refused"} <= set(examples)
    for code in set(examples):
        assert any(f"`{code}`" in row[2] and row[4].strip() for row in rows), code


@pytest.mark.parametrize("guide", ["api.md", "api.zh-CN.md"])
def test_the_guide_names_every_call_and_every_word(guide):
    text = (Path(__file__).parents[2] / "docs" / guide).read_text()
    described = Client().get("/api/schema/").json()

    for path in resources():
        # A row may name two calls: `…/errors.xlsx`, `/resume/`.
        shown = path in text or f"…/{path.rsplit('/', 1)[-1]}" in text
        assert shown or f"`/{path.split('/')[-2]}/`" in text, path
    for name, schema in described["components"]["schemas"].items():
        if name.endswith("Status"):
            for word in schema["enum"]:
                assert f"`{word}`" in text, (name, word)
