"""The console's pages of callback URLs and of what they were told."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from channels_wechat.business_channels import create_business_channel
from sends import callback_urls
from sends.models import CallbackURL, StatusBatch, StatusCallback
from tests.factories import SendFactory

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
            "kind": "timeout",
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

    assert "does not take it" in page(admin_client.get(URLS))


def test_the_list_of_urls_costs_the_same_for_one_and_for_many(
    admin_client, business, django_assert_num_queries
):
    def add(number):
        return CallbackURL.objects.create(
            business_channel=business, url=f"https://1.2.3.4/{number}", types=[1]
        )

    add(0)
    with CaptureQueriesContext(connection) as one:
        admin_client.get(URLS)
    for number in range(1, 5):
        StatusBatch.objects.create(url=add(number), size=1, try_at=timezone.now())

    with django_assert_num_queries(len(one)):
        admin_client.get(URLS)


def test_the_list_says_what_was_given_up(admin_client, batch):
    batch(State.DELIVERED)
    assert "given up" not in page(admin_client.get(URLS))
    batch(State.FAILED)

    assert "some was given up" in page(admin_client.get(URLS))


def test_a_batch_shows_its_attempts_and_is_replayed(admin_client, batch):
    failed = batch(State.FAILED)
    address = f"{LOG}{failed.pk}/change/"
    assert "did not answer in time" in page(admin_client.get(LOG))
    shown = page(admin_client.get(address))
    assert "no answer within 10.0 s" in shown
    assert "work on them afterwards" in shown
    assert "then press Replay" in shown

    admin_client.post(f"{LOG}{failed.pk}/replay/")

    failed.refresh_from_db()
    assert (failed.state, failed.tries) == (State.WAITING, 0)
    assert f"{LOG}{failed.pk}/replay/" not in page(admin_client.get(address))


def test_a_batch_shows_what_it_tells_as_long_as_it_was_not_taken(admin_client, batch):
    failed, taken = batch(State.FAILED), batch(State.DELIVERED)
    send = SendFactory(title="Weekly")
    StatusCallback.objects.create(
        url=failed.url,
        send=send,
        delivery_id=1,
        type=3,
        userid="zhangsan",
        at=timezone.now(),
        batch=failed,
    )

    shown = page(admin_client.get(f"{LOG}{failed.pk}/change/"))

    assert "submission failed" in shown
    assert f"{reverse('admin:sends_send_change', args=[send.pk])}?q=zhangsan" in shown
    told = page(admin_client.get(f"{LOG}{taken.pk}/change/"))
    assert "they are not kept here any longer" in told


def test_the_log_is_paged_by_cursor_and_counts_nothing(
    admin_client, batch, django_assert_num_queries
):
    batch(State.DELIVERED)
    with CaptureQueriesContext(connection) as one:
        admin_client.get(LOG)
    last = [batch(State.DELIVERED) for _ in range(60)][-1]

    with django_assert_num_queries(len(one)):
        first = admin_client.get(LOG)
    second = admin_client.get(f"{LOG}?{first.context['next']}")

    shown = [row["batch"].pk for row in first.context["rows"]]
    assert shown == list(range(last.pk, last.pk - 50, -1))
    assert len(second.context["rows"]) == 11
    assert "COUNT(" not in str(one.captured_queries)


def test_the_log_is_filtered_by_state_and_business_channel(admin_client, batch):
    failed, other = batch(State.FAILED), create_business_channel("Shop")[0]
    batch(State.DELIVERED)
    business = failed.url.business_channel

    def shown(query):
        rows = admin_client.get(f"{LOG}?{query}").context["rows"]
        return [row["batch"].pk for row in rows]

    assert shown("state=failed") == [failed.pk]
    assert len(shown(f"business={business.pk}")) == 2
    assert shown(f"business={other.pk}") == []
    assert shown("state=nonsense&business=x&before=y") == shown("")
    assert "None of the newest" in page(admin_client.get(f"{LOG}?state=held"))


def test_the_chosen_ones_are_replayed(admin_client, batch):
    chosen = [batch(State.FAILED).pk, batch(State.HELD).pk, batch(State.DELIVERED).pk]

    answer = admin_client.post(
        f"{LOG}replay/", {"pk": [*chosen, "x"], "next": "//elsewhere/"}
    )

    assert answer.url == LOG
    states = StatusBatch.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == [State.WAITING, State.WAITING, State.DELIVERED]


def test_all_that_a_url_did_not_take_is_replayed(admin_client, batch):
    url = batch(State.FAILED).url
    batch(State.HELD)
    address = f"{URLS}{url.pk}/change/"
    assert "Replay what it did not take" in page(admin_client.get(address))

    answer = admin_client.post(f"{LOG}of/{url.pk}/replay/", follow=True)

    assert "2 status callbacks are told again." in page(answer)
    assert set(StatusBatch.objects.values_list("state", flat=True)) == {State.WAITING}


def test_a_url_is_tested_from_its_own_page(admin_client, receiver, business, person):
    row = callback_urls.add(business, receiver.url)
    receiver.echo = lambda text: (500, text)
    address = f"{URLS}{row.pk}/test/"

    assert "HTTP 500" in page(admin_client.post(address, follow=True))
    viewer = person("sends.view_callbackurl")
    viewer.handler.enforce_csrf_checks = False
    assert viewer.post(address).status_code == 403


@pytest.mark.parametrize("address", ["{pk}/replay/", "of/{url}/replay/", "replay/"])
def test_replaying_needs_its_permission_and_a_post(
    person, admin_client, batch, address
):
    failed = batch(State.FAILED)
    address = LOG + address.format(pk=failed.pk, url=failed.url_id)
    someone = person("sends.view_statusbatch")
    assert "/replay/" not in page(someone.get(f"{LOG}{failed.pk}/change/"))

    someone.handler.enforce_csrf_checks = False
    assert someone.post(address, {"pk": failed.pk}).status_code == 403
    assert admin_client.get(address).status_code == 405
    failed.refresh_from_db()
    assert failed.state == State.FAILED
