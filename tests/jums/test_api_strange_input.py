"""Every described call, fed with what no client should send: never our own fault.

The test client raises what a view raises, so a 500 fails by its own traceback.
"""

import itertools
import json
from urllib.parse import quote

import pytest

from sends.models import Delivery
from tests.factories import OpenIDFactory, SendFactory

STRANGE_TEXT = [
    "",
    "\0",
    "a\0b",
    "\u202e",
    "💥" * 70,
    "x" * 70_000,
    "-1",
    "9" * 400,
    "NaN",
    "null",
    "[]",
    "' OR 1=1 --",
    "../../etc/passwd",
    "%s%",
    "2026-99-99T99:99:99Z",
]
STRANGE_JSON = [
    None,
    True,
    -1,
    2**63,
    2**200,
    1e308,
    [],
    {},
    [[]],
    {"a": {"b": []}},
    "\ud800",
    *STRANGE_TEXT[:6],
]
pytestmark = pytest.mark.timeout(300)
# Without them the calls below a thing would all end at 404.
KNOWN = {"code": "hr", "msgid": "v:1t:1p:1n:1", "id": "1", "userid": "zhangsan"}


@pytest.fixture
def things(db):
    send = SendFactory(msgid=KNOWN["msgid"], template__channel__code="hr")
    Delivery.objects.create(send=send, channel=send.channel)
    OpenIDFactory(channel=send.channel, recipient__userid="zhangsan")


@pytest.fixture
def calls(api):
    """(method, path, parameters, body schema) of every call of the resource API."""
    described = api.get("/api/schema/").json()
    schemas = described["components"]["schemas"]

    def body_of(call):
        content = call.get("requestBody", {}).get("content", {})
        for kind in content.values():
            name = kind["schema"]["$ref"].rsplit("/", 1)[-1]
            return schemas[name]["properties"]
        return None

    return [
        (method.upper(), path, call.get("parameters", []), body_of(call))
        for path, methods in described["paths"].items()
        if path.startswith("/api/")
        for method, call in methods.items()
    ]


def filled(path, **values):
    for name, value in (KNOWN | values).items():
        path = path.replace("{" + name + "}", quote(value, safe=":"))
    return path


def fine(answer):
    if answer.status_code >= 400 and answer["Content-Type"] == "application/json":
        assert set(answer.json()) >= {"code", "detail", "fields"}
    # 502: the tests' WeChat is a port where nobody listens.
    return answer.status_code < 500 or answer.status_code == 502


def test_something_is_described(calls):
    assert len(calls) > 20


@pytest.mark.usefixtures("things")
def test_strange_addresses(api, calls):
    for (method, path, parameters, _), text in itertools.product(calls, STRANGE_TEXT):
        for parameter in parameters:
            if parameter["in"] == "path" and text and len(text) < 1000:
                strange = filled(path, **{parameter["name"]: text})
                assert fine(api.generic(method, strange)), (method, strange)


@pytest.mark.usefixtures("things")
def test_strange_queries(api, calls):
    for (method, path, parameters, _), text in itertools.product(calls, STRANGE_TEXT):
        for parameter in parameters:
            if parameter["in"] == "query" and method == "GET":
                query = {parameter["name"]: text}
                assert fine(api.get(filled(path), query)), (path, query)


@pytest.mark.usefixtures("things")
def test_strange_bodies(api, calls):
    for method, path, _, properties in calls:
        if not properties or method == "GET":
            continue
        for name, value in itertools.product(properties, STRANGE_JSON):
            body = json.dumps({name: value})
            answer = api.generic(
                method, filled(path), body, content_type="application/json"
            )
            assert fine(answer), (method, path, name, value)
