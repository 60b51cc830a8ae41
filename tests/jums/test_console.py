import re
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.urls import reverse

from jums import console
from jums.templatetags.console import css_number, percent, pill
from tests.factories import SendFactory, TemplateFactory, UserFactory

ROOT = Path(__file__).parents[2]
INLINE_SCRIPT = re.compile(
    r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>|\son\w+\s*=\s*[\"']", re.I
)

pytestmark = pytest.mark.django_db


def titles(user, path="/console/"):
    request = RequestFactory().get(path)
    request.user = user
    return {
        str(item["title"]): item["active"]
        for group in console.navigation(request)
        for item in group["items"]
    }


def test_the_sidebar_shows_what_the_person_may_open():
    person = UserFactory()
    assert set(titles(person)) == {"Dashboard", "Guide"}

    person.user_permissions.add(Permission.objects.get(codename="view_template"))
    person = type(person).objects.get(pk=person.pk)

    assert set(titles(person)) == {"Dashboard", "Guide", "Templates"}


def test_the_sidebar_marks_where_we_are(admin_user):
    def active(path):
        return [
            name for name, is_active in titles(admin_user, path).items() if is_active
        ]

    assert active("/console/") == ["Dashboard"]
    assert active("/console/templates_mgmt/template/7/change/") == ["Templates"]
    assert active("/console/auth/user/add/") == ["Console accounts"]
    assert active("/console/password_change/") == []


def test_a_badge_says_that_this_is_not_the_real_wechat(settings):
    assert console.environment(RequestFactory().get("/")) is not None

    settings.WECHAT_API_BASE = "https://api.weixin.qq.com/"

    assert console.environment(RequestFactory().get("/")) is None


def pages():
    return [
        "/console/",
        "/console/auth/user/",
        "/console/auth/user/add/",
        "/console/auth/group/add/",
        "/console/auditlog/logentry/",
        "/console/axes/accessattempt/",
        "/console/password_change/",
        "/console/templates_mgmt/template/",
    ]


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("page", pages())
def test_pages_open_in_both_languages_without_inline_scripts(
    admin_client, page, language
):
    SendFactory(status="running", n_waiting=3)
    admin_client.cookies["django_language"] = language

    response = admin_client.get(page)

    assert response.status_code == 200
    policy = response.headers["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval';" in policy
    html = response.content.decode()
    assert f'lang="{language}"' in html
    assert not INLINE_SCRIPT.search(html)
    hosts = re.findall(r'(?:src|href)="((?:https?:)?//[^"]+)"', html)
    assert hosts == []


def test_after_the_login_comes_the_dashboard(client):
    UserFactory(username="lin")

    response = client.post(
        "/console/login/", {"username": "lin", "password": "correct horse"}
    )

    assert response.url == "/console/"


def test_the_language_is_switched_by_a_post(admin_client):
    response = admin_client.post(
        "/i18n/setlang/", {"language": "zh-hans", "next": "/console/"}
    )

    assert response.url == "/console/"
    assert 'lang="zh-hans"' in admin_client.get("/console/").content.decode()


def test_times_are_shown_in_the_browsers_zone(admin_client):
    template = TemplateFactory()
    page = reverse("admin:templates_mgmt_template_change", args=[template.pk])
    type(template).objects.update(first_seen_at="2026-11-22T19:30:00Z")

    assert "2026-11-23 03:30" in admin_client.get(page).content.decode()  # Shanghai
    admin_client.cookies["jums_tz"] = "Europe/Berlin"
    assert "2026-11-22 20:30" in admin_client.get(page).content.decode()
    admin_client.cookies["jums_tz"] = "../../etc/passwd"
    assert "2026-11-23 03:30" in admin_client.get(page).content.decode()


@pytest.mark.parametrize(
    ("part", "whole", "width"),
    [(1, 3, "33.3"), (0, 3, "0"), (None, 3, "0"), (3, 0, "0"), (5, 4, "100.0")],
)
def test_percent_is_a_css_width(part, whole, width):
    assert percent(part, whole) == width


def test_numbers_for_css_have_no_needless_zeros():
    assert (css_number(0), css_number(12.5), css_number(100.0)) == ("0", "12.5", "100")


def test_a_pill_escapes_its_words():
    assert pill("ok", "<b>") == '<span class="pill pill-ok">&lt;b&gt;</span>'


def test_parts_escape_what_they_show():
    evil = "<script>alert(1)</script>"
    html = render_to_string(
        "console/_phone.html",
        {
            "account": evil,
            "title": evil,
            "lines": [{"label": evil, "value": evil, "problem": evil}],
            "note": evil,
        },
    )
    html += render_to_string("console/_copy.html", {"text": evil})
    html += render_to_string(
        "console/_callout.html", {"title": evil, "text": evil, "words": evil}
    )

    assert evil not in html


def test_every_script_and_style_that_a_page_names_is_there():
    named = set()
    for template in ROOT.glob("*/templates/**/*.html"):
        named |= set(re.findall(r"{%\s*static ['\"]([^'\"]+)", template.read_text()))

    assert "jums/live.js" in named
    assert [name for name in sorted(named) if finders.find(name) is None] == []


def test_no_stylesheet_or_script_of_ours_names_another_host():
    for file in (ROOT / "static").rglob("*.*"):
        text = file.read_text()
        addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text)
        assert [one for one in addresses if "www.w3.org" not in one] == [], file
