import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from channels_wechat import business_channels
from channels_wechat.access_keys import holder
from channels_wechat.models import AccessToken, BusinessChannel, Channel
from channels_wechat.secrets import SecretUnreadable
from tests.factories import ChannelFactory

pytestmark = pytest.mark.django_db


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out, no_color=True)
    return out.getvalue()


@pytest.fixture
def channel(at_sandbox):
    return ChannelFactory(
        code="demo", appid=at_sandbox.appid, app_secret=at_sandbox.secret
    )


# -- create_access_key -----------------------------------------------------------------


def test_an_access_key_is_printed_as_one_json_object_and_works():
    made = json.loads(run("create_access_key", "crm"))

    assert set(made) == {"access_key", "secret"}
    assert holder(made["access_key"], made["secret"]).name == "crm"
    assert holder(made["access_key"], "another") is None


@pytest.mark.parametrize("name", ["crm", "", "x" * 61])
def test_a_used_or_impossible_name_is_refused(name):
    run("create_access_key", "crm")

    with pytest.raises(CommandError):
        run("create_access_key", name)


# -- create_business_channel -----------------------------------------------------------


@pytest.mark.parametrize(
    "codes", [["--channel", "hr", "--channel", "shop"], ["--channel", "hr", "shop"]]
)
def test_a_business_channel_is_printed_as_one_json_object_and_works(codes):
    channels = [ChannelFactory(code=code) for code in ("hr", "shop")]

    made = json.loads(run("create_business_channel", "Orders", *codes))

    assert set(made) == {"channel_key", "master_secret"}
    row = business_channels.holder(made["channel_key"], made["master_secret"])
    assert list(row.channels.order_by("pk")) == channels
    alone = json.loads(run("create_business_channel", "Nobody's"))
    assert not BusinessChannel.objects.get(key=alone["channel_key"]).channels.exists()


@pytest.mark.parametrize(
    "arguments", [["Orders"], [""], ["x" * 61], ["New", "--channel", "nobody"]]
)
def test_a_business_channel_that_cannot_be_is_refused(arguments):
    run("create_business_channel", "Orders")

    with pytest.raises(CommandError):
        run("create_business_channel", *arguments)
    assert BusinessChannel.objects.count() == 1


# -- followers -------------------------------------------------------------------------


def test_followers_are_printed_one_a_line(channel, at_sandbox):
    openids = run("followers", "demo").splitlines()

    assert len(openids) == len(set(openids)) > 1000
    assert at_sandbox.openid(1) in openids


def test_only_new_followers_are_printed_when_compared(channel, at_sandbox, tmp_path):
    file = tmp_path / "followers.txt"
    everyone = run("followers", "demo", "--save", str(file)).splitlines()
    assert file.read_text().splitlines() == everyone

    file.write_text("\r\n".join(everyone[1:-1]))
    fresh = run("followers", "demo", "--compare", str(file), "--save", str(file))

    assert fresh.splitlines() == [everyone[0], everyone[-1]]
    assert file.read_text().splitlines() == everyone
    assert list(tmp_path.iterdir()) == [file]


def test_followers_say_what_is_wrong(channel, at_sandbox, tmp_path):
    with pytest.raises(CommandError, match="no channel with the code nobody"):
        run("followers", "nobody")
    with pytest.raises(CommandError, match="No such file"):
        run("followers", "demo", "--compare", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="No such file"):
        run("followers", "demo", "--save", str(tmp_path / "none" / "x"))

    AccessToken.objects.all().delete()
    at_sandbox.change_account(ip_whitelist=["198.51.100.7"])
    with pytest.raises(CommandError, match=r"The address is 127\.0\.0\.1"):
        run("followers", "demo")


# -- doctor ----------------------------------------------------------------------------


def test_the_doctor_prints_one_line_per_finding(channel):
    lines = run("doctor", "demo").splitlines()

    assert [line.split()[:3] for line in lines] == [
        ["ok", "demo", "token"],
        ["warn", "demo", "templates"],
        ["ok", "demo", "quota"],
        ["ok", "demo", "address"],
        ["warn", "demo", "callback"],
        ["ok", "demo", "clock"],
    ]


def test_the_doctor_exits_with_1_when_anything_is_bad(channel, at_sandbox):
    at_sandbox.change_account(ip_whitelist=["198.51.100.7"])

    with pytest.raises(SystemExit) as caught:
        run("doctor", "demo")

    assert caught.value.code == 1
    with pytest.raises(CommandError, match="no channel"):
        run("doctor", "nobody")


def test_the_doctor_looks_at_the_installation_and_every_channel(channel):
    out = io.StringIO()

    # No worker runs in a test: that is bad, and says nothing about the channels.
    with pytest.raises(SystemExit):
        call_command("doctor", stdout=out, no_color=True)

    found = {tuple(line.split()[:3]) for line in out.getvalue().splitlines()}
    assert {
        ("ok", "jums", "database"),
        ("ok", "jums", "migrations"),
        ("ok", "jums", "secrets"),
        ("bad", "jums", "worker"),
        ("ok", "demo", "token"),
    } <= found


def test_the_doctor_tells_of_made_up_keys(channel, settings):
    settings.FIELD_KEYS_ARE_KEPT = True
    out = io.StringIO()

    with pytest.raises(SystemExit):
        call_command("doctor", stdout=out, no_color=True)

    assert "FIELD_KEYS is not set" in out.getvalue()
    assert "SECRET_KEY is set" in out.getvalue()


def test_the_doctor_finds_secrets_whose_key_is_gone(channel, settings):
    settings.FIELD_KEYS = {"other": b"o" * 32}
    out = io.StringIO()

    with pytest.raises(SystemExit):
        call_command("doctor", stdout=out, no_color=True)

    assert "bad  jums         secrets" in out.getvalue()
    assert "'t1'" in out.getvalue()
    assert " demo " not in out.getvalue()


# -- rotate_keys -----------------------------------------------------------------------


def stored(column):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM channels_wechat_channel")
        return cursor.fetchone()[0]


def test_every_secret_comes_under_the_first_key(channel, settings):
    AccessToken.objects.create(channel=channel, value="T1")
    (old,) = settings.FIELD_KEYS.items()
    settings.FIELD_KEYS = {"t2": b"n" * 32, **dict([old])}

    # AppSecret, Token, EncodingAESKey and the access token; the previous key is empty.
    assert run("rotate_keys") == "4 of 4 secrets were encrypted anew.\n"
    assert run("rotate_keys") == "0 of 4 secrets were encrypted anew.\n"

    settings.FIELD_KEYS = {"t2": b"n" * 32}
    again = Channel.objects.get()
    assert again.app_secret == channel.app_secret
    assert again.access_token.value == "T1"
    assert stored("previous_aes_key") == ""


def test_rotation_stops_at_a_secret_that_does_not_open(channel, settings):
    before = stored("app_secret")
    settings.FIELD_KEYS = {"t2": b"n" * 32}

    with pytest.raises(CommandError, match="FIELD_KEYS lacks"):
        run("rotate_keys")

    assert stored("app_secret") == before
    with pytest.raises(SecretUnreadable):
        Channel.objects.get()
