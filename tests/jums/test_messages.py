"""The Chinese of the console: complete, and compiled as it is written."""

import pytest
from django.core.management import call_command
from django.utils.translation import gettext, ngettext, override

from channels_wechat.wechat.errors import CODES
from channels_wechat.wechat.limits import PROBLEMS
from jums.management.commands import messages


@pytest.fixture(scope="module", params=messages.DOMAINS)
def catalog(request):
    return messages.updated(request.param)


def test_every_text_has_its_chinese(catalog):
    missing = list(messages.untranslated(catalog))

    assert missing == [], "make messages, then translate locale/"


def test_translations_keep_the_placeholders(catalog):
    assert list(messages.broken(catalog)) == []


def test_the_files_hold_what_the_sources_say(catalog):
    assert messages.is_current(catalog), "make messages"


def test_wechats_codes_and_limits_are_said_in_chinese(catalog):
    texts = {text for code in CODES.values() for text in (code.meaning, code.advice)}

    with override("zh-hans"):
        left = [
            text for text in texts | set(PROBLEMS.values()) if text == gettext(text)
        ]

    assert left == [""]


def test_the_themes_own_texts_are_chinese():
    with override("zh-hans"):
        assert gettext("Search apps and models...") != "Search apps and models..."
        assert gettext("Type to search") == "输入以搜索"
        # Django's own catalogues still speak for the rest.
        assert gettext("Log out") == "注销"


@pytest.mark.django_db
def test_the_admins_scripts_are_given_chinese(admin_client):
    admin_client.cookies["django_language"] = "zh-hans"

    catalog = admin_client.get("/console/jsi18n/").content.decode()
    assert "\\u9009\\u62e9\\u5168\\u90e8" in catalog  # 选择全部


def test_chinese_has_one_form_for_any_number():
    with override("zh-hans"):
        said = [
            ngettext("%(n)d channel enabled.", "%(n)d channels enabled.", n) % {"n": n}
            for n in (1, 2)
        ]

    assert said == ["已启用 1 个通道。", "已启用 2 个通道。"]


def test_texts_are_collected_from_code_and_templates(tmp_path):
    code = tmp_path / "words.py"
    code.write_text(
        "from gettext import gettext_noop as _\n"
        'A = _("one" " and two")\n'
        'B = ngettext("%(n)d day", "%(n)d days", n)\n'
        'C = pgettext("month", "May")\n'
        "D = _(variable)\n"
        'E = f"{_(1)}"\n'
    )
    page = tmp_path / "templates" / "page.html"
    page.parent.mkdir()
    page.write_text(
        "{% load i18n %}\n<p>It's “quoted”</p>\n"
        "    {% translate 'three' %}\n"
        "  {% blocktranslate with a=b|date:'Y' %}four {{ a }}{% endblocktranslate %}\n"
        "{% blocktranslate count n=list|length %}{{ n }} cat{% plural %}{{ n }} cats"
        "{% endblocktranslate %}{{ x|default:_('five') }}"
    )

    found = [text for file in (code, page) for text in messages._texts(file)]

    assert found == [
        (None, "one and two"),
        (None, ("%(n)d day", "%(n)d days")),
        ("month", "May"),
        (None, "three"),
        (None, "four %(a)s"),
        (None, ("%(n)s cat", "%(n)s cats")),
        (None, "five"),
    ]


def test_the_command_changes_nothing_when_all_is_well(capsys):
    before = messages.po_path().read_bytes()

    call_command("messages", "--check")

    assert messages.po_path().read_bytes() == before
    assert "all translated" in capsys.readouterr().out
