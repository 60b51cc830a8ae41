"""Making the deliveries of a send beside reading the people and `bulk_create`."""

from .measure import Row, Size, in_turn, ratio, seconds_of
from .stage import stage

ROWS_A_BATCH = 5000
SAMPLE = 10  # bulk_create makes this part of them


def run(size: Size) -> list[Row]:
    with stage():
        from django.db import connection

        from sends import preparing
        from sends.models import Delivery, Send

        from . import product

        count = size.large
        product.make_people(count)
        channel = product.make_channel(count)
        sample = count // SAMPLE
        people = channel.openids.select_related("recipient").order_by("pk")[:sample]

        def empty() -> None:
            with connection.cursor() as cursor:
                cursor.execute("TRUNCATE sends_delivery, sends_chunk CASCADE")

        def ours() -> float:
            empty()
            # What submitting does, but without a wake-up that nobody hears.
            send = product.new_send(channel, status=Send.Status.PREPARING)
            rate = count / seconds_of(lambda: preparing.prepare(send.pk))
            send.refresh_from_db()
            assert send.n_waiting == count, send.counts
            empty()
            send.delete()
            return rate

        def bulk_create() -> float:
            empty()
            send = product.new_send(channel)
            rate = sample / seconds_of(
                lambda: Delivery.objects.bulk_create(
                    (
                        Delivery(
                            send=send,
                            channel=channel,
                            userid=one.recipient.userid,
                            openid=one.openid,
                        )
                        for one in people.iterator(chunk_size=ROWS_A_BATCH)
                    ),
                    batch_size=ROWS_A_BATCH,
                )
            )
            empty()
            send.delete()
            return rate

        sides = in_turn(
            size.rounds, "rows/s", {"prepare": ours, "bulk_create": bulk_create}
        )
        return [
            Row(
                f"preparing {count:,} deliveries / bulk_create",
                ratio(sides, "prepare", "bulk_create"),
                8,
                "at least",
                sides,
                "rows/s",
            )
        ]
