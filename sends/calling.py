"""One HTTP call to a business system: to a public address only, and never for long.

What a URL resolves to can change between looking and connecting, so the address is
judged where the socket is made for it. `STATUS_CALLBACK_ALLOW_PRIVATE` lifts that, for
installations that share a private network with their business systems.
"""

import base64
import ipaddress
import re
import socket
import time
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import certifi
import pycurl
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from channels_wechat.models import BusinessChannel

TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S: Final = 5.0
URL_LIMIT: Final = 500
PORTS: Final = {"http": 80, "https": 443}
# What no parser understands in two ways.
PLAIN: Final = re.compile(r"[!#-\[\]_a-~]+\Z")
# IPv6 addresses that carry an IPv4 address in their last 32 bits (RFC 6052).
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


# Why there is no answer: what it is, what to do.
NO_ANSWER: Final = {
    "private": (
        _("It leads to an address that is not public, so it was not called."),
        _("Whoever runs JUMS can allow it: STATUS_CALLBACK_ALLOW_PRIVATE."),
    ),
    "timeout": (
        _("It did not answer in time."),
        _("It has 10 seconds: take the items first, and work on them afterwards."),
    ),
    "connection": (
        _("It could not be reached."),
        _("See whether it runs, and whether this server may reach it."),
    ),
}


class URLRefused(Exception):
    """Nothing is sent to this URL. `.sentence` says why, lazily translated."""

    def __init__(self, sentence: Promise) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def __str__(self) -> str:
        return str(self.sentence)


class CallFailed(Exception):
    """No answer: `.kind` says in which way, and is a key of NO_ANSWER; `.reason` is
    technical English."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason


class Answer(NamedTuple):
    status: int
    body: bytes  # as much of it as was asked for


def check_url(url: str) -> None:
    """Raise URLRefused unless we may call `url`: its form, then what it resolves to."""
    if len(url) > URL_LIMIT:
        raise URLRefused(_("A URL has at most 500 characters."))
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise URLRefused(_("This is no URL.")) from None
    if parts.scheme not in PORTS or not url.startswith(f"{parts.scheme}://"):
        raise URLRefused(_("A URL starts with http:// or https://."))
    if not PLAIN.match(url) or not parts.hostname:
        raise URLRefused(_("This is no URL."))
    if "@" in parts.netloc:
        raise URLRefused(_("A URL must not contain a user name or password."))
    if parts.fragment:
        raise URLRefused(_("A URL must not contain a fragment (#…)."))
    if settings.STATUS_CALLBACK_ALLOW_PRIVATE:
        return
    if port not in {None, PORTS[parts.scheme]}:
        raise URLRefused(
            _(
                "A URL must not name a port of its own. (Whoever runs JUMS can allow "
                "it: STATUS_CALLBACK_ALLOW_PRIVATE.)"
            )
        )
    try:
        found = socket.getaddrinfo(
            parts.hostname, PORTS[parts.scheme], type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError):
        raise URLRefused(_("The host name of this URL does not resolve.")) from None
    if not all(is_public(str(address[0])) for *_rest, address in found):
        raise URLRefused(
            _(
                "This URL leads to an address that is not public. (Whoever runs JUMS "
                "can allow it: STATUS_CALLBACK_ALLOW_PRIVATE.)"
            )
        )


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet at large, and to one host."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.teredo is not None or ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def call(
    url: str,
    business_channel: BusinessChannel,
    *,
    body: bytes | None = None,
    headers: tuple[str, ...] = (),
    read_bytes: int = 0,
) -> Answer:
    """GET `url`, or POST `body` to it, as `business_channel`; return what was answered.

    Redirects are answers like any other. Raises CallFailed.
    """
    pair = f"{business_channel.key}:{business_channel.master_secret}".encode()
    received: list[bytes] = []
    refused: list[str] = []
    made: list[socket.socket] = []

    def write(data: bytes) -> int | None:
        received.append(data)
        # Anything but None or the length ends the transfer: we have what we need.
        return None if sum(map(len, received)) <= read_bytes else 0

    def open_socket(_purpose: int, target: Any) -> Any:
        family, kind, protocol, address = target
        host = address[0] if isinstance(address, tuple) else ""
        host = host.decode() if isinstance(host, bytes) else host
        if not settings.STATUS_CALLBACK_ALLOW_PRIVATE and not is_public(host):
            refused.append(host)
            return pycurl.SOCKET_BAD
        made.append(socket.socket(family, kind, protocol))
        return made[-1]

    curl = pycurl.Curl()
    try:
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.PROXY, "")  # none from the environment either
        curl.setopt(pycurl.OPENSOCKETFUNCTION, open_socket)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.CAINFO, certifi.where())
        curl.setopt(pycurl.SSL_VERIFYPEER, 1)
        curl.setopt(pycurl.SSL_VERIFYHOST, 2)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, round(CONNECT_TIMEOUT_S * 1000))
        curl.setopt(pycurl.TIMEOUT_MS, round(TIMEOUT_S * 1000))
        curl.setopt(pycurl.USERAGENT, "jums")
        sent = [f"Authorization: Basic {base64.b64encode(pair).decode()}", *headers]
        if body is not None:
            sent += ["Content-Type: application/json", "Expect:"]
            curl.setopt(pycurl.POST, 1)
            curl.setopt(pycurl.POSTFIELDS, body)
        curl.setopt(pycurl.HTTPHEADER, sent)
        curl.setopt(pycurl.WRITEFUNCTION, write)
        started = time.monotonic()
        try:
            curl.perform()
        except pycurl.error as error:
            status = int(curl.getinfo(pycurl.RESPONSE_CODE))
            if status < 200:
                waited = time.monotonic() - started
                raise _failure(error, refused, waited) from None
        status = int(curl.getinfo(pycurl.RESPONSE_CODE))
        return Answer(status, b"".join(received))
    finally:
        curl.close()
        for each in made:  # libcurl works on a copy of its own
            each.close()


def _failure(error: pycurl.error, refused: list[str], waited_s: float) -> CallFailed:
    number, message = error.args
    if refused:
        return CallFailed("private", f"not called: {refused[-1]} is no public address")
    if number == pycurl.E_OPERATION_TIMEDOUT:
        return CallFailed("timeout", f"no answer within {waited_s:.1f} s")
    return CallFailed("connection", str(message)[:300])
