"""A third-party platform held by several processes, each of which may die."""

import itertools
import shutil
import threading
import time

import pytest
import redis
import requests

from tests.sandbox_fixture import SECOND_APPID

PEOPLE, TOKEN_LIFE_S = 1200, 3
COMPONENT, AUTHORIZER = (
    "/cgi-bin/component/api_component_token",
    "/cgi-bin/component/api_authorizer_token",
)
PLATFORM = {
    "WECHATTPP_COMPONENT_APP_ID": "wx5a0db0c5e70000c0",
    "WECHATTPP_COMPONENT_APP_SECRET": "c0c0c0c05a0db0c5c0c0c0c05a0db0c5",
    "WECHATTPP_ENCODING_TOKEN": "sandboxplatform",
    "WECHATTPP_ENCODING_AES_KEY": "SpruceLivingSandboxPlatformKey0123456789abc",
}
SUBMIT = """
from channels_wechat.models import Channel
from sends import control
from sends.models import Send
from templates_mgmt.models import Template
from users.models import OpenID, Recipient

Channel.objects.update(rate_per_s=100)
channel = Channel.objects.get()
openids = given["openids"]
people = Recipient.objects.bulk_create(
    [Recipient(userid=f"u{n}") for n in range(len(openids))], batch_size=2000
)
OpenID.objects.bulk_create(
    [OpenID(channel=channel, recipient=p, openid=o) for p, o in zip(people, openids)],
    batch_size=2000,
)
send = control.new_draft(
    None,
    title="Meeting",
    channel=channel,
    template=Template.objects.get(channel=channel, title="会议预约提醒"),
    audience=Send.Audience.ALL,
    data={"thing1": "{{userid}}", "time2": "2026年5月8日 10:00", "thing3": "三楼"},
)
control.submit(send)
print(json.dumps(send.pk))
"""
STATE = """
from sends.models import Send

send = Send.objects.get(pk=given["send"])
print(json.dumps({"status": send.status, "why": send.pause_detail, **send.counts}))
"""


class Caller:
    """A business system that uses the resource API."""

    def __init__(self, stack):
        import json

        made = json.loads(stack.manage("create_access_key", "a system"))
        self.url, self.pair = stack.url, (made["access_key"], made["secret"])

    def call(self, method, path, body=None):
        return requests.request(
            method, f"{self.url}/api/{path}", json=body, auth=self.pair, timeout=60
        )


@pytest.fixture
def connected(stack, sandbox):
    """Two web processes and two workers, with an account that was connected."""
    stack.environment |= {**PLATFORM, "PUBLIC_URL": stack.url, "WEB_CONCURRENCY": "2"}
    sandbox.settings(push_patience_s=60)
    sandbox.platform(connect=stack.url)
    stack.start("web", "worker", "worker 2", "beat")
    sandbox.push_ticket()
    caller = Caller(stack)
    link = caller.call("POST", "platform/links/", {"code": "second", "name": "二号"})
    requests.get(sandbox.scan(link.json()["pc_url"]), timeout=60).raise_for_status()
    stack.wait_for(
        lambda: caller.call("GET", "channels/second/").json().get("status") == "ready",
        60,
        "the channel did not become ready",
    )
    assert caller.call("POST", "channels/second/refresh-templates/").ok
    yield caller
    sandbox.platform(event_url="", message_url="")


def calls(sandbox, path):
    return [line for line in sandbox.log(path=path, limit=5000)]


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_tokens_that_end_every_few_seconds_are_renewed_by_one_at_a_time(
    connected, stack, sandbox
):
    # Slow enough that two renewals at once would be seen to overlap.
    sandbox.settings(
        token_life_s=TOKEN_LIFE_S,
        component_token_life_s=TOKEN_LIFE_S,
        refresh_token_replaced=True,
        reply_delay_ms=[100, 200],
    )
    stack.ask(
        "from channels_wechat.models import AccessToken, Platform\n"
        "AccessToken.objects.update(value='')\n"
        "Platform.objects.update(value='')\n"
        "print(1)"
    )
    account = sandbox.change_account(SECOND_APPID, followers=PEOPLE)
    openids = [sandbox.openid(n, SECOND_APPID) for n in range(1, PEOPLE + 1)]
    began = time.time()
    send = stack.ask(SUBMIT, openids=openids)
    answers, over = [], threading.Event()

    def refresh():
        while not over.is_set():
            answer = connected.call("POST", "channels/second/refresh-templates/")
            answers.append((answer.status_code, answer.text[:300]))

    threads = [threading.Thread(target=refresh) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        state = stack.wait_for(
            lambda: (
                (now := stack.ask(STATE, send=send))["status"] != "running" and now
                if time.sleep(1) is None
                else None
            ),
            120,
            "the send did not end",
        )
    finally:
        over.set()
        for thread in threads:
            thread.join()
    took = time.time() - began

    assert account["appid"] == SECOND_APPID
    assert state["status"] == "finished", state
    assert state["unknown"] == state["waiting"] == 0
    assert state["refused"] == 1  # number 50 does not follow
    assert sandbox.shown(appid=SECOND_APPID)["max_per_openid"] == 1
    assert len(answers) > 10
    assert [answer for answer in answers if answer[0] != 200] == []
    for path in (COMPONENT, AUTHORIZER):
        lines = [line for line in calls(sandbox, path) if line["at"] >= began]
        assert {line["errcode"] for line in lines} == {0}
        # Renewed all the time, and never more often than tokens ended.
        assert took / TOKEN_LIFE_S / 3 < len(lines) < took / TOKEN_LIFE_S * 2 + 5
        times = sorted(line["at"] for line in lines)
        gaps = [late - early for early, late in itertools.pairwise(times)]
        # Two at once would be noted within one reply of each other.
        assert min(gaps) > 0.3, gaps


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_a_restart_of_everything_loses_no_ticket_and_no_authorisation(
    connected, stack, sandbox, broker_url
):
    before = connected.call("GET", "platform/").json()["ticket_received_at"]
    # WeChat pushes no further ticket, and no token of before works any more.
    sandbox.settings(tickets=False)
    for name in list(stack.running):
        stack.kill(name)
    if broker_url:
        redis.Redis.from_url(broker_url).flushdb()
    else:
        shutil.rmtree(stack.place / "data" / "queue")
    stack.ask(
        "from channels_wechat.models import AccessToken, Platform\n"
        "AccessToken.objects.all().delete()\n"
        "Platform.objects.update(value='')\n"
        "print(1)"
    )

    stack.start("web", "worker", "beat")

    assert connected.call("GET", "platform/").json()["ticket_received_at"] == before
    refreshed = connected.call("POST", "channels/second/refresh-templates/")
    assert refreshed.status_code == 200, refreshed.text
    channel = connected.call("GET", "channels/second/").json()
    assert (channel["authorization"], channel["status"]) == ("platform", "ready")
