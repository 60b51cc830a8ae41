from django.apps import AppConfig


class JumsConfig(AppConfig):
    name = "jums"
    verbose_name = "JUMS"

    def ready(self) -> None:
        from . import audit  # needs every model

        audit.register()
