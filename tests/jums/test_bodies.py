"""Bodies as clients send them: the web server's side, in front of Django."""

import io
import json

import pytest
from django.core.wsgi import get_wsgi_application
from django.test import RequestFactory

from jums import bodies
from tests.api_fixture import basic


@pytest.fixture
def call(db, one_connection):
    """POST a body as gunicorn passes it on; return status, answer and what is left."""

    def post(path, pair, content, **environ):
        body = io.BytesIO(content)
        answered = []
        given = {
            **RequestFactory()._base_environ(),
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "CONTENT_TYPE": "application/json",
            "HTTP_AUTHORIZATION": basic(*pair),
            "wsgi.input": body,
            "wsgi.input_terminated": True,
            **environ,
        }
        given.pop("CONTENT_LENGTH", None)
        if "HTTP_TRANSFER_ENCODING" not in given:
            given["CONTENT_LENGTH"] = str(len(content))
        application = bodies.WholeBodies(get_wsgi_application())
        answer = application(given, lambda status, _headers: answered.append(status))
        return int(answered[0][:3]), json.loads(b"".join(answer)), body.read()

    return post


CHUNKED = {"HTTP_TRANSFER_ENCODING": "Chunked"}


@pytest.mark.parametrize("how", [{}, CHUNKED], ids=["with its length", "chunked"])
def test_a_body_is_read_whole(shop, call, how):
    people = [{"userid": f"u{n}" + "x" * 50} for n in range(1000)]

    status, answer, left = call(
        "/v1/user/opt", shop.pair, json.dumps(people).encode(), **how
    )

    assert (status, len(answer["data"]["success"]), left) == (200, 1000, b"")


@pytest.mark.parametrize("path", ["/v1/sent", "/v1/nothing", "/api/channels/"])
def test_a_refused_call_leaves_nothing_behind(call, path):
    status, _answer, left = call(path, ("f" * 24, "x"), b"x" * 1_000_000)

    assert (status in {401, 404}, left) == (True, b"")


@pytest.mark.parametrize(
    ("path", "told"),
    [("/v1/sent", {"code": 4004}), ("/api/lists/", {"code": "too_large"})],
)
def test_a_chunked_body_without_an_end_is_413(shop, call, monkeypatch, path, told):
    monkeypatch.setattr(bodies, "AT_MOST", 100_000)

    status, answer, _left = call(path, shop.pair, b"x" * 300_000, **CHUNKED)

    assert status == 413
    assert answer.items() >= told.items()


def test_a_server_whose_bodies_have_no_end_is_never_read_further(shop, call):
    status, _answer, left = call(
        "/v1/retract/x", shop.pair, b"null", **{"wsgi.input_terminated": False}
    )

    assert (status, left) == (400, b"null")
