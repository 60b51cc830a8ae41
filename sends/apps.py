from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SendsConfig(AppConfig):
    name = "sends"
    verbose_name = _("Sends")

    def ready(self) -> None:
        from . import authorizations  # noqa: F401  # connects its receivers
