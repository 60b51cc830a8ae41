"""An urgent message while a large send runs, beside the same one when nothing does."""

import statistics
import time

from .measure import Row, Size, in_turn
from .stage import stage

CONNECTIONS = 256
PAUSE_S = 0.7


def run(size: Size) -> list[Row]:
    with stage() as it:
        from sends import control
        from sends.models import Delivery, Send
        from sends.sending import FLUSH_S

        from . import product

        product.make_people(size.large)
        one = product.make_channel(1, CONNECTIONS)
        channel = product.make_channel(size.large, CONNECTIONS)
        person = channel.openids.select_related("recipient").earliest("pk")
        it.start_worker()
        product.send_to_all(one)

        def urgent() -> float:
            """Return how long it takes until the database says that one is accepted."""
            from sends import audience

            send = product.new_send(channel, priority=1)
            audience.stage(send, [], [(person.recipient.userid, person.openid)])
            started = time.perf_counter()
            control.submit(send)
            mine = Delivery.objects.filter(send=send)
            while not mine.filter(status=Delivery.Status.ACCEPTED).exists():
                if time.perf_counter() - started > 60:
                    raise TimeoutError(Send.objects.get(pk=send.pk).counts)
                time.sleep(0.005)
            return time.perf_counter() - started

        def some() -> float:
            found = []
            for _ in range(5):
                time.sleep(PAUSE_S)
                found.append(urgent())
            return statistics.median(found)

        def busy() -> float:
            large = product.new_send(channel)
            control.submit(large)
            while Send.objects.get(pk=large.pk).status != Send.Status.RUNNING:
                time.sleep(0.05)
            time.sleep(1)
            found = some()
            large.refresh_from_db()
            assert large.status == Send.Status.RUNNING, "too short to be in the way"
            control.cancel(large, by="bench")
            while Send.objects.get(pk=large.pk).n_waiting:
                time.sleep(0.2)
            time.sleep(2)  # until its drain has let go
            return found

        sides = in_turn(size.rounds, "s", {"idle": some, "busy": busy})
        idle_s, busy_s = (statistics.median(sides[name]) for name in ("idle", "busy"))
        return [
            Row(
                "an urgent message while a large send runs / 2 x idle + a flush",
                busy_s / (2 * idle_s + FLUSH_S),
                1,
                "at most",
                sides,
                "s",
                {"of a send of": size.large},
            )
        ]
