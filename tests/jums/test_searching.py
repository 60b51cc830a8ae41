import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.utils import timezone

from tests.factories import (
    ChannelFactory,
    OpenIDFactory,
    RecipientFactory,
    SendFactory,
    TemplateFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


def found(client, typed):
    response = client.get("/console/search/", {"s": typed, "extended": "1"})
    if not response.context:
        return []
    return [result.title for result in response.context_data["results"]]


def test_channels_and_templates_are_found_by_part_of_their_name(admin_client):
    channel = ChannelFactory(name="City Library", code="citylib")
    TemplateFactory(channel=channel, title="Overdue library book")
    TemplateFactory(
        channel=channel, title="Old library card", removed_at=timezone.now()
    )

    assert found(admin_client, "LIBR") == ["City Library", "Overdue library book"]
    assert found(admin_client, "citylib") == ["City Library"]


def test_people_and_sends_are_found_by_their_whole_id_alone(admin_client):
    person = RecipientFactory(userid="Zhang.San")
    OpenIDFactory(recipient=person, openid="oAbC" + "x" * 24)
    SendFactory(msgid="V:1t:7p:8n:2", title="Autumn")

    assert found(admin_client, "Zhang.San") == ["Zhang.San"]
    assert found(admin_client, "Zhang") == []
    assert found(admin_client, "oAbC" + "x" * 24) == ["Zhang.San"]
    assert found(admin_client, "V:1t:7p:8n:2") == ["Autumn"]


def test_nobody_finds_what_they_may_not_see(client):
    person = RecipientFactory(userid="Zhang.San")
    ChannelFactory(name="City Library")
    user = UserFactory()
    client.force_login(user)

    assert found(client, "Zhang.San") == found(client, "library") == []

    cache.clear()
    user.user_permissions.add(Permission.objects.get(codename="view_recipient"))
    assert found(client, "Zhang.San") == [person.userid]
