"""The console's pages of callback URLs and of what they were told."""

import pytest
from django.utils import timezone

from channels_wechat.business_channels import create_business_channel
from sends import callback_urls
from sends.models import CallbackURL, StatusBatch

from .receiver import Receiver

pytestmark = pytest.mark.django_db
URLS = "/console/sends/callbackurl/"
LOG = "/console/sends/statusbatch/"
State = StatusBatch.State


@pytest.fixture
def receiver(settings):
    settings.STATUS_CALLBACK_ALLOW_PRIVATE = True
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def business():
    return create_business_channel("Orders")[0]


@pytest.fixture
def batch(receiver, business):
    url = callback_urls.add(business, f"{receiver.url}/status")

    def make(state: State) -> StatusBatch:
        attempt = {
            "at": timezone.now().isoformat(),
            "status": None,
            "error": "no answer within 10.0 s",
            "took_ms": 10_002,
        }
        return StatusBatch.objects.create(
            url=url,
            size=3,
            state=state,
            tries=4,
            try_at=timezone.now(),
            attempts=[attempt],
            ended_at=timezone.now(),
        )

    return make


def page(answer) -> str:
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_url_is_verified_when_the_form_is_saved(admin_client, receiver, business):
    form = {
        "business_channel": business.pk,
        "url": f"{receiver.url}/status",
        "types": ["3", "5"],
    }
    receiver.echo = lambda text: (404, text)
    told = page(admin_client.post(f"{URLS}add/", form))
    assert "HTTP 404" in told
    assert not CallbackURL.objects.exists()

    receiver.echo = lambda text: (200, text)
    assert admin_client.post(f"{URLS}add/", form).status_code == 302
    row = CallbackURL.objects.get()
    assert (row.types, row.default) == ([3, 5], True)
    assert len(receiver.gets) == 2
    assert row.url in page(admin_client.get(URLS))


def test_a_private_address_is_refused_in_the_form(admin_client, business):
    form = {"business_channel": business.pk, "url": "http://10.0.0.1/", "types": ["1"]}

    assert "not public" in page(admin_client.post(f"{URLS}add/", form))
    assert not CallbackURL.objects.exists()


def test_types_change_and_the_default_stays(admin_client, receiver, business):
    row = callback_urls.add(business, receiver.url)
    address = f"{URLS}{row.pk}/change/"

    told = page(admin_client.post(address, {"types": ["1"]}))
    assert "default one instead" in told

    answer = admin_client.post(address, {"types": ["1"], "default": "on"})
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.types, row.default, row.url) == ([1], True, receiver.url)


def test_the_default_moves_and_the_old_one_can_go(admin_client, receiver, business):
    first = callback_urls.add(business, f"{receiver.url}/1")
    second = callback_urls.add(business, f"{receiver.url}/2")
    StatusBatch.objects.create(url=first, size=1, try_at=timezone.now())
    delete = f"{URLS}{first.pk}/delete/"
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403

    admin_client.post(URLS, {"action": "make_default", "_selected_action": second.pk})
    assert admin_client.post(delete, {"post": "yes"}).status_code == 302

    assert list(CallbackURL.objects.values_list("pk", "default")) == [(second.pk, True)]


def test_a_url_can_be_tested(admin_client, receiver, business):
    row = callback_urls.add(business, receiver.url)
    test = {"action": "test_selected", "_selected_action": row.pk}

    told = page(admin_client.post(URLS, test, follow=True))
    assert "answers as it should" in told

    receiver.echo = lambda text: (500, text)
    told = page(admin_client.post(URLS, test, follow=True))
    assert "HTTP 500" in told


def test_the_list_says_who_does_not_answer(admin_client, batch):
    assert "nothing waits" in page(admin_client.get(URLS))
    batch(State.HELD)

    assert "does not answer" in page(admin_client.get(URLS))


def test_a_batch_shows_its_attempts_and_is_replayed(admin_client, batch):
    failed = batch(State.FAILED)
    assert "no answer within" in page(admin_client.get(LOG))
    shown = page(admin_client.get(f"{LOG}{failed.pk}/change/"))
    assert "10.0 s" in shown
    assert f"{LOG}{failed.pk}/replay/" in shown

    admin_client.post(f"{LOG}{failed.pk}/replay/")

    failed.refresh_from_db()
    assert (failed.state, failed.tries) == (State.WAITING, 0)
    shown = page(admin_client.get(f"{LOG}{failed.pk}/change/"))
    assert f"{LOG}{failed.pk}/replay/" not in shown


def test_many_are_replayed_at_once(admin_client, batch):
    chosen = [batch(State.FAILED).pk, batch(State.HELD).pk, batch(State.DELIVERED).pk]

    admin_client.post(LOG, {"action": "replay_selected", "_selected_action": chosen})

    states = StatusBatch.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == [State.WAITING, State.WAITING, State.DELIVERED]


def test_replaying_needs_its_permission(person, batch):
    failed = batch(State.FAILED)
    someone = person("sends.view_statusbatch")
    assert "/replay/" not in page(someone.get(f"{LOG}{failed.pk}/change/"))

    someone.handler.enforce_csrf_checks = False
    assert someone.post(f"{LOG}{failed.pk}/replay/").status_code == 403
    failed.refresh_from_db()
    assert failed.state == State.FAILED


def test_a_replay_wants_a_post(admin_client, batch):
    failed = batch(State.FAILED)

    assert admin_client.get(f"{LOG}{failed.pk}/replay/").status_code == 405
