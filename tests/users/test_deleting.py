import threading
import time

import pytest
from django.db import IntegrityError, connection, transaction

from channels_wechat.models import Channel
from tests.factories import ChannelFactory, OpenIDFactory, RecipientFactory, TagFactory
from users import merging, opting
from users.models import OpenID, Recipient, RecipientTag
from users.rows import People, Person

pytestmark = pytest.mark.django_db(transaction=True)


def counts():
    return [model.objects.count() for model in (Recipient, OpenID, RecipientTag)]


def delete_by_api():
    opting.delete(["u1"])


def delete_in_the_console():
    Recipient.objects.get(userid="u1").delete()


def delete_by_upload():
    with transaction.atomic():
        merging.remove(People.of([Person(1, "u1", None, "", (), "", "")]))


DELETIONS = [delete_by_api, delete_in_the_console, delete_by_upload]


@pytest.fixture
def row():
    return Person(1, "u1", ChannelFactory().pk, f"o{1:027d}", ("new",), "", "")


@pytest.mark.parametrize("delete", DELETIONS)
def test_nothing_of_a_deleted_recipient_is_left(delete):
    one = OpenIDFactory(recipient__userid="u1")
    TagFactory(recipient=one.recipient, name="a")
    TagFactory(recipient__userid="u2", name="b")

    delete()

    assert counts() == [1, 0, 1]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer")
@pytest.mark.parametrize("delete", DELETIONS)
def test_what_is_added_while_a_recipient_is_deleted_goes_along(delete, row):
    RecipientFactory(userid="u1")

    with transaction.atomic():
        merging.merge(merging.gather(People.of([row]), "set"))
        other = started(delete)
    other.join()

    assert counts() == [0, 0, 0]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer")
@pytest.mark.parametrize("delete", DELETIONS)
def test_a_recipient_that_is_added_while_it_is_deleted_comes_back(delete, row):
    OpenIDFactory(recipient__userid="u1")

    def add():
        with transaction.atomic():
            merging.merge(merging.gather(People.of([row]), "set"))

    with transaction.atomic():
        delete()
        other = started(add)
    other.join()

    assert counts() == [1, 1, 1]
    assert Recipient.objects.get().openids.get().openid == row.openid


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer")
def test_somebody_is_added_while_a_block_of_new_people_is():
    channel = ChannelFactory()
    block = [
        Person(n, f"u{n}", channel.pk, f"o{n:027d}", ("new",), "", "")
        for n in range(1, 50)
    ]

    def add():
        with transaction.atomic():
            merging.merge(merging.gather(People.of(block), "set"))

    with transaction.atomic():
        one = OpenIDFactory(channel=channel, recipient__userid="u30")
        other = started(add)
        assert other.is_alive()
    other.join()

    assert counts() == [49, 49, 49]
    one.refresh_from_db()
    assert (one.openid, one.recipient.userid) == (f"o{30:027d}", "u30")


def add_by_upload(channel):
    row = Person(1, "u1", channel.pk, f"o{1:027d}", (), "", "")
    with transaction.atomic():
        merging.merge(merging.gather(People.of([row]), "set"))


def add_by_api(channel):
    item = {"userid": "u1", "set": {"wechatoa": {channel.code: f"o{1:027d}"}}}
    assert opting.opt([item], None).success == ["u1"]


def add_in_the_console(channel):
    OpenIDFactory(channel=channel, recipient__userid="u1")


def delete_one(channel):
    channel.delete()


def delete_many(channel):
    Channel.objects.filter(pk=channel.pk).delete()


ADDITIONS = [add_by_upload, add_by_api, add_in_the_console]


@pytest.mark.parametrize("delete", [delete_one, delete_many])
@pytest.mark.parametrize("add", ADDITIONS)
def test_no_openid_of_a_deleted_channel_is_left(add, delete):
    channel = ChannelFactory()
    add(channel)
    assert OpenID.objects.get().channel == channel

    delete(channel)

    assert counts() == [1, 0, 0]


# The API does not even find it.
@pytest.mark.parametrize("add", [add_by_upload, add_in_the_console])
def test_nothing_is_added_to_a_channel_that_is_gone(add):
    channel = ChannelFactory()
    Channel.objects.filter(pk=channel.pk).delete()

    with pytest.raises(IntegrityError):
        add(channel)

    assert not OpenID.objects.exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer")
@pytest.mark.parametrize("delete", [delete_one, delete_many])
@pytest.mark.parametrize("add", ADDITIONS)
def test_an_openid_that_is_added_while_its_channel_is_deleted_goes_along(add, delete):
    channel = ChannelFactory()

    with transaction.atomic():
        add(channel)
        other = started(lambda: delete(channel))
    other.join()

    assert counts() == [1, 0, 0]
    assert not Channel.objects.exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer")
@pytest.mark.parametrize("delete", [delete_one, delete_many])
@pytest.mark.parametrize("add", ADDITIONS)
def test_no_openid_is_added_to_a_channel_that_is_being_deleted(add, delete):
    channel = ChannelFactory()
    failures = []

    def try_to_add():
        try:
            add(Channel(pk=channel.pk, code=channel.code))
        except IntegrityError as error:
            failures.append(error)

    with transaction.atomic():
        delete(Channel.objects.get())
        other = started(try_to_add)
        assert other.is_alive()
    other.join()

    assert len(failures) == 1
    assert not OpenID.objects.exists()


def started(work):
    """Start `work` in a thread; return it once the work waits for a lock."""

    def run():
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM pg_locks WHERE NOT granted"
                " AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            if cursor.fetchone():
                break
        time.sleep(0.01)
    return thread
