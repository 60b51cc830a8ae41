"""The page /sandbox/: static files beside this module, in English and Chinese."""

import hashlib
from pathlib import Path

from .http import Reply, Request, payload

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
