from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SendsConfig(AppConfig):
    name = "sends"
    verbose_name = _("Sends")
