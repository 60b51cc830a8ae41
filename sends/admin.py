"""Sends and events in the console: addresses; the pages are in `sends.console`."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path, register_converter
from django.urls.converters import StringConverter
from unfold.admin import ModelAdmin

from channels_wechat.admin import ChannelAdmin
from templates_mgmt.admin import TemplateAdmin

from .console import (
    checks,
    events,
    history,
    overview,
    pace,
    reach,
    results,
    reviewing,
    status_callbacks,
    steps,
    strategies,
    told,
)
from .models import CallbackURL, InboundEvent, Send, StatusBatch, Strategy


class KindConverter(StringConverter):
    regex = "csv|xlsx"


class ActionConverter(StringConverter):
    regex = "pause|resume|cancel"


register_converter(KindConverter, "kind")
register_converter(ActionConverter, "action")


@admin.register(Send)
class SendAdmin(ModelAdmin):
    """Every page is our own; a send is never edited field by field."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        pages: list[tuple[str, Any, str]] = [
            ("", overview.overview, "changelist"),
            ("add/", steps.add, "add"),
            ("template/<int:template_pk>/card/", steps.template_card, "template_card"),
            ("template/<int:template_pk>/reach/", reach.reach, "reach"),
            ("channel/<int:channel_pk>/now/", pace.channel, "channel"),
            ("<int:pk>/", results.send, "change"),
            ("<int:pk>/template/", steps.template, "template"),
            ("<int:pk>/audience/", steps.audience_step, "audience"),
            ("<int:pk>/audience/state/", steps.reading_state, "reading"),
            ("<int:pk>/values/", steps.values, "values"),
            ("<int:pk>/preview/", steps.preview, "preview"),
            ("<int:pk>/check/", checks.check, "check"),
            ("<int:pk>/check/state/", checks.check_state, "checking"),
            ("<int:pk>/problems.<kind:kind>", checks.problems_file, "problems"),
            ("<int:pk>/test/", checks.send_test, "test"),
            ("<int:pk>/test/state/", checks.test_state, "test_state"),
            ("<int:pk>/confirm/", steps.confirm, "confirm"),
            ("<int:pk>/quota/", steps.quota, "quota"),
            ("<int:pk>/delete/", steps.delete, "delete"),
            ("<int:pk>/progress/", results.progress, "progress"),
            ("<int:pk>/deliveries.<kind:kind>", results.export, "export"),
            ("<int:pk>/approve/", reviewing.approve, "approve"),
            ("<int:pk>/reject/", reviewing.reject, "reject"),
            ("<int:pk>/again/", results.send_again, "again"),
            ("<int:pk>/<action:action>/", results.act, "act"),
        ]
        return [
            *(
                path(route, view(page), name=f"sends_send_{name}")
                for route, page, name in pages
            ),
            path(
                "to/<path:userid>/",
                view(history.history),
                name="sends_recipient_history",
            ),
        ]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(InboundEvent)
class InboundEventAdmin(ModelAdmin):
    """One page: what WeChat pushed."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("", view(events.events), name="sends_inboundevent_changelist"),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(StatusBatch)
class StatusBatchAdmin(ModelAdmin):
    """The log of status callbacks; rows are written by the worker alone."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        pages: list[tuple[str, Any, str]] = [
            ("", told.log, "changelist"),
            ("replay/", told.replay, "replay"),
            ("<int:pk>/change/", told.batch, "change"),
            ("<int:pk>/replay/", told.replay_one, "replay_one"),
            ("of/<int:pk>/replay/", told.replay_all, "replay_all"),
        ]
        return [
            path(route, view(page), name=f"sends_statusbatch_{name}")
            for route, page, name in pages
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


# Templates know nothing of sends: what their pages show of acceptances is from here.
TemplateAdmin.extra_panels.append("sends/_on_template.html")
# Nor do channels.
ChannelAdmin.extra_panels.append("sends/_on_channel.html")
admin.site.register(CallbackURL, status_callbacks.CallbackURLAdmin)
admin.site.register(Strategy, strategies.StrategyAdmin)
