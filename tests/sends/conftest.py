import pytest

from sends.models import Delivery, Send


@pytest.fixture
def true_counters(db):
    """Whatever a test does, the counters equal the rows when it ends."""
    yield
    assert Send.objects.all().drift() == []


@pytest.fixture
def statuses():
    """Deliveries of a send as {userid or openid: (status, reason or errcode)}."""

    def read(send: Send) -> dict[str, tuple[str, object]]:
        return {
            delivery.userid or delivery.openid: (
                Delivery.Status(delivery.status).name.lower(),
                delivery.reason or delivery.errcode,
            )
            for delivery in Delivery.objects.filter(send=send)
        }

    return read
