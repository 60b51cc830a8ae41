"""What every page of sending has in common."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.response import HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from sends.models import Send

STEPS = {
    "template": _("Template"),
    "audience": _("Audience"),
    "values": _("Values"),
    "check": _("Check"),
    "confirm": _("Confirm"),
}

View = Callable[..., HttpResponseBase]


def needs(permission: str) -> Callable[[View], View]:
    """Let only holders of the permission in; the admin site has seen to the login."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(
            request: HttpRequest, *args: Any, **kwargs: Any
        ) -> HttpResponseBase:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def operator(request: HttpRequest) -> User:
    """Return who is asking; the admin site lets nobody else through."""
    assert isinstance(request.user, User)
    return request.user


def page(
    request: HttpRequest, template: str, title: object, **context: Any
) -> TemplateResponse:
    """Return a page inside the console's frame."""
    return TemplateResponse(
        request,
        template,
        {**admin.site.each_context(request), "title": title, **context},
    )


def fragment(
    request: HttpRequest, template: str, live: str = "", **context: Any
) -> HttpResponse:
    """Return the new inside of a live part; `live` may be "stop" or "reload"."""
    response = TemplateResponse(request, template, context)
    if live:
        response["X-Live"] = live
    response["Cache-Control"] = "no-store"
    return response


def sends() -> Any:
    """Return sends with what every page about one shows."""
    return Send.objects.select_related(
        "channel",
        "template",
        "created_by",
        "business_channel",
        "blacklist",
        "whitelist",
        "strategy",
    )


def get_send(pk: int) -> Send:
    send: Send = get_object_or_404(sends(), pk=pk)
    return send


def is_draft(send: Send) -> bool:
    return send.status == Send.Status.DRAFT


def step_url(send: Send, step: str) -> str:
    return reverse(f"admin:sends_send_{step}", args=[send.pk])


def to_step(send: Send, step: str) -> HttpResponseRedirect:
    return redirect(step_url(send, step))


def to_send(send: Send) -> HttpResponseRedirect:
    return redirect("admin:sends_send_change", send.pk)


def step_page(
    request: HttpRequest, send: Send, step: str, **context: Any
) -> TemplateResponse:
    """Return one step of a draft, inside the frame that all steps share."""
    steps = [(title, step_url(send, name)) for name, title in STEPS.items()]
    return page(
        request,
        f"sends/step_{step}.html",
        send.title or _("New send"),
        send=send,
        opts=Send._meta,
        original=send,
        steps=steps,
        current=list(STEPS).index(step) + 1,
        **context,
    )
