"""Which addresses visitors may be sent back to: as strict as a browser is lenient.

An address is compared by its parts, never as text: `https://shop.example.com.evil.net`
begins like a page of shop.example.com, and is none.
"""

import re
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

MAX_LENGTH: Final = 1000
_PORTS: Final = {"http": 80, "https": 443}
# Browsers read a backslash as a slash and drop controls: another host than we saw.
_STRANGE: Final = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\]")
# A path that leads elsewhere than it looks, once a server has decoded it.
_WANDERING: Final = re.compile(r"//|(^|/)\.\.?(/|$)|%2e|%2f|%5c", re.I)


class Page(NamedTuple):
    """An address in its parts; the fragment is not compared."""

    origin: tuple[str, str, int]
    path: str
    query: str


def parse(url: str) -> Page | None:
    """Return the parts of an address, None when it is no plain http(s) address."""
    if len(url) > MAX_LENGTH or _STRANGE.search(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc:
        return None
    path = parts.path or "/"
    if _WANDERING.search(path):
        return None
    origin = (parts.scheme, host, port or _PORTS[parts.scheme])
    return Page(origin, path, parts.query)


def fits(url: str, registered: str, below: bool) -> bool:
    """Whether `url` is the registered page, or with `below` lies under it."""
    asked, known = parse(url), parse(registered)
    if asked is None or known is None or asked.origin != known.origin:
        return False
    if not below:
        return (asked.path, asked.query) == (known.path, known.query)
    folder = known.path if known.path.endswith("/") else known.path + "/"
    return asked.path == known.path or asked.path.startswith(folder)


def with_query(url: str, **values: str) -> str:
    """Return the address with these parameters, in place of its own of those names."""
    parts = urlsplit(url)
    kept = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name not in values
    ]
    query = urlencode([*kept, *values.items()])
    return urlunsplit(
        SplitResult(parts.scheme, parts.netloc, parts.path, query, parts.fragment)
    )
