"""Bringing receipts to their deliveries beside an UPDATE through the ORM for each."""

from django.utils import timezone

from .measure import Row, Size, in_turn, ratio, seconds_of
from .stage import stage

FIRST_MSGID = 3_487_542_469_000_000_000
SAMPLE = 2000


def run(size: Size) -> list[Row]:
    with stage():
        from django.db import connection

        from sends import receipts
        from sends.models import Delivery, InboundEvent, Send

        from . import product, rivals

        count = size.large
        product.make_people(1)
        channel = product.make_channel(1)

        def fill() -> Send:
            """Make accepted deliveries and, in another order, a receipt for each."""
            now = timezone.now()
            send = product.new_send(
                channel, status=Send.Status.FINISHED, n_accepted=count
            )
            with connection.cursor() as cursor:
                cursor.execute("TRUNCATE sends_delivery, sends_inboundevent CASCADE")
                cursor.execute(
                    "INSERT INTO sends_delivery (send_id, channel_id, userid, openid,"
                    " status, reason, error, wechat_msgid, sent_at) SELECT %s, %s,"
                    f" 'bench' || n, {product.openid_sql('n')}, 2, '', '', n + %s, %s"
                    " FROM generate_series(1, %s) AS n",
                    [send.pk, channel.pk, FIRST_MSGID, now, count],
                )
                cursor.execute(
                    "INSERT INTO sends_inboundevent (channel_id, key, event, openid,"
                    " msgid, outcome, payload, status, created_at, received_at, try_at)"
                    f" SELECT %s, {product.openid_sql('n')} || n, %s,"
                    f" {product.openid_sql('n')}, n + %s,"
                    " CASE n %% 10 WHEN 0 THEN 'failed:user block' ELSE 'success' END,"
                    " '', 0, %s, %s, %s FROM generate_series(1, %s) AS n"
                    # Near each other, as they come, but in no order.
                    " ORDER BY n / 20000, hashint4(n)",
                    [channel.pk, receipts.RECEIPT, FIRST_MSGID, now, now, now, count],
                )
            product.tidy()
            return send

        def ours() -> float:
            send = fill()
            rate = count / seconds_of(lambda: receipts.apply_waiting(channel.pk))
            send.refresh_from_db()
            assert send.n_delivered + send.n_undelivered == count, send.counts
            return rate

        def orm() -> float:
            numbers = range(1, count + 1, max(1, count // SAMPLE))

            def update() -> None:
                for number in numbers:
                    changed = Delivery.objects.filter(
                        openid=rivals.openid(number),
                        wechat_msgid=FIRST_MSGID + number,
                    ).update(
                        status=Delivery.Status.DELIVERED, receipt_at=timezone.now()
                    )
                    assert changed == 1

            rate = len(numbers) / seconds_of(update)
            InboundEvent.objects.all()._raw_delete(InboundEvent.objects.db)
            return rate

        sides = in_turn(size.rounds, "receipts/s", {"apply": ours, "ORM UPDATE": orm})
        return [
            Row(
                f"applying {count:,} receipts / an ORM UPDATE each",
                ratio(sides, "apply", "ORM UPDATE"),
                20,
                "at least",
                sides,
                "receipts/s",
            )
        ]
