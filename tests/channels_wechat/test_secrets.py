import base64

import pytest
from django.core.exceptions import FieldError
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from channels_wechat.models import Channel
from channels_wechat.secrets import SecretUnreadable, is_stale, seal, unseal
from tests.factories import ChannelFactory

FIELD = "channels_wechat.channel.app_secret"


def stored(column, pk):
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column} FROM channels_wechat_channel WHERE id = %s", [pk]
        )
        return cursor.fetchone()[0]


@given(st.text())
def test_any_text_comes_back(text):
    assert unseal(seal(text, FIELD), FIELD) == text


def test_the_same_secret_is_never_stored_alike():
    first, second = seal("secret", FIELD), seal("secret", FIELD)

    assert first != second
    assert first.startswith("v1.t1.")
    assert "secret" not in first


def test_a_stored_secret_belongs_to_its_column():
    with pytest.raises(SecretUnreadable):
        unseal(seal("secret", FIELD), "channels_wechat.channel.callback_token")


@pytest.mark.parametrize("position", [0, 12, 27, 30])
def test_a_changed_byte_is_noticed(position):
    head, _dot, encoded = seal("a long secret", FIELD).rpartition(".")
    raw = bytearray(base64.b64decode(encoded))
    raw[position] ^= 1

    with pytest.raises(SecretUnreadable):
        unseal(f"{head}.{base64.b64encode(raw).decode()}", FIELD)


@pytest.mark.parametrize(
    "text",
    ["", "secret", "v1", "v1.t1", "v1.t1.", "v1.t1.!!!", "v2.t1.AAAA", "v1.t1.AA"],
)
def test_what_is_no_stored_secret_is_refused(text):
    with pytest.raises(SecretUnreadable):
        unseal(text, FIELD)


def test_a_missing_key_is_named_and_the_secret_is_not(settings):
    sealed = seal("the-secret", FIELD)
    settings.FIELD_KEYS = {"other": b"o" * 32}

    with pytest.raises(SecretUnreadable, match="'t1'") as caught:
        unseal(sealed, FIELD)

    assert "the-secret" not in str(caught.value)


def test_another_key_of_the_same_name_does_not_open(settings):
    sealed = seal("secret", FIELD)
    settings.FIELD_KEYS = {"t1": b"o" * 32}

    with pytest.raises(SecretUnreadable):
        unseal(sealed, FIELD)


def test_the_first_key_seals_and_every_key_opens(settings):
    old = seal("secret", FIELD)
    settings.FIELD_KEYS = {"t2": b"n" * 32, **settings.FIELD_KEYS}
    new = seal("secret", FIELD)

    assert (unseal(old, FIELD), unseal(new, FIELD)) == ("secret", "secret")
    assert (is_stale(old), is_stale(new)) == (True, False)


@pytest.mark.django_db
def test_the_database_holds_no_secret():
    channel = ChannelFactory(app_secret="the-app-secret", callback_token="")

    assert "the-app-secret" not in stored("app_secret", channel.pk)
    assert stored("previous_aes_key", channel.pk) == ""
    again = Channel.objects.get(pk=channel.pk)
    assert again.app_secret == "the-app-secret"
    # Made up, since none was given.
    assert len(again.callback_token) == 32


@pytest.mark.django_db
def test_no_query_can_compare_a_secret():
    channel = ChannelFactory(app_secret="the-app-secret")

    with pytest.raises(FieldError, match="exact"):
        Channel.objects.get(app_secret="the-app-secret", pk=channel.pk)


@pytest.mark.django_db
def test_a_channel_shows_none_of_its_secrets():
    channel = ChannelFactory(app_secret="the-app-secret")

    for shown in (repr(channel), str(channel)):
        assert "the-app-secret" not in shown
        assert channel.callback_token not in shown
