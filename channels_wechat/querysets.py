"""Questions about many channels at a time."""

from collections.abc import Collection
from typing import TYPE_CHECKING, TypeVar

from django.db import IntegrityError, connections, models, transaction

if TYPE_CHECKING:
    from .models import Channel  # noqa: F401  # in a string below


_Model = TypeVar("_Model", bound=models.Model)


class Lockable(models.QuerySet[_Model]):
    """Of rows whose own the database does not look for one by one: they are locked
    before anything of theirs is deleted, so that nobody adds to it meanwhile."""

    def lock(self) -> list[int]:
        """Lock their rows until the end of the transaction; return the pks.

        In one order everywhere, so that two workers cannot wait for each other.
        """
        rows = self.select_for_update(of=("self",)).order_by("pk")
        return list(rows.values_list("pk", flat=True))

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete them with everything that is theirs, nobody adding to it meanwhile."""
        with transaction.atomic(using=self.db):
            self.lock()
            return super().delete()

    # As Django marks its own: not for managers, where it would delete everything.
    delete.queryset_only = True  # type: ignore[attr-defined]
    delete.alters_data = True  # type: ignore[attr-defined]


class ChannelQuerySet(Lockable["Channel"]):
    def keep(self, pks: Collection[int]) -> None:
        """Let nobody delete these channels until the transaction ends.

        For rows whose key to a channel the database does not check one by one. Others
        may do so too, and change the channels. Raises IntegrityError when one is gone.
        """
        if not pks:
            return
        connection = connections[self.db]
        marks = ", ".join(["%s"] * len(pks))
        # What a checked key takes, for which the ORM has no word.
        lock = " FOR KEY SHARE" if connection.vendor == "postgresql" else ""
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id FROM {self.model._meta.db_table} WHERE id IN ({marks})"
                f" ORDER BY id{lock}",
                sorted(pks),
            )
            if len(cursor.fetchall()) < len(pks):
                raise IntegrityError("a channel is gone")
