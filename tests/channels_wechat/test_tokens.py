import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
import responses
import time_machine
from django.utils import timezone

from channels_wechat import changing, token_leases, tokens
from channels_wechat.models import AccessToken
from channels_wechat.wechat.errors import ChannelRefused, WeChatUnavailable
from tests.factories import ChannelFactory
from tests.wechat.scripted import cut, http

ROOT = Path(__file__).parent.parent.parent


def token(value, expires_in=7200):
    return http(json.dumps({"access_token": value, "expires_in": expires_in}))


def refused(errcode, errmsg="no"):
    return http(json.dumps({"errcode": errcode, "errmsg": errmsg}))


def asked(scripted):
    """For each call for a token: was it by force?"""
    return [json.loads(request.body)["force_refresh"] for request in scripted.requests]


@pytest.fixture
def channel(db):
    return ChannelFactory()


@pytest.fixture
def source(channel):
    return tokens.source(channel)


def later(**by):
    return time_machine.travel(timezone.now() + timedelta(**by), tick=True)


def test_a_token_is_fetched_once_and_kept(scripted, channel, source):
    scripted.script.append(token("T1"))

    assert [source.get(), tokens.source(channel).get()] == ["T1", "T1"]

    assert asked(scripted) == [False]
    body = json.loads(scripted.requests[0].body)
    assert (body["appid"], body["secret"]) == (channel.appid, channel.app_secret)
    channel.refresh_from_db()
    assert channel.status == "ready"


def test_the_token_is_not_stored_in_the_clear(scripted, source, django_db_blocker):
    from django.db import connection

    scripted.script.append(token("PLAIN-TOKEN"))
    source.get()

    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM channels_wechat_accesstoken")
        assert "PLAIN-TOKEN" not in str(cursor.fetchall())


def test_a_token_is_renewed_before_it_ends(scripted, source):
    scripted.script.extend([token("T1"), token("T2")])
    source.get()

    with later(seconds=7200 - 5 * 60):
        assert source.get() == "T1"
    with later(seconds=7200 - 3 * 60):
        assert source.get() == "T2"

    assert asked(scripted) == [False, False]


def test_the_life_is_what_the_answer_says(scripted, source):
    # stable_token gives what remains, down to five minutes.
    scripted.script.extend([token("T1", 300), token("T2")])
    source.get()

    with later(seconds=200):
        assert source.get() == "T1"
    with later(seconds=290):
        assert source.get() == "T2"


def test_a_stale_token_is_replaced_by_force_once(scripted, source):
    scripted.script.extend([token("T1"), token("T2")])
    source.get()

    assert source.renew("T1") == "T2"
    # Hundreds of calls were under way with the old one: they get the new one.
    assert [source.renew("T1") for _ in range(5)] == ["T2"] * 5

    assert asked(scripted) == [False, True]


def test_a_forced_token_refused_as_well_is_an_error_and_no_loop(
    scripted, channel, source
):
    scripted.script.extend([token("T1"), token("T2")])
    source.get()
    source.renew("T1")

    for _ in range(3):
        with pytest.raises(ChannelRefused):
            source.renew("T2")

    assert asked(scripted) == [False, True]
    channel.refresh_from_db()
    assert (channel.status, channel.refused_errcode) == ("unauthorized", 40001)


def test_a_force_that_changes_nothing_is_not_repeated(scripted, source):
    scripted.script.extend([token("T1"), token("T1")])
    source.get()

    with pytest.raises(WeChatUnavailable):
        source.renew("T1")
    for _ in range(3):
        with pytest.raises(ChannelRefused):
            source.renew("T1")

    assert asked(scripted) == [False, True]


def test_a_token_that_worked_for_long_may_be_forced_again(scripted, source):
    scripted.script.extend([token("T1"), token("T2"), token("T3")])
    source.get()
    source.renew("T1")

    with later(minutes=30):
        assert source.renew("T2") == "T3"

    assert asked(scripted) == [False, True, True]


@pytest.mark.parametrize("errcode", [40001, 40125, 40164, 40243, 89503])
def test_a_refusal_is_kept_on_the_channel(scripted, channel, source, errcode):
    scripted.script.append(refused(errcode, "invalid ip 1.2.3.4, not in whitelist"))

    with pytest.raises(ChannelRefused):
        source.get()

    channel.refresh_from_db()
    assert channel.status == "unauthorized"
    assert channel.refused_errcode == errcode
    assert "1.2.3.4" in channel.refused_errmsg


def test_a_success_takes_the_refusal_away(scripted, channel, source):
    scripted.script.extend([refused(40164), token("T1")])
    with pytest.raises(ChannelRefused):
        source.get()

    assert source.get() == "T1"

    channel.refresh_from_db()
    assert (channel.status, channel.refused_errmsg) == ("ready", "")


def test_an_unreachable_wechat_leaves_no_lease_behind(scripted, source):
    scripted.script.extend([cut, cut, token("T1")])

    with pytest.raises(WeChatUnavailable):
        source.get()

    started = time.monotonic()
    while True:
        try:
            assert source.get() == "T1"
            break
        except WeChatUnavailable:
            continue
    assert time.monotonic() - started < 5


def test_a_held_token_bridges_an_outage(scripted, channel, source):
    scripted.script.append(token("T1"))
    source.get()
    # Somebody is asking for a new one: everyone else goes on with the old one.
    AccessToken.objects.update(
        renewer="another", renewing_until=timezone.now() + timedelta(seconds=7200)
    )

    with later(seconds=7200 - 60):
        assert source.get() == "T1"

    assert len(scripted.requests) == 1


def test_the_lease_of_a_dead_process_ends(scripted, channel, source):
    AccessToken.objects.create(
        channel=channel, renewer="dead", renewing_until=timezone.now()
    )
    scripted.script.append(token("T1"))

    assert source.get() == "T1"


def test_new_credentials_make_the_old_token_void(scripted, channel, source):
    scripted.script.extend([token("OLD"), token("NEW"), token("NEWER")])
    source.get()
    held_by_a_worker = type(channel).objects.get(pk=channel.pk)

    changing.change(channel, {"app_secret": "another-secret"})
    assert tokens.source(channel).get() == "NEW"

    # A worker that still has the old secret must not use the new one's token as its.
    assert tokens.source(held_by_a_worker).get() == "NEWER"
    secrets = [json.loads(request.body)["secret"] for request in scripted.requests]
    assert secrets == [held_by_a_worker.app_secret, "another-secret", secrets[0]]


def test_asking_asks_wechat_even_with_a_token_in_hand(scripted, channel, source):
    scripted.script.extend([token("T1"), refused(40164, "invalid ip 1.2.3.4")])
    source.get()

    with pytest.raises(ChannelRefused):
        tokens.ask(channel)

    assert asked(scripted) == [False, False]


def test_a_token_that_is_taken_away_while_it_is_got_is_got_anew(
    channel, source, settings
):
    values = iter(["T1", "T2"])

    def answer(request):
        if (value := next(values)) == "T1":
            # The account authorised again, say, at this very moment.
            token_leases.drop(AccessToken.objects.filter(channel=channel))
        return 200, {}, json.dumps({"access_token": value, "expires_in": 7200})

    with responses.RequestsMock() as wechat:
        url = f"{settings.WECHAT_API_BASE}/cgi-bin/stable_token"
        wechat.add_callback("POST", url, answer)

        assert source.get() == "T2"


def test_two_channels_have_two_tokens(scripted, db):
    scripted.script.extend([token("A"), token("B")])
    first, second = ChannelFactory(), ChannelFactory()

    assert tokens.source(first).get() == "A"
    assert tokens.source(second).get() == "B"
    assert tokens.source(first).get() == "A"


def test_beat_renews_what_ends_soon_and_nothing_else(scripted, db):
    soon, fresh, refused_one, disabled = (ChannelFactory() for _ in range(4))
    now = timezone.now()
    for each in (soon, refused_one, disabled):
        AccessToken.objects.create(channel=each, expires_at=now + timedelta(minutes=6))
    AccessToken.objects.create(channel=fresh, expires_at=now + timedelta(hours=1))
    type(soon).objects.filter(pk=refused_one.pk).update(refused_at=now)
    type(soon).objects.filter(pk=disabled.pk).update(enabled=False)

    assert tokens.ending() == [soon]


# One process of many: for each line it reads, four threads do what the line says.
PROCESS = """
import sys, threading
import django
django.setup()
from channels_wechat import tokens
from channels_wechat.models import Channel
from django.db import connection

channel = Channel.objects.get()
connection.close()

def work(what, got):
    try:
        source = tokens.source(channel)
        got.append(source.get() if what == "get" else source.renew(what))
    finally:
        connection.close()

print("ready", flush=True)
for line in sys.stdin:
    got = []
    threads = [threading.Thread(target=work, args=(line.strip(), got)) for _ in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(*got, flush=True)
"""

MAKE_CHANNEL = """
import django
django.setup()
from channels_wechat.models import Channel
Channel.objects.create(name="a", code="a", appid="wx0123456789abcdef", app_secret="s")
"""


def slowly(step):
    def answer(connection):
        time.sleep(0.5)  # everyone else comes meanwhile
        return step(connection)

    return answer


@pytest.mark.stack
def test_many_processes_ask_wechat_once(scripted, empty_database_url, tmp_path):
    place = {
        "cwd": ROOT,
        "env": {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "jums.settings",
            "DATABASE_URL": empty_database_url,
            "DATA_DIR": str(tmp_path / "data"),
            "WECHAT_API_BASE": scripted.url,
        },
    }
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True, **place)
    subprocess.run([sys.executable, "-c", MAKE_CHANNEL], check=True, **place)
    scripted.script.extend([slowly(token("T1")), slowly(token("T2"))])

    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PROCESS],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    **place,
                )
            )
            for _ in range(4)
        ]

        def all_at_once(what):
            for process in processes:
                print(what, file=process.stdin, flush=True)
            return " ".join(process.stdout.readline() for process in processes).split()

        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4

        assert all_at_once("get") == ["T1"] * 16
        assert asked(scripted) == [False]
        assert all_at_once("T1") == ["T2"] * 16
        assert asked(scripted) == [False, True]
