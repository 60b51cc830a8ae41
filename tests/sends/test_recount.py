from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sends.models import Delivery, Send
from tests.factories import SendFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def drifted():
    send = SendFactory(n_waiting=3)
    Delivery.objects.create(send=send, channel=send.channel, openid="o1")
    return send


def test_drift_is_reported_and_left_alone(drifted):
    out = StringIO()

    with pytest.raises(CommandError, match="1 counters are wrong"):
        call_command("recount", stdout=out)

    assert "waiting is counted as 3, the rows say 1" in out.getvalue()
    assert Send.objects.get().n_waiting == 3


def test_fix_sets_the_counters_to_the_rows(drifted):
    call_command("recount", "--fix", stdout=StringIO())

    assert Send.objects.get().n_waiting == 1
    call_command("recount", drifted.msgid, stdout=StringIO())
