"""Collect the texts to translate, tell what lacks a translation, compile.

Django's makemessages needs the gettext tools and would drop the texts of the packages
that come without Chinese (the theme above all). This collects both into one catalogue.
"""

import gettext
import io
import re
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import django
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_javascript, extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation.template import templatize

LANGUAGE = "zh_Hans"
DOMAINS = ("django", "djangojs")
APPS = ("jums", "sends", "users", "templates_mgmt", "channels_wechat", "sandbox")
# Packages that ship no Chinese of their own, and their parts that are not installed.
PACKAGES = ("unfold", "auditlog", "axes")
NOT_INSTALLED = ("unfold/contrib/", "unfold/templates/unfold_crispy/")
INSTALLED = ("unfold/contrib/filters/", "unfold/contrib/forms/")
KEYWORDS: dict[str, Any] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{[\w:.]*\}")

Found = tuple[str | None, str | tuple[str, str]]  # context, text or (text, plural)


class Command(BaseCommand):
    help = "Collect the texts to translate into locale/, and compile them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="change nothing; fail if anything is missing or out of date",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        missing: list[str] = []
        count = 0
        for domain in DOMAINS:
            catalog = updated(domain)
            count += len(catalog)
            missing += [*untranslated(catalog), *broken(catalog)]
            if not options["check"]:
                save(catalog)
            elif not is_current(catalog):
                raise CommandError("locale/ is out of date: run make messages.")
        for line in missing:
            self.stdout.write(line)
        if missing:
            raise CommandError(f"{len(missing)} texts need a translator.")
        self.stdout.write(f"{count} texts, all translated.")


def po_path(domain: str | None = "django") -> Path:
    root = Path(settings.LOCALE_PATHS[0])
    return root / LANGUAGE / "LC_MESSAGES" / f"{domain}.po"


def collected_scripts() -> dict[Found, list[str]]:
    """Return the texts of the admin's scripts that Django has no Chinese for.

    Scripts of our own take their texts from the page.
    """
    places: dict[Found, list[str]] = {}
    root = (
        Path(django.__file__).parent / "contrib" / "admin" / "static" / "admin" / "js"
    )
    known = _django("djangojs")
    for file in sorted(root.glob("*.js")):
        for found in _calls(
            extract_javascript(
                io.BytesIO(file.read_bytes()), KEYWORDS, [], {"encoding": "utf-8"}
            )
        ):
            if not known(found):
                places.setdefault(found, []).append(f"django/admin/js/{file.name}")
    return places


def collected() -> dict[Found, list[str]]:
    """Return every text to translate and the files it is in."""
    places: dict[Found, list[str]] = {}
    for app in APPS:
        for file in _files(settings.BASE_DIR / app):
            for found in _texts(file):
                place = file.relative_to(settings.BASE_DIR).as_posix()
                places.setdefault(found, []).append(place)
    known = _django()
    for package in PACKAGES:
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        root = Path(spec.origin).parent
        for file in _files(root):
            place = f"{package}/{file.relative_to(root).as_posix()}"
            if place.startswith(NOT_INSTALLED) and not place.startswith(INSTALLED):
                continue
            for found in _texts(file):
                if found in places or not known(found):
                    places.setdefault(found, []).append(place)
    return places


def updated(domain: str = "django") -> Catalog:
    """Return the catalogue with every collected text, translated as far as it was."""
    path = po_path(domain)
    old = Catalog(locale=LANGUAGE)
    if path.exists():
        with path.open("rb") as file:
            old = read_po(file, locale=LANGUAGE)
    catalog = Catalog(locale=LANGUAGE, domain=domain, project="JUMS", fuzzy=False)
    found = collected() if domain == "django" else collected_scripts()
    for (context, text), places in sorted(
        # Ours first, then by file.
        found.items(),
        key=lambda item: (item[1][0].startswith(PACKAGES), item[1][0], str(item[0])),
    ):
        before = old.get(text[0] if isinstance(text, tuple) else text, context)
        catalog.add(
            text,
            before.string if before is not None else None,
            locations=[(place, 0) for place in dict.fromkeys(places)],
            flags=before.flags if before is not None else (),
            context=context,
        )
    return catalog


def untranslated(catalog: Catalog) -> Iterator[str]:
    """Yield each text without a translation, or with one that nobody confirmed."""
    for message in catalog:
        if message.id and (message.fuzzy or not _all(message.string)):
            yield f"untranslated: {message.id!r}"


