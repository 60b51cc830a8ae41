"""The control API: what it refuses, and what reset puts back."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from sandbox.accounts import DEMO_APPID
from sandbox.control import CALLS
from sandbox.pages import preferred
from sandbox.people import openid
from tests.sandbox_fixture import Refused

ROOT = Path(__file__).parents[2]


def test_openids_follow_from_their_number():
    first = openid("wx5a0db0c5e7000001", 1)

    assert first == openid("wx5a0db0c5e7000001", 1)
    assert len(first) == 28
    assert first.startswith("oSB")
    assert first != openid("wx5a0db0c5e7000002", 1)


def test_reset_goes_back_to_the_demo_account(sandbox, send):
    sandbox.add_account()
    sandbox.change_account(name="Other", limits={"/cgi-bin/token": 1})
    sandbox.faults("busy")
    send(1)

    sandbox.reset()

    state = sandbox.control("GET", "state")
    assert [a["name"] for a in state["accounts"]] == [
        "云杉生活 Spruce Living",
        "云杉物业 Spruce Property",
        "云杉读书 Spruce Reading",
        "云杉新店 Spruce New Store",
        "云杉商城 Spruce Shop",
    ]
    assert state["accounts"][0]["limits"]["/cgi-bin/token"] == 2000
    assert state["faults"] == []
    assert sandbox.shown()["total"] == sandbox.stats()["accepted"] == 0


def test_accounts_are_made_changed_and_removed(sandbox):
    made = sandbox.add_account(kind="test", followers=5)
    assert made["people"] == made["followers"] == 5
    with pytest.raises(Refused, match="409"):
        sandbox.add_account(appid=made["appid"])

    changed = sandbox.change_account(made["appid"], followers=8, name="Bigger")
    assert (changed["people"], changed["name"]) == (8, "Bigger")

    sandbox.control("DELETE", f"accounts/{made['appid']}")
    with pytest.raises(Refused, match="404"):
        sandbox.account(made["appid"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("settings", {"no_such": 1}),
        ("settings", {"receipt_delay_s": [3, 1]}),
        ("settings", {"receipt_outcomes": {"lost": 1}}),
        ("settings", {"receipts": "yes"}),
        ("accounts", {"appid": "short"}),
        ("accounts", {"ip_whitelist": ["not an address"]}),
        ("accounts", {"callback": {"url": "ftp://x", "token": "abc"}}),
        ("accounts", {"callback": {"url": "http://x", "token": "a"}}),
        ("accounts", {"callback": {"url": "http://x", "token": "abc", "mode": "safe"}}),
        ("accounts", {"followers": "many"}),
        ("accounts", {"limits": ["no", "object"]}),
        ("accounts", {"templates": [{"title": 7, "content": "x"}]}),
        ("accounts", {"templates": ["no object"]}),
        ("faults", {"kind": "busy", "share": None}),
        ("push", {"fields": {}}),
    ],
)
def test_nonsense_is_refused_with_a_sentence(sandbox, path, body):
    with pytest.raises(Refused, match="422"):
        sandbox.control("POST", path, body)


def test_broken_json_is_refused(sandbox):
    url = f"{sandbox.url}/sandbox/api/settings"
    assert requests.post(url, data="{", timeout=10).status_code == 422


def test_another_sites_page_cannot_work_the_switches(sandbox):
    url = f"{sandbox.url}/sandbox/api/reset"
    evil = {"Origin": "https://evil.example"}
    ours = {"Origin": sandbox.url}

    assert requests.post(url, json={}, headers=evil, timeout=10).status_code == 403
    assert requests.post(url, json={}, headers=ours, timeout=10).status_code == 200


def test_people_are_found_by_number_name_and_openid(sandbox):
    def found(wanted):
        return [p["n"] for p in sandbox.control("GET", "people", q=wanted)]

    assert found("77") == [77]
    assert found("林晓") == [1]
    assert found("granny") == [5]
    assert found(sandbox.openid(12)) == [12]
    assert found("nobody") == []


def test_messages_are_paged_backwards(sandbox, send):
    msgids = [str(send(1)["msgid"]) for _ in range(5)]
    openid = sandbox.openid(1)

    newest = sandbox.control("GET", "messages", openid=openid, limit=2)
    older = sandbox.control(
        "GET", "messages", openid=openid, limit=9, before=newest["before"]
    )

    assert [m["msgid"] for m in newest["messages"]] == msgids[3:]
    assert [m["msgid"] for m in older["messages"]] == msgids[:3]
    assert older["before"] is None


def test_shown_is_counted_per_template_and_message(sandbox, send):
    send(1, client_msg_id="a")
    send(1, client_msg_id="b")
    send(2, client_msg_id="c")

    counts = sandbox.shown(template_id=send.template_id, counts=1)["counts"]
    assert counts == {sandbox.openid(1): 2, sandbox.openid(2): 1}
    assert sandbox.shown(client_msg_id="a")["total"] == 1
    assert sandbox.shown(template_id="other")["total"] == 0
    assert sandbox.shown()["max_per_message"] == 1


def test_calls_are_logged_without_tokens(sandbox, send):
    send(50)

    [line] = sandbox.log(path="/cgi-bin/message/template/send")
    assert (line["errcode"], line["ip"]) == (43004, "127.0.0.1")
    assert send.token not in str(sandbox.log())


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("en-GB,en;q=0.9,zh;q=0.1", "en"),
        ("fr, zh;q=0.5", "zh-CN"),
        ("", "en"),
        ("de;q=nonsense", "en"),
    ],
)
def test_the_page_speaks_the_visitors_language(sandbox, accepted, language):
    assert preferred(accepted) == language
    page = requests.get(
        f"{sandbox.url}/sandbox/", headers={"Accept-Language": accepted}, timeout=10
    )
    assert f'<html lang="{language}">' in page.text
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("page", ["sandbox.md", "sandbox.zh-CN.md"])
def test_the_docs_name_every_call_switch_and_fault(sandbox, page):
    text = (ROOT / "docs" / page).read_text()
    words = set(re.findall(r"[a-z_]+", text))

    state = sandbox.control("GET", "state")
    known = {name for _method, name in CALLS} - {"phones"}

    assert known | set(state["settings"]) | set(state["fault_kinds"]) <= words


def test_the_command_starts_it_and_stops_it(tmp_path):
    with subprocess.Popen(
        [sys.executable, "manage.py", "sandbox", "--port", "0", "--ip", "203.0.113.9"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DATA_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    ) as process:
        url = re.search(r"http://\S+?:\d+", process.stdout.readline())[0]
        asked = {"grant_type": "client_credential", "appid": DEMO_APPID, "secret": "x"}
        answer = requests.get(f"{url}/cgi-bin/token", params=asked, timeout=10).json()
        assert answer["errmsg"].startswith("invalid ip 203.0.113.9 ")
        process.terminate()
    assert process.returncode == 0


def test_a_taken_port_is_said_to_be_so(sandbox):
    port = sandbox.url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "--port", port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr
