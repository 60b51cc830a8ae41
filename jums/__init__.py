"""JUMS: an open messaging console for WeChat Official Accounts. Wiring only."""

from .celery import app as celery_app

__all__ = ["celery_app"]
