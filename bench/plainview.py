"""The usual way to take delivery callbacks: a view that updates the row at once."""

import os
from typing import Literal

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jums.settings")
# Nothing but the view itself.
settings.MIDDLEWARE = []
settings.ROOT_URLCONF = "bench.plainview"
application = get_wsgi_application()

from channels_wechat.wechat.callbacks import open_push, receipt_of  # noqa: E402

MODE: Literal["safe"] = "safe"


@csrf_exempt
def callback(request: HttpRequest) -> HttpResponse:
    from sends.models import Delivery

    push = open_push(
        request.body,
        request.GET.dict(),
        mode=MODE,
        token=os.environ["PLAIN_TOKEN"],
        aes_keys=[os.environ["PLAIN_AES_KEY"]],
        receive_id=os.environ["PLAIN_APPID"],
        now=timezone.now(),
    )
    receipt = receipt_of(push)
    assert receipt is not None
    Delivery.objects.filter(openid=push.from_user, wechat_msgid=receipt.msgid).update(
        status=Delivery.Status.DELIVERED, receipt_at=timezone.now()
    )
    return HttpResponse("success")


urlpatterns = [path("callback", callback)]
