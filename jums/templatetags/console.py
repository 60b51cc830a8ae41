"""Template tags of the console's own components; see docs/console-parts.md."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def pill(status: str, label: str) -> SafeString:
    """A status as a coloured pill: `{% pill send.status send.get_status_display %}`.

    `status` is the stable word of any of our models, or ok, info, warn, bad.
    """
    return format_html('<span class="pill pill-{}">{}</span>', status, label)


@register.filter
def percent(part: float | None, whole: float | None) -> str:
    """`part` of `whole` in per cent with one decimal, as CSS wants a width: "37.5"."""
    if not part or not whole:
        return "0"
    return f"{min(100.0, 100 * part / whole):.1f}"


@register.filter
def css_number(value: float) -> str:
    """A number as CSS writes it, whatever the language: "37.5"."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
