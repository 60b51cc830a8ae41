"""Whether WeChat could reach an address of ours."""

import ipaddress
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext_noop as _

from .findings import Found, Sentence


def finding(url: str) -> Found:
    """Whether WeChat could reach the address it shall push to."""
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}[parts.scheme]
    if not _is_sandboxed() and _is_private(parts.hostname or ""):
        detail = Sentence(
            _("WeChat cannot reach %(host)s: it is an address of this network only."),
            {"host": parts.hostname},
        )
        fix = _("Set PUBLIC_URL to the address under which the internet reaches us.")
    elif not _is_sandboxed() and (parts.port or usual) != usual:
        detail = Sentence(_("WeChat pushes to port 80 (http) and 443 (https) only."))
        fix = _("Set PUBLIC_URL to an address on one of these ports.")
    else:
        detail = Sentence(_("WeChat shall push to %(url)s."), {"url": url})
        return Found("address", "ok", [detail])
    return Found("address", "warn", [detail], [Sentence(fix)])


def _is_sandboxed() -> bool:
    """Whether WeChat is a stand-in on this very network."""
    return _is_private(urlsplit(settings.WECHAT_API_BASE).hostname or "")


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        # A name without a dot (localhost, a container) exists on this network only.
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))
