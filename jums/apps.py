from django.apps import AppConfig


class JumsConfig(AppConfig):
    name = "jums"
    verbose_name = "JUMS"
