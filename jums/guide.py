"""The guide of docs/ as a page of the console, in the reader's language."""

import functools
import re
from pathlib import Path

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt
from markdown_it.token import Token

# The way to the page in the other language, which the console's own switch is here.
_TWIN = re.compile(r"^\[(?:English|中文)\]\([^)]*\)$", re.MULTILINE)
DOCS = Path(settings.BASE_DIR) / "docs"


def page(request: HttpRequest) -> HttpResponse:
    """From nothing to the first real message."""
    chinese = (get_language() or "").startswith("zh")
    name = "connect.zh-CN.md" if chinese else "connect.md"
    context = {
        **admin.site.each_context(request),
        "title": _("Guide"),
        "guide": rendered(DOCS / name, (DOCS / name).stat().st_mtime_ns),
    }
    return TemplateResponse(request, "console/guide.html", context)


@functools.lru_cache(maxsize=4)
def rendered(file: Path, _changed: int) -> SafeString:
    """Return the page as HTML. Its headings have the anchors a code host gives them;
    links to other files of the repository become plain text."""
    # No raw HTML: the pages are ours, and stay plain.
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(_TWIN.sub("", file.read_text(encoding="utf-8"), count=1))
    for token, following in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open":
            token.attrSet("id", anchor(following.content))
    for token in tokens:
        if token.children:
            token.children = _links(token.children)
    # Safe: made from our own file, with raw HTML escaped.
    return SafeString(markdown.renderer.render(tokens, markdown.options, {}))


def anchor(heading: str) -> str:
    """Return what a code host makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _links(children: list[Token]) -> list[Token]:
    kept, opened = [], True
    for token in children:
        address = str(token.attrGet("href") or "")
        if token.type == "link_open":
            outside = address.startswith(("https://", "http://"))
            opened = outside or address.startswith("#")
            if outside:
                token.attrSet("target", "_blank")
                token.attrSet("rel", "noopener noreferrer")
        if token.type not in {"link_open", "link_close"} or opened:
            kept.append(token)
    return kept
