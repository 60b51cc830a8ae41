"""Signatures and encryption of what WeChat pushes to us.

AES-256-CBC with the first half of the key as IV, PKCS#7 with a block of 32 (so a
padding of 17 to 32 bytes is right, which ready-made unpadders refuse). Inside: 16
random bytes, the length of the message in bytes (4, big-endian), the message, the
receive id.

Source: WeChat's official sample code and
https://developers.weixin.qq.com/miniprogram/dev/framework/server-ability/
message-push.html (read 2026-11).
"""

import base64
import binascii
import hashlib
import secrets
import string

from Crypto.Cipher import AES

BLOCK = 32
RANDOM = 16

BAD_SIGNATURE = -40001
BAD_KEY = -40004
WRONG_RECEIVER = -40005
NOT_DECRYPTED = -40007
BAD_BUFFER = -40008
BAD_BASE64 = -40010


class CryptoError(ValueError):
    """A push that does not open. `code` is WeChat's own number for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


def sign(*parts: str) -> str:
    """Return WeChat's signature of `parts`: (token, timestamp, nonce) and, for
    `msg_signature`, the encrypted text. Compare with `hmac.compare_digest`."""
    # By bytes: that is also the order of code points, hence of Python's strings.
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()


def make_token() -> str:
    """Return a new Token: 32 letters and digits, the most WeChat's console takes."""
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(32))


def make_encoding_aes_key() -> str:
    """Return a new EncodingAESKey: 43 letters and digits, i.e. 32 bytes in base64."""
    while True:
        key = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        # WeChat's console takes letters and digits only; about one key in four is so.
        if key.isalnum():
            return key


def _aes_key(encoding_aes_key: str) -> bytes:
    try:
        # Not strict: the last letter of a key may carry bits that mean nothing.
        key = base64.b64decode(encoding_aes_key + "=")
    except (binascii.Error, ValueError):
        key = b""
    if len(encoding_aes_key) != 43 or len(key) != 32:
        raise CryptoError(BAD_KEY, "The EncodingAESKey is not 43 letters and digits.")
    return key


class MessageCrypt:
    """Opens and seals the messages of one receiver.

    `receive_id` is the account's AppID, or the platform's when a third-party platform
    speaks for it. Raises CryptoError for a malformed key.
    """

    def __init__(self, token: str, encoding_aes_key: str, receive_id: str) -> None:
        self.token = token
        self._key = _aes_key(encoding_aes_key)
        self._receive_id = receive_id.encode()

    def __repr__(self) -> str:
        return f"MessageCrypt({self._receive_id.decode()})"

    def encrypt(self, text: str, random: bytes | None = None) -> str:
        """Return `text` encrypted, in base64. `random` is for known answers only."""
        random = secrets.token_bytes(RANDOM) if random is None else random
        message = text.encode()
        plain = random + len(message).to_bytes(4, "big") + message + self._receive_id
        count = BLOCK - len(plain) % BLOCK
        cipher = AES.new(self._key, AES.MODE_CBC, iv=self._key[:16])
        sealed = cipher.encrypt(plain + bytes([count]) * count)
        return base64.b64encode(sealed).decode()

    def decrypt(self, encrypted: str) -> str:
        """Return the message in `encrypted`, untrimmed. Raises CryptoError: base64,
        padding or length wrong, not UTF-8, or meant for another receiver."""
        try:
            sealed = base64.b64decode(encrypted, validate=True)
        except (binascii.Error, ValueError):
            raise CryptoError(BAD_BASE64, "The encrypted text is not base64.") from None
        if not sealed or len(sealed) % 16:
            raise CryptoError(NOT_DECRYPTED, "The encrypted text has no whole blocks.")
        cipher = AES.new(self._key, AES.MODE_CBC, iv=self._key[:16])
        plain = cipher.decrypt(sealed)
        count = plain[-1]
        if not 1 <= count <= BLOCK or plain[-count:] != bytes([count]) * count:
            raise CryptoError(NOT_DECRYPTED, "The text was encrypted with another key.")
        plain = plain[:-count]
        start = RANDOM + 4
        end = start + int.from_bytes(plain[RANDOM:start], "big")
        if len(plain) < start or end > len(plain):
            raise CryptoError(BAD_BUFFER, "The length inside the message is wrong.")
        if plain[end:] != self._receive_id:
            raise CryptoError(WRONG_RECEIVER, "The message is for another receiver.")
        try:
            return plain[start:end].decode()
        except UnicodeDecodeError:
            raise CryptoError(BAD_BUFFER, "The message is not UTF-8.") from None
