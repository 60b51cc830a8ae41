"""The page /sandbox/: static files beside this module, in English and Chinese."""

import hashlib
import html
from pathlib import Path
from urllib.parse import urlsplit

from .authorising import PAGES, NotOffered, check_entry
from .http import Reply, Request, payload
from .pictures import avatar
from .world import World

FOLDER = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml",
}
CSP = (
    "Content-Security-Policy: default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Cache-Control: no-cache",
)

# Where WeChat keeps accounts' avatars and QR codes.
PICTURES = ("/mmopen/", "/mmbiz_qrcode/")


def preferred(accepted: str) -> str:
    """Return "zh-CN" or "en", whichever an Accept-Language header likes better."""
    best, liking = "en", 0.0
    for part in accepted.split(","):
        tag, _mark, weight = part.strip().lower().partition(";q=")
        language = {"zh": "zh-CN", "en": "en"}.get(tag.split("-")[0])
        try:
            quality = float(weight or 1)
        except ValueError:
            continue
        if language and quality > liking:
            best, liking = language, quality
    return best


class Pages:
    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, str, str]] = {}
        for path in FOLDER.iterdir():
            if path.suffix in TYPES:
                body = path.read_bytes()
                etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
                self.files[path.name] = body, TYPES[path.suffix], etag

    def answer(self, request: Request) -> Reply:
        path = request.path
        if path in ("/", "/sandbox"):
            return Reply(payload(302, b"", "text/plain", ("Location: /sandbox/",)))
        name = path.removeprefix("/sandbox/") or "index.html"
        found = self.files.get(name)
        if found is None:
            return Reply(payload(404, b"Not found", "text/plain"))
        if request.method not in ("GET", "HEAD"):
            return Reply(payload(405, b"", "text/plain"))
        body, content_type, etag = found
        if name == "index.html":
            language = preferred(request.header("Accept-Language"))
            body = body.replace(b"__LANG__", language.encode())
            etag = f'{etag[:-1]}-{language}"'
        if request.header("If-None-Match") == etag:
            return Reply(payload(304, b"", content_type, (f"ETag: {etag}",)))
        headers = (*CSP, f"ETag: {etag}", "Vary: Accept-Language")
        return Reply(payload(200, body, content_type, headers))

    def of_wechat(self, request: Request, world: World) -> Reply:
        """The authorisation page at WeChat's own addresses, and accounts' pictures."""
        if request.method not in ("GET", "HEAD"):
            return Reply(payload(405, b"", "text/plain"))
        if request.path.startswith(PICTURES):
            return self._picture(request, world)
        refused = ""
        try:
            check_entry(world, request)
        except NotOffered as no:
            detail = html.escape(no.detail, quote=True)
            refused = f'data-refused="{no.code}" data-detail="{detail}"'
        language = preferred(request.header("Accept-Language"))
        page, content_type, _etag = self.files["authorise.html"]
        body = (
            page.replace(b"__LANG__", language.encode())
            .replace(b"__KIND__", PAGES[request.path].encode())
            .replace(b"__REFUSED__", refused.encode())
        )
        return Reply(payload(200, body, content_type, (*CSP, "Vary: Accept-Language")))

    def _picture(self, request: Request, world: World) -> Reply:
        """An avatar; like WeChat's own it does not appear on other sites' pages."""
        appid = request.path.split("/")[2]
        if world.account(appid) is None:
            return Reply(payload(404, b"", "text/plain"))
        origin = urlsplit(request.header("Referer")).netloc
        if origin not in ("", request.header("Host")):
            return Reply(payload(403, b"", "text/plain"))
        return Reply(payload(200, avatar(appid), "image/png"))