def broken(catalog: Catalog) -> Iterator[str]:
    """Yield translations whose placeholders are not those of the text."""
    for message in catalog:
        if not message.id or not _all(message.string):
            continue
        # Chinese has one form, which stands for the plural too.
        text = message.id[-1] if isinstance(message.id, (tuple, list)) else message.id
        string: Any = message.string
        forms = string if isinstance(string, (tuple, list)) else [string]
        for form in forms:
            if sorted(set(PLACEHOLDER.findall(form))) != sorted(
                set(PLACEHOLDER.findall(text))
            ):
                yield f"other placeholders: {message.id!r}"


def is_current(catalog: Catalog) -> bool:
    """Whether the files hold exactly these texts. Where each one is may differ."""
    path = po_path(catalog.domain)
    compiled = path.with_suffix(".mo")
    if not (path.exists() and compiled.exists()):
        return False
    with path.open("rb") as file:
        written = read_po(file, locale=LANGUAGE)
    same = _texts_of(written) == _texts_of(catalog)
    return same and _read_mo(compiled.read_bytes()) == _read_mo(_mo(catalog))


def _texts_of(catalog: Catalog) -> dict[Any, Any]:
    return {
        (message.context, message.id): (message.string, message.fuzzy)
        for message in catalog
        if message.id
    }


def save(catalog: Catalog) -> None:
    path = po_path(catalog.domain)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_po(catalog))
    compiled, content = path.with_suffix(".mo"), _mo(catalog)
    # Its header has the date: not worth a change of the file.
    if not compiled.exists() or _read_mo(compiled.read_bytes()) != _read_mo(content):
        compiled.write_bytes(content)


def _po(catalog: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=88, include_lineno=False, omit_header=True)
    # The header without dates and names: they would change with every run.
    header = (
        'msgid ""\n'
        'msgstr ""\n'
        '"Content-Type: text/plain; charset=utf-8\\n"\n'
        '"Content-Transfer-Encoding: 8bit\\n"\n'
        f'"Language: {LANGUAGE}\\n"\n'
        '"Plural-Forms: nplurals=1; plural=0;\\n"\n\n'
    )
    return header.encode() + buffer.getvalue()


def _mo(catalog: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def _read_mo(content: bytes) -> dict[Any, str]:
    """The texts of a compiled catalogue, without its header: that has dates."""
    loaded: Any = gettext.GNUTranslations(io.BytesIO(content))
    return {key: text for key, text in loaded._catalog.items() if key != ""}


def _files(root: Path) -> Iterator[Path]:
    for file in sorted(root.rglob("*")):
        code = file.suffix == ".py" and "migrations" not in file.parts
        if code or (file.suffix == ".html" and "templates" in file.parts):
            yield file


def _texts(file: Path) -> Iterator[Found]:
    source = file.read_text()
    if file.suffix == ".html":
        # Turns the template into calls of gettext between words of X.
        source = templatize(source, origin=str(file))
        source = "\n".join(line.lstrip() for line in source.splitlines())
    yield from _calls(
        extract_python(io.BytesIO(source.encode()), KEYWORDS, [], {"encoding": "utf-8"})
    )


def _calls(extracted: Iterable[Any]) -> Iterator[Found]:
    for _line, function, messages, _comments in extracted:
        parts = [messages] if isinstance(messages, str) else list(messages or ())
        name = str(function)
        context = parts.pop(0) if "pgettext" in name else None
        if not parts or not parts[0]:
            continue  # a variable: whoever wrote it down marked it there
        if name.startswith("n"):
            yield context, (parts[0], parts[1])
        else:
            yield context, parts[0]


def _django(domain: str = "django") -> Any:
    """Return whether Django's own catalogues translate a text."""
    root = Path(django.__file__).parent
    loaded = []
    for folder in [root / "conf", *sorted((root / "contrib").iterdir())]:
        compiled = folder / "locale" / LANGUAGE / "LC_MESSAGES" / f"{domain}.mo"
        if compiled.exists():
            with compiled.open("rb") as file:
                loaded.append(gettext.GNUTranslations(file))

    def known(found: Found) -> bool:
        context, text = found
        one, many = text if isinstance(text, tuple) else (text, None)
        key = one if context is None else f"{context}\x04{one}"
        return any(
            bool(catalog._catalog.get((key, 0) if many else key))  # type: ignore[attr-defined]
            for catalog in loaded
        )

    return known


def _all(string: Any) -> bool:
    return all(string) if isinstance(string, (tuple, list)) else bool(string)
