"""`manage.py rotate_keys`"""

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, models, transaction

from channels_wechat.secrets import (
    SecretField,
    SecretUnreadable,
    is_stale,
    seal,
    unseal,
)


class Command(BaseCommand):
    help = (
        "Encrypt every stored secret with the first key of FIELD_KEYS. Put the new key "
        "in front, restart everything, run this, then remove the old key."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        rewritten = total = 0
        for model in apps.get_models():
            for field in model._meta.local_concrete_fields:
                if isinstance(field, SecretField):
                    changed, seen = self._rotate(model, field)
                    rewritten, total = rewritten + changed, total + seen
        self.stdout.write(f"{rewritten} of {total} secrets were encrypted anew.")

    def _rotate(self, model: type[models.Model], field: SecretField) -> tuple[int, int]:
        """Return (rewritten, seen). Reads what is stored: the ORM shows plain text."""
        quote = connection.ops.quote_name
        table, column = quote(model._meta.db_table), quote(str(field.column))
        key = quote(str(model._meta.pk.column))
        changed = seen = 0
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {key}, {column} FROM {table} WHERE {column} <> ''")
            rows = cursor.fetchall()
        for pk, stored in rows:
            seen += 1
            if not is_stale(stored):
                continue
            try:
                fresh = seal(unseal(stored, field.sealed_name), field.sealed_name)
            except SecretUnreadable as error:
                raise CommandError(f"{model._meta.label} {pk}: {error}") from None
            with transaction.atomic(), connection.cursor() as cursor:
                # Only what was read: whoever saved meanwhile used the first key.
                cursor.execute(
                    f"UPDATE {table} SET {column} = %s"
                    f" WHERE {key} = %s AND {column} = %s",
                    [fresh, pk, stored],
                )
                changed += cursor.rowcount
        return changed, seen
