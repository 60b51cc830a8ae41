"""`manage.py up` as a process: the product on each broker, started and stopped."""

import re
import signal
import socket
import time

import pytest
import requests
from django.conf import settings

TEST_DATABASE = settings.TEST_DATABASE


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def is_ready(environment):
    def ask():
        try:
            url = f"http://127.0.0.1:{environment['PORT']}/readyz"
            return requests.get(url, timeout=10).ok
        except requests.RequestException:
            return False

    return ask


def is_free(port) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError:
            return False
        return True


# Every broker once a run of the whole suite, with the database it is used with.
BROKERS = {"sqlite": ["filesystem"], "postgres": ["redis", "rabbitmq"]}[TEST_DATABASE]


@pytest.mark.stack
@pytest.mark.timeout(300)
@pytest.mark.parametrize("broker", BROKERS)
def test_everything_comes_up_and_goes_down(
    broker, request, environment, start, tmp_path
):
    if broker != "filesystem":
        fixture = {"redis": "redis_url", "rabbitmq": "amqp_url"}[broker]
        environment["CELERY_BROKER_URL"] = request.getfixturevalue(fixture)
    up = start("up")

    assert wait_for(is_ready(environment)), (tmp_path / "out").read_text()
    page = requests.get(f"http://127.0.0.1:{environment['PORT']}/", timeout=10)
    assert "/console/login/" in page.url
    assert page.ok
    # Styles are served without any further step.
    style = re.search(r'href="(/static/[^"]+\.css[^"]*)"', page.text)[1]
    assert requests.get(f"http://127.0.0.1:{environment['PORT']}{style}", timeout=5).ok

    up.send_signal(signal.SIGTERM)

    assert up.wait(60) == 0
    assert is_free(environment["PORT"])
    assert "First login: admin" in (tmp_path / "out").read_text()


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_the_first_login_is_made_once_and_works(environment, start, tmp_path):
    up = start("up")
    assert wait_for(is_ready(environment))
    first = (tmp_path / "out").read_text()
    user, password = re.search(r"First login: (\S+)  (\S+)", first).groups()
    login = f"http://127.0.0.1:{environment['PORT']}/console/login/"

    with requests.Session() as browser:
        browser.get(login, timeout=10)
        entered = browser.post(
            login,
            {
                "username": user,
                "password": password,
                "csrfmiddlewaretoken": browser.cookies["csrftoken"],
                "next": "/console/",
            },
            timeout=20,
        )
        assert entered.url.endswith("/console/")
        assert entered.ok

    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0
    start("up")
    assert wait_for(is_ready(environment))
    assert "First login" not in (tmp_path / "out").read_text()


def test_a_taken_port_is_named_with_the_way_out(environment, start, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        up = start("up", PORT=str(port))

        assert up.wait(60) == 1
    said = (tmp_path / "out").read_text()
    assert f"Port {port} of 127.0.0.1 cannot be used" in said
    assert f"PORT={port + 10}" in said
    assert "Traceback" not in said
