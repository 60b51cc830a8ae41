"""The described API, called as its own description allows and forbids: no fault of
ours, and no status that the description does not name."""

import base64

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from channels_wechat import access_keys, business_channels
from tests.factories import OpenIDFactory, SendFactory

schema = schemathesis.openapi.from_wsgi(
    "/api/schema/?format=json", get_wsgi_application()
)


@pytest.fixture
def authorization(db, one_connection):
    row, secret = access_keys.create_access_key("fuzz")
    send = SendFactory(template__channel__templates_refreshed_at=timezone.now())
    OpenIDFactory(channel=send.channel, recipient__userid="zhangsan")
    sender, master_secret = business_channels.create_business_channel(
        "fuzz", [send.channel]
    )

    def header(path):
        key = (sender.key, master_secret)
        if path.startswith("/api/") or path == "/v1/user/delete":
            key = (row.key, secret)
        pair = base64.b64encode(":".join(key).encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    return header


# Without WeChat the token call answers 500 and 5000, as JUMS' clients expect it.
@schema.exclude(path="/v1/token").parametrize()
@settings(
    max_examples=6,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_answer_is_our_fault_or_undescribed(case, authorization):
    response = case.call(headers=authorization(case.path))

    case.validate_response(
        response, checks=[not_a_server_error, status_code_conformance]
    )
