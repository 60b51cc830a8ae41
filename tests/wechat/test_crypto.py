import base64
import json
import re
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_wechat.wechat.crypto import (
    BAD_BASE64,
    BAD_BUFFER,
    BAD_KEY,
    NOT_DECRYPTED,
    WRONG_RECEIVER,
    CryptoError,
    MessageCrypt,
    make_encoding_aes_key,
    make_token,
    sign,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a client of 2021, here as the second opinion
    from wechatpy.crypto import WeChatCrypto

FIXTURE = json.loads(
    (Path(__file__).parent / "fixtures" / "crypto_vectors.json").read_text()
)
VECTORS = FIXTURE["vectors"]
MESSAGES = [vector for vector in VECTORS if vector["kind"] == "message"]
APPID = "wx134c8103faa5a59e"


def named(vector):
    return vector["name"]


def crypt_of(vector):
    return MessageCrypt(
        vector["token"], vector["encoding_aes_key"], vector["receive_id"]
    )


@pytest.mark.parametrize("vector", MESSAGES, ids=named)
def test_a_known_message_opens_and_is_sealed_alike(vector):
    crypt = crypt_of(vector)

    assert crypt.decrypt(vector["encrypt"]) == vector["plaintext"]
    sealed = crypt.encrypt(vector["plaintext"], vector["random"].encode())
    assert sealed == vector["encrypt"]


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if v["kind"] != "jssdk"], ids=named
)
def test_a_known_signature_is_made(vector):
    parts = (vector["token"], vector["timestamp"], vector["nonce"])

    if "signature" in vector:
        assert sign(*parts) == vector["signature"]
    sealed_by = vector.get("msg_signature") or vector.get("msg_signature_computed")
    if sealed_by:
        assert sign(*parts, vector["encrypt"]) == sealed_by
    assert "signature" in vector or sealed_by


def test_every_vector_of_the_fixture_is_used():
    assert {vector["kind"] for vector in VECTORS} == {
        "url_verification",
        "signature",
        "message",
        "jssdk",  # signs a page, not a push: nothing of ours makes it yet
    }


# Text that XML can hold, so that the other implementation reads it as well.
xml_text = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="]"),
    max_size=200,
)


@given(xml_text)
def test_another_implementation_opens_what_we_seal(text):
    key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
    sealed = MessageCrypt("token", key, APPID).encrypt(text)
    signature = sign("token", "1409304348", "xxxxxx", sealed)
    envelope = (
        f"<xml><ToUserName>gh_1</ToUserName><Encrypt><![CDATA[{sealed}]]></Encrypt>"
        "</xml>"
    )

    opened = WeChatCrypto("token", key, APPID).decrypt_message(
        envelope, signature, "1409304348", "xxxxxx"
    )

    assert opened == text


@given(xml_text)
def test_we_open_what_another_implementation_seals(text):
    key = make_encoding_aes_key()
    envelope = WeChatCrypto("token", key, APPID).encrypt_message(
        text, "xxxxxx", "1409304348"
    )
    sealed = re.search(r"<Encrypt><!\[CDATA\[(.*?)]]>", envelope, re.DOTALL)[1]
    signature = re.search(r"<MsgSignature><!\[CDATA\[(.*?)]]>", envelope)[1]

    assert MessageCrypt("token", key, APPID).decrypt(sealed) == text
    assert sign("token", "1409304348", "xxxxxx", sealed) == signature


@given(st.integers(0, 100))
def test_every_length_of_padding_comes_back(length):
    crypt = MessageCrypt("token", make_encoding_aes_key(), APPID)

    assert crypt.decrypt(crypt.encrypt("x" * length)) == "x" * length


def refusal(crypt, encrypted):
    with pytest.raises(CryptoError) as caught:
        crypt.decrypt(encrypted)
    return caught.value.code


def sealed_raw(key, plain):
    """Encrypt `plain` as it stands: what no honest sender makes."""
    from Crypto.Cipher import AES

    raw = base64.b64decode(key + "=")
    return base64.b64encode(
        AES.new(raw, AES.MODE_CBC, iv=raw[:16]).encrypt(plain)
    ).decode()


def test_what_does_not_open_is_refused_with_wechats_numbers():
    key = make_encoding_aes_key()
    crypt = MessageCrypt("token", key, APPID)
    sealed = crypt.encrypt("hello")
    padding = bytes([12]) * 12

    assert refusal(crypt, "!!!not-base64!!!") == BAD_BASE64
    assert refusal(crypt, "") == NOT_DECRYPTED
    assert refusal(crypt, "AAAA") == NOT_DECRYPTED
    assert refusal(MessageCrypt("token", key, "wx0"), sealed) == WRONG_RECEIVER
    # A padding of 33, of 0, and one that is not alike.
    assert refusal(crypt, sealed_raw(key, b"x" * 31 + b"\x21")) == NOT_DECRYPTED
    assert refusal(crypt, sealed_raw(key, b"x" * 31 + b"\x00")) == NOT_DECRYPTED
    assert refusal(crypt, sealed_raw(key, b"x" * 30 + b"\x01\x02")) == NOT_DECRYPTED
    # Lengths that point outside, a text that is none.
    too_long = b"r" * 16 + (999).to_bytes(4, "big") + padding
    assert refusal(crypt, sealed_raw(key, too_long)) == BAD_BUFFER
    assert refusal(crypt, sealed_raw(key, b"x" * 4 + padding)) == BAD_BUFFER
    plain = b"r" * 16 + (2).to_bytes(4, "big") + b"\xff\xfe" + APPID.encode()
    fill = 32 - len(plain) % 32
    assert refusal(crypt, sealed_raw(key, plain + bytes([fill]) * fill)) == BAD_BUFFER


def test_a_message_under_another_key_is_refused():
    sealed = MessageCrypt("token", make_encoding_aes_key(), APPID).encrypt("x" * 100)

    other = MessageCrypt("token", make_encoding_aes_key(), APPID)

    # By chance the padding may look right; then the length or the receiver is wrong.
    assert refusal(other, sealed) in {NOT_DECRYPTED, BAD_BUFFER, WRONG_RECEIVER}


@pytest.mark.parametrize("key", ["", "short", "A" * 42, "A" * 44, "!" * 43, "é" * 43])
def test_a_malformed_key_is_refused(key):
    with pytest.raises(CryptoError) as caught:
        MessageCrypt("token", key, APPID)

    assert caught.value.code == BAD_KEY


def test_a_key_whose_last_letter_carries_unused_bits_works():
    crypt = MessageCrypt("token", "A" * 42 + "B", APPID)

    assert crypt.decrypt(crypt.encrypt("x")) == "x"


def test_what_is_made_up_is_what_wechats_console_takes():
    for _ in range(50):
        assert re.fullmatch(r"[A-Za-z0-9]{43}", make_encoding_aes_key())
        assert re.fullmatch(r"[A-Za-z0-9]{32}", make_token())
    assert make_token() != make_token()


def test_neither_key_nor_token_is_shown():
    key = make_encoding_aes_key()

    assert repr(MessageCrypt("the-token", key, APPID)) == f"MessageCrypt({APPID})"
