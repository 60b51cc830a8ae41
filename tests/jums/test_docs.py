"""What the docs name is there."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "deploy").glob("*.md"),
    ]
)
TWINS = [
    "README",
    "docs/connect",
    "docs/console",
    "docs/jums-api",
    "docs/operations",
    "docs/platform",
    "docs/sandbox",
]


def anchors(page: Path) -> set[str]:
    """The anchors a code host makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    missing = []
    for link in (link for link in links if "://" not in link):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(link)

    assert missing == []


def test_every_command_that_the_docs_name_exists():
    text = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"manage\.py ([a-z_]+)", text))

    assert {"up", "migrate"} <= named
    assert named - set(get_commands()) == set()


@pytest.mark.parametrize("name", TWINS)
def test_both_languages_have_the_same_headings_tables_and_code(name):
    english = (ROOT / f"{name}.md").read_text()
    chinese = (ROOT / f"{name}.zh-CN.md").read_text()

    def shape(text: str) -> list[str]:
        lines = [line for line in text.splitlines() if re.match(r"#+ |\||```", line)]
        return [re.match(r"#+|\||```", line)[0] for line in lines]

    assert shape(english) == shape(chinese)
