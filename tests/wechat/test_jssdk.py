import json
from pathlib import Path

from channels_wechat.wechat.jssdk import sign

VECTOR = json.loads((Path(__file__).parent / "fixtures" / "jssdk.json").read_text())


def test_the_official_example_is_signed_as_wechat_does():
    given = [VECTOR[name] for name in ("jsapi_ticket", "noncestr", "timestamp", "url")]

    assert sign(*given) == VECTOR["signature"]


def test_what_follows_a_hash_is_not_signed():
    *given, url = (VECTOR[n] for n in ("jsapi_ticket", "noncestr", "timestamp", "url"))

    assert sign(*given, f"{url}#wechat_redirect") == VECTOR["signature"]
    assert sign(*given, f"{url}&from=timeline") != VECTOR["signature"]
