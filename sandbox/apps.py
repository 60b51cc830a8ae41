from django.apps import AppConfig


class SandboxConfig(AppConfig):
    """No models: only the `sandbox` command."""

    name = "sandbox"
