"""`/s/{channel code}/{page}`: the hosted page with WeChat's own subscribe button.

The page tells its visitor what WeChat's button says, and tells us nothing: who accepted
what comes from WeChat's events alone. There is no address it could post to.
"""

import logging
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from channels_wechat import jsapi, visitors
from channels_wechat.qr import svg
from channels_wechat.wechat.errors import WeChatError

from .models import SubscribePage, Template

log = logging.getLogger(__name__)


def policy() -> str:
    """Return the Content-Security-Policy of a page that uses the JS-SDK.

    Scripts from WeChat's own host alone. Its button is drawn with inline styles, in
    frames and with pictures that WeChat's hosts serve; it reports home to them.
    """
    script = urlsplit(jsapi.script_url())
    origin = f"{script.scheme}://{script.netloc}"
    wechat = origin
    if origin == jsapi.REAL_SCRIPTS:
        # The second host is WeChat's documented fallback of the first.
        origin = f"{origin} https://res2.wx.qq.com"
        wechat = "https://*.qq.com https://*.qpic.cn"
    return (
        "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; script-src 'self' {origin}; "
        f"style-src 'self' 'unsafe-inline'; img-src 'self' data: {wechat}; "
        f"connect-src 'self' {wechat}; frame-src {wechat} weixin: wxopentag: blob:"
    )


@never_cache
@require_safe
def page(request: HttpRequest, code: str, name: str) -> HttpResponse:
    """Show the page, or say kindly why there is no button on it."""
    found = (
        SubscribePage.objects.with_templates()
        .filter(channel__code=code, name=name)
        .first()
    )
    if found is None:
        raise Http404
    offered = offered_templates(found)
    if not (found.enabled and found.channel.enabled and offered):
        return _said(
            request,
            found,
            _("Nothing to subscribe to at the moment"),
            _("Please come back later."),
            status=503,
        )
    if not visitors.is_in_wechat(request):
        return _said(
            request,
            found,
            found.title,
            _("Please open this page in WeChat: scan the code with it."),
            qr=svg(found.url),
        )
    try:
        signed = jsapi.signed(found.channel, jsapi.address_of(request))
    except WeChatError as error:
        log.warning("no signature channel=%s error=%s", found.channel.code, error)
        return _said(
            request,
            found,
            found.title,
            _("WeChat does not answer us at the moment. Please try again later."),
            again=found.path,
            status=502,
        )
    context = {
        "page": found,
        "title": found.title,
        "offered": offered,
        "template_ids": ",".join(each.template_id for each in offered),
        "button": found.button or _("Subscribe"),
        "signed": signed,
        "script_url": jsapi.script_url(),
        "host": urlsplit(settings.PUBLIC_URL).hostname,
        "is_authorised": found.channel.is_authorised,
    }
    response = render(request, "public/subscribe.html", context)
    response["Content-Security-Policy"] = policy()
    return response


def offered_templates(page: SubscribePage) -> list[Template]:
    """Return the page's templates that still exist at WeChat: a button with one that
    is gone works for none of them."""
    there = [each for each in page.templates.all() if each.removed_at is None]
    return sorted(there, key=lambda each: each.pk)


def _said(
    request: HttpRequest,
    page: SubscribePage,
    title: str,
    text: str,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    context = {
        "mark": "wait",
        "account": page.channel.name,
        "title": title,
        "text": text,
        **more,
    }
    return render(request, "public/said.html", context, status=status)
