import pytest
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from axes.models import AccessAttempt
from django.contrib.auth.models import Permission

from sends.models import Strategy
from templates_mgmt.models import GeneralTemplate
from tests.factories import ChannelFactory, UserFactory
from users import audiences
from users.models import Segment, UserList

pytestmark = pytest.mark.django_db


def test_a_changed_channel_leaves_who_and_what():
    channel = ChannelFactory(name="Before")
    channel.name = "After"
    channel.save()

    entry = LogEntry.objects.get_for_object(channel).first()

    assert entry.action == LogEntry.Action.UPDATE
    assert entry.changes_dict == {"name": ["Before", "After"]}


def test_a_changed_secret_is_noted_without_the_secret():
    channel = ChannelFactory(app_secret="0ldsecret0ldsecret")
    channel.app_secret = "n3wsecretn3wsecret"
    channel.save()

    entries = LogEntry.objects.get_for_object(channel)

    assert "app_secret" in entries.first().changes_dict
    written = " ".join(str(entry.changes) for entry in entries)
    assert "0ldsecret" not in written
    assert "n3wsecret" not in written
    assert "tokentoken" not in written


def test_what_machines_note_on_a_channel_is_no_change():
    channel = ChannelFactory()
    channel.checked_at = channel.created_at
    channel.save(update_fields=["checked_at"])

    assert LogEntry.objects.get_for_object(channel).count() == 1


def test_passwords_and_logins(client):
    person = UserFactory()
    client.force_login(person)
    person.set_password("another horse")
    person.save()

    entries = list(LogEntry.objects.get_for_object(person))

    assert len(entries) == 2
    assert entries[0].changes_dict == {"password": ["••••••", "••••••"]}


def test_the_log_says_who_changed_a_role(admin_client, admin_user):
    admin_client.post("/console/auth/group/add/", {"name": "Senders"})

    entry = LogEntry.objects.get(object_repr="Senders")
    assert entry.actor == admin_user
    page = admin_client.get("/console/auditlog/logentry/").content.decode()
    assert "Senders" in page
    assert "Role" in page


def test_the_log_names_changed_fields_as_the_forms_do(admin_client):
    channel = ChannelFactory()
    channel.connections = 7
    channel.save()

    page = admin_client.get("/console/auditlog/logentry/").content.decode()

    assert "connections at once" in page


def test_the_audit_log_cannot_be_changed(admin_client, admin_user):
    admin_client.post("/console/auth/group/add/", {"name": "Senders"})
    entry = LogEntry.objects.get(object_repr="Senders")

    for address in ("change", "delete"):
        page = f"/console/auditlog/logentry/{entry.pk}/{address}/"
        admin_client.post(page, {"post": "yes", "object_repr": "Others"})

    entry.refresh_from_db()
    assert entry.object_repr == "Senders"


def test_a_locked_login_is_unlocked_by_who_may(admin_client, client):
    attempt = AccessAttempt.objects.create(
        username="lin", ip_address="203.0.113.1", failures_since_start=10
    )
    form = {"action": "unlock", "_selected_action": [attempt.pk]}

    admin_client.post("/console/axes/accessattempt/", form)

    assert not AccessAttempt.objects.exists()


def test_a_role_offers_what_the_console_shows(admin_client):
    page = admin_client.get("/console/auth/group/add/").content.decode()

    assert "Sends · view" in page
    assert "Sends · Can submit a send" in page
    assert "chunk" not in page.lower()


def test_an_entry_shows_before_and_after_without_markup_of_theirs(admin_client):
    channel = ChannelFactory(name="<b>Before</b>")
    channel.name = "After"
    channel.save()
    entry = LogEntry.objects.get_for_object(channel).first()

    page = admin_client.get(f"/console/auditlog/logentry/{entry.pk}/change/")

    assert "name: &lt;b&gt;Before&lt;/b&gt; → After" in page.content.decode()


def test_an_entry_shows_what_a_role_may_do_now(admin_client):
    may = Permission.objects.get(codename="submit_send")
    admin_client.post(
        "/console/auth/group/add/", {"name": "Senders", "permissions": [may.pk]}
    )
    entry = LogEntry.objects.filter(
        object_repr="Senders", action=LogEntry.Action.UPDATE
    ).get()

    page = admin_client.get(f"/console/auditlog/logentry/{entry.pk}/change/")

    assert "Can submit a send" in page.content.decode()


def test_what_operators_keep_for_sends_is_watched():
    gone = UserList.objects.create(name="Gone", kind="black")
    audiences.put_on(gone, ["zhangsan", "lisi"])

    entry = LogEntry.objects.get_for_object(gone).first()

    assert entry.changes_dict == {"size": ["0", "2"]}
    for model in (Segment, Strategy, GeneralTemplate):
        assert auditlog.contains(model)
