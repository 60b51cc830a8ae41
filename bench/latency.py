"""A send over 50 ms of distance: do all connections stay busy?"""

from .measure import Row, Size, in_turn, ratio
from .stage import stage

LATENCY_MS, CONNECTIONS = 50, 500


def run(size: Size) -> list[Row]:
    with stage(LATENCY_MS) as it:
        from . import product

        product.make_people(size.messages)
        first = product.make_channel(product.WARM_UP, CONNECTIONS)
        channel = product.make_channel(size.messages, CONNECTIONS)
        ceiling = CONNECTIONS / (LATENCY_MS / 1000)
        cpu: list[float] = []

        def ours() -> float:
            it.start_worker()
            product.send_to_all(first)
            before_s = it.worker_cpu_s()
            rate = size.messages / product.send_to_all(channel)
            cpu_us = 1e6 * (it.worker_cpu_s() - before_s) / size.messages
            cpu.append(round(cpu_us, 1))
            it.stop_worker()
            return rate

        sides = in_turn(size.rounds, "messages/s", {"send": ours})
        sides["ceiling"] = [ceiling]
        return [
            Row(
                f"a send over {LATENCY_MS} ms / {CONNECTIONS} connections / latency",
                ratio(sides, "send", "ceiling"),
                0.8,
                "at least",
                sides,
                "messages/s",
                {"worker CPU, us a message": cpu},
            )
        ]
