"""The console's look and its navigation: django-unfold's settings."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

REAL_WECHAT = "https://api.weixin.qq.com"


class Item(NamedTuple):
    """One line of the sidebar; left out for whoever lacks the permission."""

    title: Promise
    icon: str  # of Material Symbols
    url_name: str
    permission: str = ""


GROUPS: list[tuple[Promise | str, list[Item]]] = [
    ("", [Item(_("Dashboard"), "space_dashboard", "admin:index")]),
    (
        _("Sending"),
        [
            Item(_("Sends"), "send", "admin:sends_send_changelist", "sends.view_send"),
            Item(
                _("Templates"),
                "article",
                "admin:templates_mgmt_template_changelist",
                "templates_mgmt.view_template",
            ),
            Item(
                _("General templates"),
                "dynamic_form",
                "admin:templates_mgmt_generaltemplate_changelist",
                "templates_mgmt.view_generaltemplate",
            ),
            Item(
                _("Subscribe pages"),
                "add_alert",
                "admin:templates_mgmt_subscribepage_changelist",
                "templates_mgmt.view_subscribepage",
            ),
            Item(
                _("Strategies"),
                "alt_route",
                "admin:sends_strategy_changelist",
                "sends.view_strategy",
            ),
            Item(
                _("Channels"),
                "forum",
                "admin:channels_wechat_channel_changelist",
                "channels_wechat.view_channel",
            ),
            Item(
                _("Events"),
                "inbox",
                "admin:sends_inboundevent_changelist",
                "sends.view_inboundevent",
            ),
        ],
    ),
    (
        _("People"),
        [
            Item(
                _("Recipients"),
                "group",
                "admin:users_recipient_changelist",
                "users.view_recipient",
            ),
            Item(
                _("Collect openIDs"),
                "fingerprint",
                "admin:users_loginpage_changelist",
                "users.view_recipient",
            ),
            Item(
                _("Uploads"),
                "upload_file",
                "admin:users_upload_changelist",
                "users.view_upload",
            ),
            Item(
                _("Lists"),
                "playlist_add_check",
                "admin:users_userlist_changelist",
                "users.view_userlist",
            ),
            Item(
                _("Segments"),
                "donut_small",
                "admin:users_segment_changelist",
                "users.view_segment",
            ),
        ],
    ),
    (
        _("Developers"),
        [
            Item(
                _("Business channels"),
                "storefront",
                "admin:channels_wechat_businesschannel_changelist",
                "channels_wechat.view_businesschannel",
            ),
            Item(
                _("Callback URLs"),
                "webhook",
                "admin:sends_callbackurl_changelist",
                "sends.view_callbackurl",
            ),
            Item(
                _("Status callbacks"),
                "outbound",
                "admin:sends_statusbatch_changelist",
                "sends.view_statusbatch",
            ),
            Item(
                _("Third-party platform"),
                "qr_code_scanner",
                "admin:channels_wechat_platform_changelist",
                "channels_wechat.view_platform",
            ),
            Item(
                _("Access keys"),
                "key",
                "admin:channels_wechat_accesskey_changelist",
                "channels_wechat.view_accesskey",
            ),
        ],
    ),
    (
        _("System"),
        [
            Item(_("Guide"), "menu_book", "guide"),
            Item(
                _("Console accounts"),
                "manage_accounts",
                "admin:auth_user_changelist",
                "auth.view_user",
            ),
            Item(
                _("Roles"),
                "shield_person",
                "admin:auth_group_changelist",
                "auth.view_group",
            ),
            Item(
                _("Audit log"),
                "history",
                "admin:auditlog_logentry_changelist",
                "auditlog.view_logentry",
            ),
            Item(
                _("Failed logins"),
                "lock",
                "admin:axes_accessattempt_changelist",
                "axes.view_accessattempt",
            ),
        ],
    ),
]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar's groups as unfold wants them, for this user and page."""
    found: list[tuple[Promise | str, list[tuple[Item, str]]]] = []
    for title, items in GROUPS:
        allowed = [(item, link) for item in items if (link := _link(item, request))]
        if allowed:
            found.append((title, allowed))
    active = _active(
        (link for _title, items in found for _item, link in items), request.path
    )
    return [
        {
            "title": title,
            "items": [
                {
                    "title": item.title,
                    "icon": item.icon,
                    "link": link,
                    "active": link == active,
                }
                for item, link in items
            ],
        }
        for title, items in found
    ]


def _link(item: Item, request: HttpRequest) -> str:
    if item.permission and not request.user.has_perm(item.permission):
        return ""
    try:
        return reverse(item.url_name)
    except NoReverseMatch:  # an app that has no page yet
        return ""


def _active(links: Iterable[str], path: str) -> str:
    """The longest link that `path` lies under; the dashboard only by itself."""
    index = reverse("admin:index")
    under = [
        link
        for link in links
        if path == link or (link != index and path.startswith(link))
    ]
    return max(under, key=len, default="")


def environment(request: HttpRequest) -> list[str] | None:
    """A badge beside the title as long as nothing reaches the real WeChat."""
    if settings.WECHAT_API_BASE.rstrip("/") == REAL_WECHAT:
        return None
    return [gettext("Sandbox"), "warning"]


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "JUMS",
    "SITE_HEADER": "JUMS",
    "SITE_SUBHEADER": _("WeChat messages"),
    "SITE_URL": None,
    "SITE_ICON": lambda request: static("jums/logo.svg"),
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("jums/logo.svg"),
        }
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "SHOW_LANGUAGES": True,
    "DASHBOARD_CALLBACK": "jums.dashboard.context",
    "ENVIRONMENT": environment,
    "STYLES": [lambda request: static("jums/console.css")],
    "SCRIPTS": [lambda request: static("jums/zone.js")],
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": navigation,
    },
    "COMMAND": {"search_callback": "jums.searching.search"},
    "COLORS": {
        "primary": {
            "50": "oklch(97.9% .017 158)",
            "100": "oklch(95% .042 158)",
            "200": "oklch(90.5% .078 158)",
            "300": "oklch(84.5% .118 158)",
            "400": "oklch(76% .142 157)",
            "500": "oklch(67% .142 157)",
            "600": "oklch(57.5% .128 157)",
            "700": "oklch(49.5% .108 157)",
            "800": "oklch(42.5% .09 157)",
            "900": "oklch(37.5% .076 157)",
            "950": "oklch(26% .052 157)",
        },
    },
}
