"""Every question and every bulk change about many sends, chunks and deliveries."""

from django.db import models


class SendQuerySet(models.QuerySet["Send"]):  # type: ignore[name-defined]  # noqa: F821
    pass


class ChunkQuerySet(models.QuerySet["Chunk"]):  # type: ignore[name-defined]  # noqa: F821
    pass


class DeliveryQuerySet(models.QuerySet["Delivery"]):  # type: ignore[name-defined]  # noqa: F821
    pass


class InboundEventQuerySet(models.QuerySet["InboundEvent"]):  # type: ignore[name-defined]  # noqa: F821
    pass
